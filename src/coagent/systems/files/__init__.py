"""A folder of files: its objects, the tools for them, and how it is configured."""
