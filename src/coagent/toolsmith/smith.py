"""The ToolSmith: answers a request with a tool that is there already, or with a new one that was verified.

It looks at the workspace in throw-away views only. Whoever asks for the same gets the same tool.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import anyio

from coagent.errors import ConfigurationError, ToolFailed
from coagent.systems.files.tools import FILE_TOOLS
from coagent.systems.files.workspace import Workspace
from coagent.systems.shell.commands import CommandRunner
from coagent.tools.native import NativeTool
from coagent.tools.state import State
from coagent.toolsmith.arguments import check_arguments
from coagent.toolsmith.example import ByExample
from coagent.toolsmith.grown import GrownTool, run_grown
from coagent.toolsmith.known import likeness
from coagent.toolsmith.library import Library
from coagent.toolsmith.maker import Maker, ModelChoice, Proposal
from coagent.toolsmith.model_look import IsolatedTrials
from coagent.toolsmith.spec import ToolSpec
from coagent.toolsmith.verify import Verifier

DEFAULT_FOLDER = Path(".coagent") / "tools"
RESERVED = frozenset({"bash", "request_tool", "use_tool", *(tool.name for tool in FILE_TOOLS)})
"""Names that no grown tool gets."""
_WORDS_LEAST = 2
_ANSWERED_MAX = 1_000


@dataclass(frozen=True)
class Answer:
    """What the ToolSmith says to a request.

    Args:
        status: "made"; "reused", a tool that was there; or "refused".
        tool: The tool.
        arguments: With which it does what the command does; None where no command was sent.
        reason: Why it was refused; of a tool that only words found, why the model gave none.
    """

    status: Literal["made", "reused", "refused"]
    tool: ToolSpec | None = None
    arguments: dict[str, Any] | None = None
    reason: str = ""


@dataclass
class ToolSmith:
    """Grows tools for one workspace.

    Args:
        workspace: The workspace.
        library: Where the tools are kept.
        choice: The model that makes tools where commands do not; none by default.
    """

    workspace: Workspace
    library: Library
    choice: ModelChoice | None = None
    _lock: anyio.Lock = field(default_factory=anyio.Lock)
    _asking: dict[tuple[str, str], anyio.Lock] = field(default_factory=dict)
    _answered: dict[tuple[str, str], Answer] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._maker = ByExample(self.workspace)
        self._verifier = Verifier(self.workspace)
        self._isolated = Verifier(self.workspace, trials=IsolatedTrials)

    async def request(self, request: str, command: str = "") -> Answer:
        """Return a tool for what a worker asks.

        Args:
            request: What for, in plain language.
            command: A command that does it once, for bash; the tool does the like with other arguments.
        """
        if command.strip():
            answer = await self._by(self._maker, self._verifier, request, command)
            if answer.tool is not None or self.choice is None:
                return answer
        elif self.choice is None:
            return self._by_words(request)
        else:
            answer = Answer("refused")
        made = await self._once(request, command)
        if made.tool is not None:
            return made
        if not command.strip():
            by_words = self._by_words(request)
            return made if by_words.tool is None else replace(by_words, reason=made.reason)
        return Answer("refused", reason=" | ".join(filter(None, [answer.reason, made.reason])))

    async def _once(self, request: str, command: str) -> Answer:
        """Ask the model, unless it has been asked, or is just being asked, for the same."""
        key = (request, command)
        asking = self._asking.setdefault(key, anyio.Lock())
        try:
            async with asking:
                known = self._answered.get(key) or self._asked_before(request, command)
                if known is not None and self._stands(known):
                    return known
                made = await self._by_model(request, command)
                if made.tool is not None:
                    self._answered[key] = made
                    while len(self._answered) > _ANSWERED_MAX:
                        self._answered.pop(next(iter(self._answered)))
                return made
        finally:
            if not asking.locked() and not asking.statistics().tasks_waiting:
                self._asking.pop(key, None)

    async def _by_model(self, request: str, command: str) -> Answer:
        assert self.choice is not None
        try:
            from coagent.toolsmith.model import ByModel

            known = [tool for tool in self.library.load()[0].values() if tool.name not in RESERVED]
            maker = ByModel(self.workspace, self.choice, known)
        except ImportError as error:
            cure = "Install it: pip install 'coagent-mtpo[llm]'."
            return Answer("refused", reason=f"no model can make tools here: {error}. {cure}")
        except ConfigurationError as error:
            return Answer("refused", reason=str(error))
        return await self._by(maker, self._isolated, request, command)

    async def _by(self, maker: Maker, verifier: Verifier, request: str, command: str) -> Answer:
        """Let a maker propose until a tool is taken; the lock is held while one is verified only."""
        taken: list[Answer] = []
        reasons: list[str] = []

        async def judge(proposal: Proposal) -> str:
            async with self._lock:
                answer = await self._judge(proposal, verifier, command)
            if answer.tool is None:
                reasons.append(answer.reason)
            else:
                taken.append(answer)
            return answer.reason

        try:
            await maker.make(request, command, judge)
        except ToolFailed as failure:
            return Answer("refused", reason=str(failure))
        return taken[0] if taken else Answer("refused", reason=" | ".join(dict.fromkeys(reasons)))

    async def _judge(self, proposal: Proposal, verifier: Verifier, command: str) -> Answer:
        spec, arguments, _ = proposal
        known, _ = self.library.load()
        alike = (tool for tool in known.values() if tool.skeleton == spec.skeleton and tool.is_verified)
        same = next(alike, None)
        if same is not None:
            if not command.strip():
                return self._usable(same, arguments)
            if await verifier.matches(same, arguments, command):
                return Answer("reused", same, arguments)
            return Answer(
                "refused", reason=f"{same.name}: does something else here than the command, or may not"
            )
        if spec.is_verified:  # a proposal never is: this one was of the library, and somebody has removed it
            return Answer("refused", reason=f"{spec.name}: is in the library no more")
        made = await verifier.verify(spec, [arguments], like=command)
        if made.is_verified:
            return Answer("made", self.library.add(made, reserved=RESERVED), arguments)
        assert made.verified is not None
        failed = [f"{check.name}: {check.why}" for check in made.verified.checks if not check.passed]
        return Answer("refused", reason=f"{made.name}: {'; '.join(failed)}")

    def _usable(self, spec: ToolSpec, arguments: dict[str, Any]) -> Answer:
        try:
            check_arguments(spec, self.workspace, arguments)
        except ToolFailed as failure:
            return Answer("refused", reason=f"{spec.name}: {failure}")
        return Answer("reused", spec, arguments)

    def _asked_before(self, request: str, command: str) -> Answer | None:
        """Return the tool that a model made for these very words."""
        for spec in self.library.load()[0].values():
            if spec.maker == "model" and spec.request == request and not command.strip() and spec.examples:
                return Answer("reused", spec, dict(spec.examples[0]))
        return None

    def _stands(self, answer: Answer) -> bool:
        if answer.tool is None:
            return False
        known = self.library.load()[0].get(answer.tool.name)
        return known is not None and known.is_verified and known.digest == answer.tool.digest

    def _by_words(self, request: str) -> Answer:
        """Look for a known tool that a request in plain language fits."""
        best: tuple[int, ToolSpec] | None = None
        for spec in self.library.load()[0].values():
            score = likeness(spec, request)
            if spec.is_verified and score >= _WORDS_LEAST and (best is None or score > best[0]):
                best = score, spec
        if best is not None:
            return Answer("reused", best[1])
        return Answer("refused", reason="no tool of the library fits. Send a bash command that does it once.")


class _RequestTool(NativeTool):
    """`request_tool`, which offers what it makes in its domain at once."""

    def __init__(self, tools: _Tools) -> None:
        async def request_tool(state: State, request: str, command: str = "") -> dict[str, Any]:
            """Ask for a tool that does what you need, undoable and safe to repeat with other arguments.

            Prefer this to running a command that you may need again with other values. You are given a tool
            that exists, or a new one made of your command, with the arguments that make it do this very
            thing. Then call that tool, or `use_tool` where it is not among yours. Nothing is changed by
            asking.

            Args:
                request: What for, in a sentence.
                command: A bash command that does it once, with plain words only.
            """
            return await tools.request(request, command)

        super().__init__(request_tool)
        self._tools = tools

    def offered(self, add_tools: Callable[[Sequence[NativeTool]], None]) -> None:
        self._tools.add_tools.append(add_tools)

    def named(self, name: str) -> NativeTool | None:
        return self._tools.named(name)


class _Tools:
    """What a domain offers of a ToolSmith."""

    def __init__(self, smith: ToolSmith, runner: CommandRunner) -> None:
        self._smith = smith
        self._runner = runner
        self.add_tools: list[Callable[[Sequence[NativeTool]], None]] = []
        self._offered: set[str] = set()

    def grown(self, spec: ToolSpec) -> GrownTool:
        self._offered.add(spec.name)
        return GrownTool(spec, self._smith.workspace, self._runner, self._smith.library.count_use)

    def named(self, name: str) -> GrownTool | None:
        """Return a verified tool of the library: another process may have made it since."""
        spec = None if name in RESERVED else self._smith.library.load()[0].get(name)
        return self.grown(spec) if spec is not None and spec.is_verified else None

    async def request(self, request: str, command: str) -> dict[str, Any]:
        answer = await self._smith.request(request, command)
        spec = answer.tool
        if spec is None:
            return {"status": "refused", "reason": answer.reason, "instead": "run the command with bash"}
        if spec.name not in self._offered:
            tool = self.grown(spec)
            for add in self.add_tools:
                with contextlib.suppress(ConfigurationError):  # a tool of another kind has the name: use_tool
                    add([tool])
        undone = "its writes are put back as they were" if spec.effect == "write" else "nothing to undo"
        return {
            "status": "a tool is there",  # the same whoever came first, so that a re-execution says the same
            "tool": spec.name,
            "signature": spec.signature,
            "description": spec.description,
            "arguments": answer.arguments,
            "effect": spec.effect,
            "undo": spec.reason if spec.effect == "irreversible" else undone,
            **({"tokens": spec.tokens} if spec.maker == "model" else {}),
            **({"reason": answer.reason} if answer.reason else {}),
        }

    async def use(self, state: State, name: str, arguments: Mapping[str, Any]) -> str:
        spec = self._smith.library.load()[0].get(name)
        if spec is None:
            raise ToolFailed(str(self._smith.library.unknown(name)), "Ask for one with request_tool.")
        if not spec.is_verified:
            raise ToolFailed(f"tool {name!r} is not verified as it is now", "Run `coagent tools verify`.")
        if spec.effect == "irreversible":  # it would run at once here, ahead of its turn
            raise ToolFailed(f"tool {name!r} cannot be taken back, so it waits", f"Call {name!r} itself.")
        values = check_arguments(spec, self._smith.workspace, arguments)
        self._smith.library.count_use(name)
        return await run_grown(spec, self._runner, state, values)


def smith_tools(
    workspace: Workspace,
    folder: Path | None = None,
    *,
    runner: CommandRunner | None = None,
    choice: ModelChoice | None = None,
) -> tuple[NativeTool, ...]:
    """Return `request_tool`, `use_tool` and the verified tools of a library.

    Args:
        workspace: That of a target `Files` of the domain.
        folder: The library; `.coagent/tools` in the workspace by default.
        runner: Runs the commands; one of its own by default.
        choice: The model that makes tools where commands do not; none by default.

    Raises:
        ConfigurationError: Private views cannot be had here.
    """
    library = Library(folder if folder is not None else Path(workspace.root) / DEFAULT_FOLDER)
    tools = _Tools(ToolSmith(workspace, library, choice), runner or CommandRunner(workspace))

    async def use_tool(state: State, name: str, arguments: dict[str, Any]) -> str:
        """Call a tool that `request_tool` gave, where it is not among your tools.

        Args:
            name: The tool.
            arguments: Its arguments, by name.
        """
        return await tools.use(state, name, arguments)

    known, _ = library.load()
    grown = [tools.grown(spec) for spec in known.values() if spec.is_verified]
    return (_RequestTool(tools), NativeTool(use_tool), *(tool for tool in grown if tool.name not in RESERVED))
