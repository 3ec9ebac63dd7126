"""Claude Code, unmodified: the hooks of its sessions, and a daemon that governs them."""
