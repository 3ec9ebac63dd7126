"""The page: a domain's story to look at, live or as one file, and what a person can do from it."""
