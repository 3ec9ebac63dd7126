"""Declared tools: for systems that CoAgent cannot see into (an upstream server, an HTTP API, a remote CLI).

What they read and write is declared as key templates over their arguments, and they come in three phases:
`prepare` captures what the undo needs, `exec` acts, `reverse` takes it back (a compensating action:
Garcia-Molina & Salem 1987, Sagas).
"""

from __future__ import annotations

import inspect
import itertools
import posixpath
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from coagent.errors import ConfigurationError, FootprintViolation
from coagent.protocol.calls import Footprint
from coagent.protocol.keys import Key, Scan, scheme_of
from coagent.protocol.values import Field, Value
from coagent.tools.argument_paths import NothingThere, at
from coagent.tools.base import Effect, Gate, Tool
from coagent.tools.intent import Probe
from coagent.tools.native import Arguments, described
from coagent.tools.schema import SchemaArguments

_FIELD = re.compile(r"\{([^{}:\s]+)(:path)?\}")
WHOLE = Field("")


class DeclaredTool(Tool):
    """A tool with a declared footprint and a reverse.

    Templates name keys with the arguments in braces: `crm:customers/{id}`. An argument makes one segment of
    the key; `{name:path}` stands for a path of several, brought to one form. `{items.*.name}` stands for a
    field of each item of a list, and gives a key for each. In `reads`, a template that ends in `/` or `:`
    stands for the whole range below it. In `writes`, the bare `scheme:` stands for everything of the system.
    A write is taken to depend on what it replaces. The phases are called one at a time.

    Args:
        exec: `async def name(**arguments)`: acts, and returns plain data. Its signature is the schema, its
            docstring the description. Where it raises, it must have changed nothing.
        reads: Templates of what it reads.
        writes: Templates of what it writes; empty for a tool that only reads.
        prepare: `async def (**arguments)`: changes nothing, and returns what `reverse` needs.
        reverse: `async def (prepared, result, **arguments)`: restores what was there before `exec`. A tool
            that writes and has none is irreversible.
        name: What agents call it; the name of `exec` by default.
        description: What models are told.
        schema: The JSON Schema of the arguments, for an `exec` that takes them as `**arguments`.
        gate: For an irreversible tool: "stage" (the default) or "wait".
        probe: `async def (intent, **arguments)`: returns whether the run of that name has had its effect,
            where a process has died meanwhile: True, False, None where that cannot be told, or
            `coagent.Probed` with its result.
        idempotent: Whether `exec` acts once for one `coagent.idempotency_key()`: then it is run again.

    Raises:
        ConfigurationError: A template names no argument of the tool, or no scheme; or a phase is not async.
    """

    kind = "declared"

    def __init__(
        self,
        exec: Callable[..., Awaitable[Any]],
        *,
        reads: Sequence[str] = (),
        writes: Sequence[str] = (),
        prepare: Callable[..., Awaitable[Any]] | None = None,
        reverse: Callable[..., Awaitable[Any]] | None = None,
        name: str | None = None,
        description: str | None = None,
        schema: Mapping[str, Any] | None = None,
        gate: Gate | None = None,
        probe: Probe | None = None,
        idempotent: bool = False,
    ) -> None:
        self.name = name or exec.__name__
        for phase in (exec, prepare, reverse, probe):
            if phase is not None and not inspect.iscoroutinefunction(phase):
                raise ConfigurationError(
                    f"a phase of tool {self.name!r} is not an async function",
                    "Write prepare, exec, reverse and probe as `async def`.",
                )
        self.description = description or described(exec)
        self.arguments: Arguments | SchemaArguments = (
            Arguments(exec, self.name, skip=0) if schema is None else SchemaArguments(schema, self.name)
        )
        self.reads = tuple(reads)
        self.writes = tuple(writes)
        self.schemes = tuple(dict.fromkeys(self._scheme(template) for template in (*reads, *writes)))
        if not self.schemes:
            raise ConfigurationError(
                f"tool {self.name!r} declares neither reads nor writes",
                "Declare at least `writes=['scheme:']`, which stands for everything of its system.",
            )
        self.probe, self.idempotent = probe, idempotent
        self._exec, self._prepare, self._reverse = exec, prepare, reverse
        irreversible = bool(writes) and reverse is None
        self.effect: Effect = "irreversible" if irreversible else "inferred"
        self.gate: Gate | None = (gate or "stage") if irreversible else None

    def footprint(self, arguments: Mapping[str, Any]) -> Footprint:
        """Return what a call with these arguments reads and writes.

        Raises:
            FootprintViolation: An argument would turn a key into another one or into a range.
        """
        reads: set[Key] = set()
        scans: set[Scan] = set()
        writes: set[Key] = set()
        for template in self.reads:
            keys = self._filled(template, arguments)
            if template.endswith(("/", ":")):
                scans.update(Scan(key, None, WHOLE) for key in keys)
            else:
                reads.update(keys)
        for template in self.writes:
            writes.update(self._filled(template, arguments))
        for scheme in self.schemes:
            everything = Key(f"{scheme}:")
            reads.add(everything)  # so that a call that writes everything concerns every other call
            if everything in writes:
                scans.add(Scan(everything, None, WHOLE))
        return Footprint(frozenset(reads | writes), frozenset(scans), frozenset(writes))

    async def prepare(self, arguments: Mapping[str, Any]) -> Any:
        """Capture what `reverse` needs; None where the tool has no such phase."""
        return None if self._prepare is None else await self._prepare(**arguments)

    async def exec(self, arguments: Mapping[str, Any]) -> Any:
        """Act."""
        return await self._exec(**arguments)

    async def reverse(self, prepared: Value, result: Value, arguments: Mapping[str, Any]) -> None:
        """Restore what was there before `exec`."""
        assert self._reverse is not None, f"{self.name} is irreversible"
        await self._reverse(prepared, result, **arguments)

    def _scheme(self, template: str) -> str:
        known = self.schema.get("properties", {})
        unknown = [
            name
            for name, _ in _FIELD.findall(template)
            if name not in known and name.partition(".")[0] not in known
        ]
        if unknown:
            raise ConfigurationError(
                f"template {template!r} of tool {self.name!r} names no argument: {', '.join(unknown)}",
                f"The tool takes {self.arguments.signature}.",
            )
        try:
            return scheme_of(template)
        except ValueError as error:
            raise ConfigurationError(f"template {template!r} of tool {self.name!r}: {error}") from None

    def _filled(self, template: str, arguments: Mapping[str, Any]) -> list[Key]:
        """Return the keys that a template stands for: one, or one for each item of a list that it names."""
        fields = list(dict.fromkeys(_FIELD.findall(template)))
        choices = [self._segments(name, bool(path), template, arguments) for name, path in fields]
        found = []
        for chosen in itertools.product(*choices):
            values = dict(zip(fields, chosen, strict=True))
            key = _FIELD.sub(_taken_from(values), template)
            found.append(Key(key[:-1] if key.endswith(":/") else key))
        return found

    def _segments(self, name: str, is_path: bool, template: str, arguments: Mapping[str, Any]) -> list[str]:
        try:
            value = at(arguments, name)
        except NothingThere:
            value = ""
        several = name.endswith("*") or ".*." in name
        found = [_segment(str(part), is_path, template) for part in (value if several else [value])]
        if not found or None in found:
            raise FootprintViolation(
                f"argument {name!r} of tool {self.name!r} cannot stand in a key: {value!r}"
            )
        return [segment for segment in found if segment is not None]

    def __repr__(self) -> str:
        return f"<declared tool {self.name}({self.arguments.signature})>"


def _segment(text: str, is_path: bool, template: str) -> str | None:
    """Return a text as it stands in a key; None where it would turn it into another one or into a range."""
    if is_path and text:
        text = posixpath.normpath(f"/{text}").lstrip("/").replace("%", "%25")
        if not text and template.endswith("}/"):
            return ""  # the root, of which everything is below
    else:
        text = text.replace("%", "%25").replace("/", "%2F")  # one argument, one segment
    return text if text and "\0" not in text else None


def _taken_from(values: Mapping[tuple[str, str], str]) -> Callable[[re.Match[str]], str]:
    return lambda field: values[field[1], field[2] or ""]
