"""Decisions carried out: recorder, work, runners, domain, sessions, clock. No protocol logic lives here."""
