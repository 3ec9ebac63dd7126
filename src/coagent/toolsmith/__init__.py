"""Tools with declared footprints, grown out of commands, verified, and kept in a library."""
