"""Private views of a directory tree, in which a command runs without anybody else seeing what it does."""
