"""How tools are grown, as a domain file says it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from coagent.systems.base import Given, System, Table, Tools
from coagent.systems.files.system import workspace_of


class ToolsmithTable(Table):
    """How tools are grown.

    Args:
        library: The folder of the grown tools; by default `.coagent/tools` of the workspace.
        model: The model that makes tools where commands do not, as `provider:name`; none by default.
        base_url: An OpenAI-compatible endpoint to use instead of the provider's own.
        api_key_env: The environment variable that holds its key; by default the provider's own.
        tokens: How many tokens it may use for one request.
        seconds: How long it may take for one request.
        answers: "tools", or "json" for models and servers that have trouble with tool calls.
    """

    library: str | None = None
    model: str | None = None
    base_url: str | None = None
    api_key_env: str | None = None
    tokens: int = Field(default=100_000, gt=0)
    seconds: float = Field(default=300.0, gt=0)
    answers: Literal["tools", "json"] = "tools"

    def folder(self, start: Path) -> Path | None:
        """Return the folder of the library, where one is named; a relative one starts from a folder."""
        return None if self.library is None else start / Path(self.library).expanduser()


def _tools(given: Given) -> list[Any]:
    from coagent.toolsmith.maker import ModelChoice
    from coagent.toolsmith.smith import smith_tools

    table: ToolsmithTable = given.settings
    shelf = table.folder(given.place.folder)
    if shelf is not None and shelf.exists() and not shelf.is_dir():
        raise given.place.fault(f"{str(shelf)!r} is no folder", "Correct `library` in [tools.toolsmith].")
    choice = None
    if table.model is not None:
        limits: dict[str, Any] = {"tokens": table.tokens, "seconds": table.seconds}
        choice = ModelChoice(table.model, table.base_url, table.api_key_env, answers=table.answers, **limits)
    return list(smith_tools(workspace_of("toolsmith", given), shelf, choice=choice))


TOOLSMITH = System("toolsmith", tools=Tools(_tools, ToolsmithTable), needs="coagent-mtpo[toolsmith]")
