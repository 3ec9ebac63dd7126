"""The ToolSmith: grows tools with declared footprints out of commands, verifies them, keeps them in a library."""
