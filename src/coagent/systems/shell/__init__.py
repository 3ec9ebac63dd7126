"""The shell: commands in private views of a folder of files, each at its agent's place in the order."""
