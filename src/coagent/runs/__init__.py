"""Runs: several agents described in one TOML file, carried out, reported and judged."""
