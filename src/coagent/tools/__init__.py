"""Tools: what agents call. Native ones over a State handle, declared ones with prepare, exec and reverse."""
