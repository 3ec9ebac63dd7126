"""Decisions carried out: driver, domain, sessions, clock. No protocol logic lives here."""
