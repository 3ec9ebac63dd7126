"""Other protocols behind the kernel's interface, so that all are compared on equal ground."""
