"""What `coagent init` writes into a workspace and takes out again."""
