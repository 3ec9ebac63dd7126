"""Live systems that hold shared objects. All but `Memory` are loaded when first named."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from coagent.targets.base import GuardFailed, Target
from coagent.targets.memory import Memory

if TYPE_CHECKING:
    from coagent.targets.documents import Documents
    from coagent.targets.files import Files
    from coagent.targets.kubernetes import Kubernetes
    from coagent.targets.sql import Sql

__all__ = ["Documents", "Files", "GuardFailed", "Kubernetes", "Memory", "Sql", "Target"]

_LAZY = {
    "Documents": "coagent.targets.documents",
    "Files": "coagent.targets.files",
    "Kubernetes": "coagent.targets.kubernetes",
    "Sql": "coagent.targets.sql",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
