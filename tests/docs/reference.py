"""Writes `docs/reference`: what Python programs may name, what files may say, what may be typed.

`python tests/docs/reference.py` writes the pages from the docstrings; a test sees that they are up to date.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import reference_commands
import reference_config
import reference_python
from pydantic import BaseModel

import coagent
import coagent.targets
from coagent.config.domain_file import ClaudeTable, ClientTable, DomainFile, ServeTable
from coagent.config.telemetry import TelemetryTable
from coagent.config.tools import ToolsTable
from coagent.config.upstreams import CheckTable, StepTable, UpstreamTable, UpstreamToolTable
from coagent.runs.file import AgentTable, BudgetTable, ModelTable, RunFile
from coagent.toolsmith.spec import Parameter, ToolSpec
from coagent.toolsmith.system import ToolsmithTable

FOLDER = Path(__file__).parents[2] / "docs" / "reference"
_AGENTS = ("open_domain", "Domain", "AgentSession", "Outcome", "Settlement", "Notification")
_TOOLS = ("tool", "State", "DeclaredTool", "Probed", "idempotency_key")
_SYSTEM = ("System", "TargetKind", "Tools", "Given", "Place", "Table")
_FRAMEWORKS = {
    "Pydantic AI": ("pydantic_ai", ("govern", "run_to_commit")),
    "LangChain": ("langchain", ("CoAgentMiddleware", "run_to_commit")),
    "OpenAI Agents": ("openai_agents", ("govern_tools", "run_to_commit")),
    "Claude Agent SDK": ("claude_agent_sdk", ("govern_tools", "run_to_commit")),
}
TABLES: dict[str, dict[str, type[BaseModel]]] = {
    "A domain file": {
        "At the top": DomainFile,
        "`[tools]`": ToolsTable,
        "`[tools.toolsmith]`": ToolsmithTable,
        "`[serve]`": ServeTable,
        "`[[clients]]`": ClientTable,
        "`[claude]`": ClaudeTable,
        "`[telemetry]`": TelemetryTable,
        "`[[upstreams]]`": UpstreamTable,
        "`[upstreams.tools.NAME]`": UpstreamToolTable,
        "`[upstreams.tools.NAME.prepare.STEP]` and `[[upstreams.tools.NAME.reverse]]`": StepTable,
        "`[upstreams.check]`": CheckTable,
    },
    "A run file": {
        "At the top of a run file": RunFile,
        "`[models.NAME]`": ModelTable,
        "`[[agents]]`": AgentTable,
        "`budget` of an agent": BudgetTable,
    },
    "A grown tool": {
        "At the top of a grown tool": ToolSpec,
        "`[parameters.NAME]`": Parameter,
    },
}
_ABOUT = {
    "A domain file": (
        "`.coagent/config.toml`, which `coagent init` writes, or a file that a command is given: "
        "[any MCP client](../serve.md), [MCP servers behind CoAgent](../upstream.md), "
        "[Claude Code](../claude-code.md). What `[[targets]]` and `[tools.NAME]` may say stands on the pages "
        "of the [live systems](../targets.md)."
    ),
    "A run file": (
        "What `coagent run` carries out ([several agents from one file](../run.md)). `[[targets]]`, "
        "`[tools]` and `[telemetry]` are those of a domain file."
    ),
    "A grown tool": "A file of the [ToolSmith](../toolsmith.md)'s library, `.coagent/tools/NAME.toml`.",
}
_INTRODUCTIONS = {
    "python.md": (
        "What `import coagent` offers; the [guide](../guide.md) tells how to use it. "
        "Written from the docstrings."
    ),
    "targets.md": (
        "What `coagent.targets` offers, and what a package registers to add a system "
        "([how](../add-a-system.md)). Written from the docstrings."
    ),
    "frameworks.md": "What governs the tools of an agent framework. Written from the docstrings.",
    "config.md": (
        "Every table of CoAgent's TOML files, with its settings, their types and defaults. A key that a "
        "table does not have is an error, told by its line. Written from what checks them."
    ),
    "commands.md": (
        "Every command, as its `--help` has it. Exit codes: 0 done, 1 the work failed, 2 bad usage, "
        "130 interrupted. "
        "`coagent bench` comes with `packages/coagent-lab`."
    ),
}


def errors() -> list[str]:
    """Return the public names that are errors, the one that all derive from first."""
    found = [name for name in coagent.__all__ if name not in (*_AGENTS, *_TOOLS, "targets")]
    return sorted(found, key=lambda name: (name != "CoAgentError", name))


def _entries(module: Any, names: Iterable[str]) -> list[str]:
    return [reference_python.entry(name, getattr(module, name), 3) for name in names]


def _frameworks() -> Iterable[str]:
    for title, (module, names) in _FRAMEWORKS.items():
        path = f"coagent.gateways.frameworks.{module}"
        yield f"## {title}\n\n`from {path} import {', '.join(names)}`"
        loaded = importlib.import_module(path)
        for name in names:
            yield reference_python.entry(name, getattr(loaded, name), 3)
    governed = importlib.import_module("coagent.gateways.frameworks.governed")
    yield "## What a framework's tool reads and writes\n\nEach of these modules has it."
    yield reference_python.entry("Declared", governed.Declared, 3)


def _config() -> Iterable[str]:
    for title, tables in TABLES.items():
        yield f"## {title}\n\n{_ABOUT[title]}"
        for heading, model in tables.items():
            yield reference_config.table(heading, model)


def pages() -> dict[str, str]:
    """Return the pages of the reference by their names."""
    base = importlib.import_module("coagent.systems.base")
    python = [
        "## Domains and agents",
        *_entries(coagent, _AGENTS),
        "## Tools",
        *_entries(coagent, _TOOLS),
        "## Errors",
        *_entries(coagent, errors()),
    ]
    targets = [
        "## coagent.targets",
        *_entries(coagent.targets, coagent.targets.__all__),
        "## coagent.systems.base",
        *_entries(base, _SYSTEM),
    ]
    titles: dict[str, tuple[str, Iterable[str]]] = {
        "python.md": ("Python: domains, agents, tools", python),
        "targets.md": ("Python: live systems", targets),
        "frameworks.md": ("Python: frameworks", _frameworks()),
        "config.md": ("Configuration files", _config()),
        "commands.md": ("Commands", [reference_commands.page_text()]),
    }
    return {
        name: "\n\n".join([f"# {title}", _INTRODUCTIONS[name], *sections]) + "\n"
        for name, (title, sections) in titles.items()
    }


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
