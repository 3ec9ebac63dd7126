"""Agents: scripted ones for tests and demos, LLM ones for work."""
