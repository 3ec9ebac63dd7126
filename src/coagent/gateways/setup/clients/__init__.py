"""The MCP clients that `coagent init` knows: one file each, and the table of them."""
