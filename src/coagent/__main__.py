"""The command `coagent`, and `python -m coagent`."""

import sys


def main() -> None:
    """Run the command line and exit; the status line without all that the other commands need."""
    if sys.argv[1:] == ["statusline"]:
        from coagent.gateways.claude import statusline

        statusline.main()
        return
    from coagent.cli.main import main as run

    run()


if __name__ == "__main__":
    main()
