"""`coagent bench`: measurements."""

import typer

app = typer.Typer()


@app.callback()
def bench() -> None:
    """Measure."""
