"""Live systems that hold shared objects. All but `Memory` are loaded when first named."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from coagent.targets.base import GuardFailed, Target
from coagent.targets.memory import Memory

if TYPE_CHECKING:
    from coagent.systems.documents.target import Documents
    from coagent.systems.files.target import Files
    from coagent.systems.kubernetes.target import Kubernetes
    from coagent.systems.sql.target import Sql

__all__ = ["Documents", "Files", "GuardFailed", "Kubernetes", "Memory", "Sql", "Target"]

_LAZY = {
    "Documents": "coagent.systems.documents.target",
    "Files": "coagent.systems.files.target",
    "Kubernetes": "coagent.systems.kubernetes.target",
    "Sql": "coagent.systems.sql.target",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
