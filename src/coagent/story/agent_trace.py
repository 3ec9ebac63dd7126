"""Which lines of files agents have written, as a record of Agent Trace (version 0.1, RFC of January 2026).

Source: https://agent-trace.dev, "Core Specification"; the schema is that of its trace-record.json.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from itertools import groupby
from typing import Any
from uuid import UUID

from coagent.story.blame import Author, Line

VERSION = "0.1"
"""As the schema has it: major and minor."""
MIME_TYPE = "application/vnd.agent-trace.record+json"


def record(
    files: Mapping[str, list[Line]],
    *,
    identity: UUID,
    now: datetime,
    tool_version: str,
    revision: str | None = None,
    domain: str = "",
    secret: Callable[[str, str], bool] = lambda path, text: False,
) -> dict[str, Any]:
    """Return a record.

    Args:
        files: The lines of each file, by its path from the top of the repository.
        identity: What names the record.
        now: When it is made.
        tool_version: CoAgent's.
        revision: The commit of git that the lines are those of.
        domain: What the log is called.
        secret: Whether there is a secret in a text of a file: whoever has its hash can try what it may be.
    """
    found: dict[str, Any] = {
        "version": VERSION,
        "id": str(identity),
        "timestamp": now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "tool": {"name": "coagent", "version": tool_version},
        "files": [
            {"path": path, "conversations": conversations}
            for path, lines in sorted(files.items())
            if (conversations := list(_conversations(lines, partial(secret, path))))
        ],
        "metadata": {"io.coagent": {"log": domain, "calls": _calls(files.values())}},
    }
    if revision is not None:
        found["vcs"] = {"type": "git", "revision": revision}
    return found


def _conversations(lines: list[Line], secret: Callable[[str], bool]) -> Iterator[dict[str, Any]]:
    """Yield the ranges of each agent, and of people; what was there before is nobody's."""
    by_whom: dict[tuple[str, str | None], list[dict[str, Any]]] = {}
    number = 1
    for author, run in groupby(lines, key=lambda line: line.author):
        texts = [line.text for line in run]
        if author.kind in ("agent", "outside", "unlogged"):
            part: dict[str, Any] = {"start_line": number, "end_line": number + len(texts) - 1}
            if not secret(content := "\n".join(texts)):
                digest = sha256(content.encode("utf-8", "surrogatepass")).hexdigest()
                part["content_hash"] = f"sha256:{digest[:16]}"
            by_whom.setdefault((author.kind, author.agent), []).append(part)
        number += len(texts)
    for (kind, _), ranges in by_whom.items():
        yield {"contributor": {"type": "ai" if kind == "agent" else "unknown"}, "ranges": ranges}


def _calls(files: Iterable[list[Line]]) -> dict[str, dict[str, Any]]:
    authors: dict[str, Author] = {}
    for lines in files:
        authors.update((line.author.call, line.author) for line in lines if line.author.call is not None)
    return {
        call: {
            "agent": author.agent,
            "tool": author.tool,
            "record": author.number,
            "rested_on": list(author.rested_on),
        }
        for call, author in sorted(authors.items())
    }
