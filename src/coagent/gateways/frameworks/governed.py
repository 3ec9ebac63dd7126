"""What all frameworks share: tools that an agent brings along become declared tools of the domain.

A call of such a tool may run again at any time until it is committed, also when the framework's run is over
and on behalf of another agent: so a framework's module gives a function that needs nothing but the arguments.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import anyio
from pydantic_core import to_jsonable_python

from coagent.errors import AgentRestarted, CoAgentError, ConfigurationError, ToolFailed
from coagent.runtime.amending import amend_as_asked
from coagent.runtime.domain import Domain
from coagent.runtime.notices import Notification
from coagent.runtime.outcomes import Outcome
from coagent.runtime.session import AgentSession
from coagent.tools.base import Gate
from coagent.tools.declared import DeclaredTool
from coagent.tools.names import function_names
from coagent.wording.endings import notified
from coagent.wording.quoting import Quoting
from coagent.wording.repairs import (
    AMEND_DESCRIPTION,
    AMEND_SCHEMA,
    PREFIXED,
    UNDO_DESCRIPTION,
    UNDO_SCHEMA,
    call_id_of,
    for_the_model,
)
from coagent.wording.results import error_text, outcome_text, undone_text

Phase = Callable[..., Awaitable[Any]]

_ABORT_TIME_MAX_S = 30.0
_inside: ContextVar[str] = ContextVar("coagent_governed_tool")
"""The governed tool that is running, where one is."""


@dataclass(frozen=True, slots=True)
class Declared:
    """What a tool of a framework reads and writes, and how it is taken back; see `DeclaredTool`.

    Args:
        reads: Key templates over its arguments, such as `crm:customers/{id}`.
        writes: The same for what it writes.
        prepare: `async def (**arguments)`: changes nothing, and returns what `reverse` needs.
        reverse: `async def (prepared, result, **arguments)`: restores what was there before. A tool that
            writes and has none is irreversible.
        gate: For an irreversible tool: "stage" (the default) or "wait".
        local: Whether it touches nothing that agents share (a calculator, a scratch pad, another agent whose
            own tools are governed). It runs as if there were no CoAgent.
    """

    reads: Sequence[str] = ()
    writes: Sequence[str] = ()
    prepare: Phase | None = None
    reverse: Phase | None = None
    gate: Gate | None = None
    local: bool = False


LOCAL = Declared(local=True)
"""The declaration of a tool that touches nothing that agents share."""


@dataclass(frozen=True, slots=True)
class Existing:
    """A tool that an agent brings along.

    Args:
        name: Its name in the framework.
        description: What models are told.
        schema: The JSON Schema of its arguments.
        run: Runs it, with plain arguments. Raises where it failed.
        identity: Two tools of one name are one tool where these are equal: the function that both run. A tool
            that also depends on who runs it has an identity of its own.
    """

    name: str
    description: str
    schema: Mapping[str, Any]
    run: Callable[[dict[str, Any]], Awaitable[Any]]
    identity: Any


@dataclass(frozen=True, slots=True)
class Offered:
    """A tool that CoAgent adds to the agent's own: one of the domain's, or undo or amend."""

    name: str
    description: str
    schema: dict[str, Any]
    call: Callable[[dict[str, Any]], Awaitable[Shown]]


@dataclass(frozen=True, slots=True)
class Shown:
    """What the model is shown of a call, and whether it failed."""

    text: str
    failed: bool = False


class GovernedTool(DeclaredTool):
    """A declared tool of the domain made from one that an agent brought along."""

    def __init__(self, name: str, existing: Existing, declared: Declared, everything: str) -> None:
        async def exec(**arguments: Any) -> Any:
            token = _inside.set(name)
            try:
                result = await existing.run(arguments)
            finally:
                _inside.reset(token)
            # It has acted, so a result must not fail here: what is no data is kept as models see it, as text.
            return (
                result
                if isinstance(result, bytes)
                else to_jsonable_python(result, bytes_mode="base64", fallback=str)
            )

        nothing = not declared.reads and not declared.writes
        super().__init__(
            exec,
            reads=declared.reads,
            writes=[everything] if nothing else declared.writes,
            prepare=declared.prepare,
            reverse=declared.reverse,
            gate=declared.gate,
            name=name,
            description=existing.description or existing.name,
            schema=existing.schema,
        )
        self.origin = (existing.identity, declared, everything)


class Governed:
    """One agent's tools as its framework calls them; every call goes through the agent's session.

    Calls that a framework makes in parallel run one after another, as they come: an agent is a sequence.

    Args:
        domain: The domain that the agent takes part in.
        session: The agent's session.
        declarations: By tool name. A tool that is not named is irreversible and writes all of `scheme`.
        offer: The names of the domain's own tools to add to the agent's; all by default.
        scheme: What undeclared tools are taken to write, as a whole.

    Raises:
        ConfigurationError: There is no tool of the domain of a name in `offer`.
    """

    def __init__(
        self,
        domain: Domain,
        session: AgentSession,
        declarations: Mapping[str, Declared] | None = None,
        *,
        offer: Collection[str] | None = None,
        scheme: str = "tools",
    ) -> None:
        self.domain, self.session = domain, session
        self.failure: Exception | None = None
        """What no model can do anything about, for frameworks that show it to the model all the same."""
        self._declarations = dict(declarations or {})
        self._everything = f"{scheme}:"
        self._names: dict[str, str] = {}
        self._turn = anyio.Lock()
        self.offered = self._offered(offer)

    def is_local(self, name: str) -> bool:
        """Tell whether a tool runs as if there were no CoAgent."""
        return self._declarations.get(name, Declared()).local

    def add(self, existing: Existing) -> None:
        """Make a tool of the agent a tool of the domain; adding the same one twice does nothing.

        Raises:
            ConfigurationError: Its name is taken, or its declaration does not fit its arguments.
            FootprintViolation: It is declared to write what a target owns.
        """
        if any(existing.name == tool.name for tool in self.offered):
            raise ConfigurationError(
                f"tool {existing.name!r} has the name of one that CoAgent offers",
                "Rename it, or leave the domain's own out with offer=[...].",
            )
        declared = self._declarations.get(existing.name, Declared())
        origin = (existing.identity, declared, self._everything)
        # Another agent may have brought another tool of this name: then the rank tells them apart.
        for name in (existing.name, f"{existing.name}@{self.session.rank}"):
            have = self.domain.tools.get(name)
            if have is None:
                self.domain.add_tools([GovernedTool(name, existing, declared, self._everything)])
                have = self.domain.tools[name]
            if have.origin == origin:
                self._names[existing.name] = name
                return
        raise ConfigurationError(
            f"agent {self.session.name!r} has brought two tools named {existing.name!r}", "Rename one."
        )

    def check_declarations(self, names: Iterable[str]) -> None:
        """Refuse declarations of tools that there are not.

        Raises:
            ConfigurationError: Names the first.
        """
        known = set(names)
        for name in self._declarations:
            if name not in known:
                raise ConfigurationError(
                    f"there is no tool {name!r} to declare", f"The agent has: {', '.join(sorted(known))}."
                )

    async def call(self, name: str, arguments: Mapping[str, Any]) -> Shown:
        """Call a tool of the agent.

        Raises:
            CoAgentError: Something that the model can do nothing about: the agent has ended, the log or a
                target has failed.
        """
        return await self._shown(lambda: self.session.call(self._names[name], **arguments), outcome_text)

    async def undo(self, arguments: Mapping[str, Any]) -> Shown:
        """Withdraw one of the agent's calls, as its model asks for it."""
        return await self._shown(lambda: self.session.undo(call_id_of(arguments)), undone_text)

    async def amend(self, arguments: Mapping[str, Any]) -> Shown:
        """Replace one of the agent's calls in its place, as its model asks for it."""
        return await self._shown(lambda: amend_as_asked(self.session, arguments), outcome_text)

    def _offered(self, names: Collection[str] | None) -> list[Offered]:
        own = {name: tool for name, tool in self.domain.tools.items() if tool.origin is None}
        for name in names or ():
            if name not in own:
                known = ", ".join(sorted(own)) or "none"
                raise ConfigurationError(f"there is no tool {name!r} to offer", f"The domain has: {known}.")
        shown = function_names(own if names is None else names)
        offered = [
            Offered(name, own[tool].description, own[tool].schema, self._caller(tool))
            for name, tool in shown.items()
        ]
        return [
            *offered,
            Offered(PREFIXED.undo, UNDO_DESCRIPTION, UNDO_SCHEMA, self.undo),
            Offered(PREFIXED.amend, AMEND_DESCRIPTION, AMEND_SCHEMA, self.amend),
        ]

    def _caller(self, tool: str) -> Callable[[dict[str, Any]], Awaitable[Shown]]:
        async def call(arguments: dict[str, Any]) -> Shown:
            return await self._shown(lambda: self.session.call(tool, **arguments), outcome_text)

        return call

    async def _shown(
        self, act: Callable[[], Awaitable[Outcome]], text_of: Callable[[Outcome, Quoting], str]
    ) -> Shown:
        running = _inside.get(None)
        if running is not None:
            # It would wait for itself: a declared tool holds everybody else off while it runs.
            self.failure = ConfigurationError(
                f"governed tool {running!r} calls a governed tool", "Declare the outer one as LOCAL."
            )
            raise self.failure
        async with self._turn:
            try:
                return Shown(text_of(await act(), self.session.quoting))
            except CoAgentError as error:
                if not for_the_model(error):
                    self.failure = error
                    raise
                return Shown(error_text(error, self.session.quoting), failed=True)


def takes_arguments_alone(function: Callable[..., Any] | None, schema: Mapping[str, Any]) -> bool:
    """Tell whether a tool's function gets nothing but what the model says, so that agents may share it."""
    return function is not None and set(inspect.signature(function).parameters) <= set(
        schema.get("properties", {})
    )


def never_ran(name: str) -> ToolFailed:
    """Return the failure of a call that needs its agent's run, of which this process knows nothing."""
    return ToolFailed(f"tool {name!r} depends on its agent's run, and has had none in this process")


def finished_prompt(notices: Sequence[Notification], quoting: Quoting) -> str:
    """Return what a model is told that had finished when something moved."""
    return notified(notices, PREFIXED, "end your turn", quoting)


async def until_committed(
    session: AgentSession, goal: str, work: Callable[[str, bool], Awaitable[str]]
) -> None:
    """Let an agent work until it is committed; where it fails, its work is withdrawn.

    Args:
        session: The agent's session.
        goal: The first prompt.
        work: `async def (prompt, anew)`: lets the model work until it ends its turn; `anew` says whether in a
            conversation of its own or in the one before. Returns what the model said last, if that is known.

    Raises:
        Exception: What `work` raised.
    """
    session.say(goal, goal=True)
    prompt, anew = goal, True
    try:
        while True:
            try:
                session.say(await work(prompt, anew))
                settlement = await session.finish(wait=True)
            except Exception as failure:
                if not _restarted(failure):
                    raise
                prompt, anew = goal, True
                continue
            if settlement.state == "committed":
                return
            prompt, anew = finished_prompt(settlement.notifications, session.quoting), False
    except BaseException as failure:
        with anyio.CancelScope(shield=True), anyio.move_on_after(_ABORT_TIME_MAX_S):
            if session.state in ("active", "finished"):
                await session.abort(f"{type(failure).__name__}: {failure}")
        raise


def _restarted(failure: BaseException | None) -> bool:
    while failure is not None and not isinstance(failure, AgentRestarted):
        failure = failure.__cause__
    return failure is not None
