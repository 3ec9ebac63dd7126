"""Markdown documents: their sections as objects, and tools for them."""
