"""Pages of live systems name every setting that the code has, with its default."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from coagent.systems.base import Table
from coagent.systems.files.system import FilesTarget
from coagent.systems.shell.system import BashTable, LimitsTable
from coagent.systems.sql.limits import Limits as SqlLimits
from coagent.systems.sql.system import SqlTable, SqlTarget

PAGES = Path(__file__).parents[2] / "docs" / "systems"
_NEEDED = {"targets url"}
"""Settings that have no default."""
TABLES = [
    ("files.md", "targets", FilesTarget, {}),
    ("sql.md", "targets", SqlTarget, {}),
    ("sql.md", "tools.sql", SqlTable, {"timeout_s": SqlLimits().timeout_s}),
    ("shell.md", "tools.bash", BashTable, {}),
    ("shell.md", "tools.bash.limits", LimitsTable, {}),
]


def documented(page: str, name: str) -> dict[str, str]:
    """Return the settings in the table of a page under `[name]`, and what it says of their defaults."""
    rows: dict[str, str] = {}
    inside = False
    for line in (PAGES / page).read_text(encoding="utf-8").splitlines():
        head = re.match(r"\| `\[+([\w.]+)\]+`.*\| meaning \| default \|$", line)
        if head:
            inside = head[1] == name
        elif not line.startswith("|"):
            inside = False
        elif inside and (row := re.match(r"\| `(\w+)` \|.* \| ([^|]+) \|$", line)):
            rows[row[1]] = row[2].strip("` ")
    return rows


def as_written(value: Any) -> str:
    """Return a default as a page shows it."""
    if value in ([], None):
        return "none"
    return json.dumps(int(value) if isinstance(value, float) and value.is_integer() else value)


@pytest.mark.parametrize(("page", "name", "table", "else_from"), TABLES)
def test_every_setting_stands_on_its_page_with_its_default(
    page: str, name: str, table: type[Table], else_from: dict[str, Any]
) -> None:
    wanted = {
        field: "needed"
        if f"{name} {field}" in _NEEDED
        else as_written(else_from.get(field, info.get_default(call_default_factory=True)))
        for field, info in table.model_fields.items()
        if field not in ("kind", "limits")
    }
    assert documented(page, name) == wanted
