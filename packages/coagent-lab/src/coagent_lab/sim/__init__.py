"""The simulation: random programs under random schedules, judged by a serial run that knows no kernel."""
