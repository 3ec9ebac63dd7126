"""How the commands of the tool `bash` run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from coagent.systems.base import Given, System, Table, Tools
from coagent.systems.files.system import workspace_of
from coagent.systems.shell.commands import View
from coagent.systems.shell.limits import Limits
from coagent.systems.shell.tools import Network, bash_tools
from coagent.systems.shell.views.confined import Trace
from coagent.systems.shell.views.tmp_stack import BYTES_MAX_DEFAULT

_DEFAULTS = Limits()


class LimitsTable(Table):
    """What one command may use (`limits.py`)."""

    processes_max: int = Field(default=_DEFAULTS.processes_max, ge=16, le=4_000_000)
    memory_mib_max: int = Field(default=_DEFAULTS.memory_mib_max, ge=0)
    file_mib_max: int = Field(default=_DEFAULTS.file_mib_max, ge=1)
    open_files_max: int = Field(default=_DEFAULTS.open_files_max, ge=32)
    disk_free_mib_min: int = Field(default=_DEFAULTS.disk_free_mib_min, ge=0)
    timeout_s_max: float = Field(default=_DEFAULTS.timeout_s_max, gt=0)


class BashTable(Table):
    """How the commands of the tool `bash` run (`tools.py`)."""

    network: Network = "deny"
    trace: Trace = True
    writable: list[str] = Field(default_factory=list)
    view: View = "auto"
    tmp_mib_max: int = Field(default=BYTES_MAX_DEFAULT // 1024**2, ge=0)
    limits: LimitsTable = Field(default_factory=LimitsTable)
    environment: list[str] = Field(default_factory=list)
    devices: list[Annotated[str, Field(pattern=r"^/dev/[^.]")]] = Field(default_factory=list)


def _tools(given: Given) -> list[Any]:
    table: BashTable = given.settings
    workspace, place = workspace_of("bash", given), given.place
    writable = [str((place.folder / Path(folder).expanduser()).resolve()) for folder in table.writable]
    missing = [folder for folder in writable if not Path(folder).is_dir()]
    if missing:
        cure = "Correct `writable` in [tools.bash]; relative ones start from the file's folder."
        raise place.fault(f"there is no folder {missing[0]!r}", cure)
    limits = Limits(**table.limits.model_dump())
    more = table.model_dump(exclude={"writable", "limits"})
    return list(bash_tools(workspace, writable=writable, limits=limits, **more))


BASH = System("bash", tools=Tools(_tools, BashTable))
