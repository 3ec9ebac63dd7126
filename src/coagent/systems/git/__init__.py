"""Git: the references of a repository as objects, and git itself in a governed shell."""
