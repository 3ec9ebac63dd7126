"""Built-in tools for files and Kubernetes."""
