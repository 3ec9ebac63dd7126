"""How the commands of the tool `bash` run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from coagent.systems.base import Given, System, Table, Tools
from coagent.systems.files.system import workspace_of
from coagent.systems.shell.commands import View
from coagent.systems.shell.tools import Network, bash_tools
from coagent.systems.shell.views.tmp_stack import BYTES_MAX_DEFAULT


class BashTable(Table):
    """How the commands of the tool `bash` run (`tools.py`)."""

    network: Network = "deny"
    trace: bool = True
    writable: list[str] = Field(default_factory=list)
    view: View = "auto"
    tmp_mib_max: int = Field(default=BYTES_MAX_DEFAULT // 1024**2, ge=0)


def _tools(given: Given) -> list[Any]:
    table: BashTable = given.settings
    workspace, place = workspace_of("bash", given), given.place
    writable = [str((place.folder / Path(one).expanduser()).resolve()) for one in table.writable]
    missing = [one for one in writable if not Path(one).is_dir()]
    if missing:
        cure = "Mend `writable` in [tools.bash]; relative ones start from the file's folder."
        raise place.fault(f"there is no folder {missing[0]!r}", cure)
    return list(bash_tools(workspace, writable=writable, **table.model_dump(exclude={"writable"})))


BASH = System("bash", tools=Tools(_tools, BashTable))
