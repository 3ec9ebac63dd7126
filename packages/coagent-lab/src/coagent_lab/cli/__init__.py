"""`coagent bench`, which this package registers as a command of `coagent`."""
