"""The append-only event log: in memory or in a SQLite file."""
