"""The append-only event log: in memory, in a SQLite file, or on a PostgreSQL server."""
