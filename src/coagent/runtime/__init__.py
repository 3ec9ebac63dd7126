"""Decisions carried out: driver, domain, sessions, clock. Async and I/O live here, protocol logic does not."""
