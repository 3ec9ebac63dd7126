"""The Model Context Protocol: a domain's tools for any client, and any server's tools for a domain."""
