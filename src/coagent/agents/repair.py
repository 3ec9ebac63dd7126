"""How a scripted agent goes through its program, and through it again when a premise moved.

There is one mechanism for both. The program is a generator, so it cannot be taken back to where it went
wrong; it is started anew instead and fed what its calls return *now*. As long as it asks for the calls that
stand, in their order, they are kept and nothing is done. Where it asks for something else, what stands there
is amended in place (same tool: the position stays, and the calls above that rest on it are re-executed before
the program gets to them) or undone together with all that comes after it (another tool), and from there on
the calls are fresh ones. A notice that concerns a call that the program was already fed sends it back to the
start; one that concerns a later call needs nothing, the program has yet to get there.

It is right because the calls that stand are always, in order of position, what the program asked for when it
was fed what they return; that is the definition of the agent's own serial run at its rank.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from coagent.errors import (
    AgentNotActive,
    AgentRestarted,
    CoAgentError,
    LogError,
    NotReversible,
    ToolFailed,
    UnknownCall,
)
from coagent.protocol.values import same
from coagent.runtime.notices import Notification
from coagent.runtime.session import AgentSession


class Step(NamedTuple):
    """One call that a program asks for.

    Args:
        tool: The tool's name.
        arguments: Its arguments, plain data.
        think_s: Thinking time before it in seconds; None: the agent's own.
        tokens: What that thinking costs; None: the agent's own.
        says: What the agent says as it makes the call, for people who look on.
    """

    tool: str
    arguments: Mapping[str, Any]
    think_s: float | None = None
    tokens: int | None = None
    says: str = ""


Asked: TypeAlias = Step | tuple[str, Mapping[str, Any]]
Program: TypeAlias = Callable[[], Generator[Asked, Any, Any]]
"""Made anew for every pass; what it yields may depend on nothing but what it was sent.

Where it returns a text, the agent says that when it has finished.
"""


class GiveUp(Exception):
    """Raised by a program to abort its agent."""


class TimelineEvent(NamedTuple):
    """Something that happened to an agent, for drawing.

    Args:
        time_s: When, on the domain's clock.
        kind: "join", "think", "call", "failed", "staged", "held_back", "notice", "repair", "restart",
            "amend", "undo", "finish", "commit" or "abort".
        text: What, in a few words.
    """

    time_s: float
    kind: str
    text: str


@dataclass
class Tally:
    """What one agent did.

    Args:
        calls: Fresh calls, failed and staged ones among them.
        kept: Calls that a repair looked at and left as they were.
        amended: Calls replaced in place.
        undone: Calls withdrawn.
        repairs: How often a notice sent the program back to its start.
        restarts: How often the protocol undid everything (only "2pl" and "occ" do).
        notifications: Notices received.
        tokens: Cost of the thinking: one inference a fresh call, and one a repair that changed something.
        notices: What it was told.
        timeline: What happened when, to be drawn.
    """

    calls: int = 0
    kept: int = 0
    amended: int = 0
    undone: int = 0
    repairs: int = 0
    restarts: int = 0
    notifications: int = 0
    tokens: int = 0
    notices: list[Notification] = field(default_factory=list)
    timeline: list[TimelineEvent] = field(default_factory=list)


@dataclass
class Made:
    """A call that the agent made and that stands.

    Args:
        call_id: None where nothing was recorded (wrong arguments, no such tool); then `error` says why.
        staged: Whether the program was told "staged"; that is what it is told again.
    """

    tool: str
    arguments: Mapping[str, Any]
    call_id: str | None
    staged: bool = False
    error: CoAgentError | None = None


Think: TypeAlias = Callable[[float | None, int | None, str], Awaitable[None]]


class Walker:
    """Takes a program through a session, one action at a time.

    Args:
        program: The program.
        session: The agent's session.
        think: Awaited before an action that an inference stands behind, with (seconds, tokens, text); None
            stands for the agent's own figures.
        log: Takes (kind, text) of what happens.
    """

    def __init__(
        self,
        program: Program,
        session: AgentSession,
        think: Think,
        log: Callable[[str, str], None],
        tally: Tally,
    ) -> None:
        self.session = session
        self.tally = tally
        self.made: list[Made] = []
        self._for_good: list[Made] = []  # what was to be withdrawn, and has happened for good
        self.failure: BaseException | None = None
        """Why the program ended early; the agent is to abort once its premises are final."""
        self.last_words = ""
        """What the program has ended with."""
        self._program = program
        self._think = think
        self._log = log
        self._stale = False
        self._repairing = False
        self._start()

    @property
    def asked(self) -> Step | None:
        """The fresh call that `act` would make next; None where it would do something else."""
        return self._asked if not self._stale and self._at == len(self.made) else None

    @property
    def idle(self) -> bool:
        """Whether the program has ended and what it asked for stands, so that `act` would do nothing."""
        return not self._stale and self._asked is None and self._at == len(self.made)

    async def act(self) -> bool:
        """Do the next thing that the program, or its repair, calls for.

        Returns:
            Whether something was done. False: the program has ended and what it asked for stands.

        Raises:
            AgentNotActive: The agent was aborted by somebody else.
        """
        self.look()
        asked = self._asked
        if self._at < len(self.made):
            made = self.made[self._at]
            if asked is None or not self._replaceable(made, asked):
                await self._undo_last()
            else:
                await self._amend(made, asked)
            return True
        if asked is None:
            return False
        await self._call(asked)
        return True

    def look(self) -> None:
        """Take the program past the calls that stand, as far as they are right; nothing is done."""
        if self._stale:
            self._restart()
        while self._asked is not None and self._at < len(self.made):
            made = self.made[self._at]
            if not self._stands(made):
                del self.made[self._at]
            elif self._replaceable(made, self._asked) and self._right(made, self._asked):
                self.tally.kept += 1
                self._feed(made)
            else:
                return

    def heed(self, notices: Iterable[Notification], changed: Iterable[str] = ()) -> None:
        """Take notices; the program goes back to its start if it was fed what has changed."""
        ahead = {made.call_id for made in self.made[self._at :]}
        moved = set(changed)
        for notice in notices:
            self.tally.notifications += 1
            self.tally.notices.append(notice)
            self._log("notice", f"{notice.key} changed by {notice.cause.agent}")
            moved.update(notice.premises)
        if moved - ahead:
            self._stale = True

    def distrust(self) -> None:
        """Send the program back to its start, whatever it was told."""
        self._stale = True

    def forget(self, made: Made) -> None:
        """Take it that a call no longer stands, and send the program back to its start."""
        self.made.remove(made)
        self._stale = True

    def begin_again(self, why: str) -> None:
        """Take it that the protocol has undone all the calls."""
        self.tally.restarts += 1
        self._log("restart", why)
        self.made.clear()
        self._running.close()
        self._stale = False
        self._start()

    # ---- the program ---------------------------------------------------------------------------------------

    def _start(self) -> None:
        self._at = 0
        self.failure = None
        self._asked: Step | None = None
        self._running = self._program()
        self._advance(lambda: next(self._running))

    def _restart(self) -> None:
        self._stale = False
        self._repairing = True
        self.tally.repairs += 1
        self._log("repair", f"{len(self.made)} calls to look at")
        self._running.close()
        self._start()

    def _advance(self, resume: Callable[[], Asked]) -> None:
        try:
            asked = resume()
            self._asked = asked if isinstance(asked, Step) else Step(*asked)
        except StopIteration as end:
            self._asked = None
            self.last_words = end.value if isinstance(end.value, str) else ""
        except (CoAgentError, GiveUp) as failure:
            self._asked, self.failure = None, failure

    def _feed(self, made: Made) -> None:
        """Give the program what a call returns now, as far as the agent has been told."""
        self._at += 1
        running = self._running
        try:
            value = self._result(made)
        except CoAgentError as error:
            failure = error
            self._advance(lambda: running.throw(failure))
        else:
            self._advance(lambda: running.send(value))

    def _result(self, made: Made) -> Any:
        if made.call_id is None:
            assert made.error is not None
            raise made.error
        value = self.session.result(made.call_id)
        return "staged" if made.staged else value

    # ---- judging a call that stands ------------------------------------------------------------------------

    def _stands(self, made: Made) -> bool:
        if made.call_id is None:
            return True
        try:
            self.session.result(made.call_id)
        except UnknownCall:
            return False  # withdrawn by somebody else in the agent's name
        except CoAgentError:
            pass
        return True

    def _replaceable(self, made: Made, asked: Step) -> bool:
        """Tell whether the call can stay at its place, as it is or amended."""
        if made.call_id is None:
            return _equal(made, asked)
        # An amendment cannot take an argument away.
        return made.tool == asked.tool and set(made.arguments) <= set(asked.arguments)

    def _right(self, made: Made, asked: Step) -> bool:
        if not _equal(made, asked):
            return False
        if made.call_id is None or self.session.effective(made.call_id):
            return True
        try:
            self.session.result(made.call_id)
        except ToolFailed:
            return True  # it failed, which is what the program will be told
        return False  # it had failed and would go through now: it lapsed, so it has to be made again

    # ---- actions -------------------------------------------------------------------------------------------

    async def _call(self, asked: Step) -> None:
        for made in self._for_good:
            if _equal(made, asked):  # nobody sends the same message a second time for having sent it too soon
                self._for_good.remove(made)
                self.made.append(made)
                self._feed(made)
                return
        await self._think(asked.think_s, asked.tokens, asked.tool)
        self._repairing = False
        self.session.say(asked.says)
        self.tally.calls += 1
        made = Made(asked.tool, asked.arguments, None)
        notices: list[Notification] = []
        changed: Iterable[str] = ()
        try:
            outcome = await self.session.call(asked.tool, **asked.arguments)
        except (AgentNotActive, LogError):
            raise
        except AgentRestarted as error:
            self.begin_again(str(error))
            return
        except CoAgentError as error:
            self._log("failed", f"{_brief(asked)}: {error}")
            made.call_id, made.error, notices = error.call_id, error, error.notifications
        else:
            if outcome.status == "held_back":
                self.tally.calls -= 1
                self._log("held_back", _brief(asked))
                self.heed(outcome.notifications)
                self.distrust()
                return
            self._log("staged" if outcome.status == "staged" else "call", _brief(asked))
            made.call_id, made.staged = outcome.call_id, outcome.status == "staged"
            notices, changed = outcome.notifications, outcome.changed
        self.made.append(made)
        self._feed(made)
        self.heed(notices, changed)

    async def _amend(self, made: Made, asked: Step) -> None:
        await self._decide(asked)
        self.session.say(asked.says)
        assert made.call_id is not None
        self.tally.amended += 1
        self._log("amend", f"{made.call_id} {_brief(asked)}")
        notices: list[Notification] = []
        changed: Iterable[str] = ()
        try:
            outcome = await self.session.amend(made.call_id, **asked.arguments)
        except (AgentNotActive, LogError):
            raise
        except CoAgentError as error:
            notices = error.notifications
            if error.call_id is None:  # refused before it ran, so the old call still stands
                await self._withdraw(made)
                made.call_id = None
            made.error = error
        else:
            notices, changed = outcome.notifications, outcome.changed
        made.arguments = asked.arguments
        self._feed(made)
        self.heed(notices, changed)

    async def _undo_last(self) -> None:
        await self._decide(self._asked)
        made = self.made.pop()
        if made.call_id is not None:
            self._log("undo", f"{made.call_id} {made.tool}")
            await self._withdraw(made)

    async def _withdraw(self, made: Made) -> None:
        assert made.call_id is not None
        self.tally.undone += 1
        try:
            outcome = await self.session.undo(made.call_id)
        except NotReversible:
            self._for_good.append(made)  # it has happened; what is left is to go on from there
            return
        except UnknownCall:
            return
        self.heed(outcome.notifications, outcome.changed)

    async def _decide(self, asked: Step | None) -> None:
        """Charge the inference behind a repair, once."""
        if self._repairing:
            self._repairing = False
            await self._think(None, None, "repair" if asked is None else f"repair: {asked.tool}")


def _equal(made: Made, asked: Step) -> bool:
    return made.tool == asked.tool and same(dict(made.arguments), dict(asked.arguments))


def _brief(asked: Step) -> str:
    arguments = ", ".join(f"{name}={value!r}" for name, value in asked.arguments.items())
    text = f"{asked.tool}({arguments})"
    return text if len(text) <= 80 else f"{text[:79]}…"
