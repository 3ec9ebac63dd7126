"""RaceBench under CoAgent: its tasks and scripted agents, with an adapter that lies outside its code."""
