"""TOML files: targets and tools as people write them down, and what is wrong with a file, by line."""
