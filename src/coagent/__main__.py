"""`python -m coagent` is the command `coagent`."""

from coagent.cli.main import main

if __name__ == "__main__":
    main()
