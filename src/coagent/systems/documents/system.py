"""How a folder of Markdown documents is configured."""

from __future__ import annotations

from typing import Any, Literal

from coagent.systems.base import Given, Place, System, Table, TargetKind, Tools
from coagent.systems.files.system import folder_of
from coagent.targets.base import Target


class DocumentsTarget(Table):
    """A folder of Markdown files, by their sections."""

    kind: Literal["documents"]
    root: str = "."


def _target(table: DocumentsTarget, place: Place) -> Target:
    root = folder_of(table.root, place)
    from coagent.systems.documents.target import Documents

    return Documents(root)


def _tools(_given: Given) -> list[Any]:
    from coagent.systems.documents.tools import DOCUMENT_TOOLS

    return [DOCUMENT_TOOLS]


DOCUMENTS = System(
    "documents", TargetKind(DocumentsTarget, _target), Tools(_tools), needs="coagent-mtpo[sql]"
)
