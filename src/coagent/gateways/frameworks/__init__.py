"""Gateways for agent frameworks: existing tools governed in one line, notices in the framework's own way."""
