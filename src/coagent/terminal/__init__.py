"""What agents do, at a glance in the terminal; only what draws on it needs Textual (the extra `watch`)."""
