"""Doors: how clients and frameworks that people run already become agents of a domain."""
