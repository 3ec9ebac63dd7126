"""Databases: rows as objects, and SQL statements as tools."""
