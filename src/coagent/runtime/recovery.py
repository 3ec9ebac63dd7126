"""What becomes of the agents and runs of a process that has died: whichever process comes next sees to them.

It attaches the agents, which nobody else does at the same time and after which the dead one is refused,
should it only have been stopped. Finished agents go on to their commit here; of unfinished ones their own
setting tells (`OnDeath`). Runs that were under way are lost: nobody knows whether they have had their effect.
"""

from __future__ import annotations

import contextlib

from coagent.errors import AgentNotActive, CoAgentError, LogError, TargetError
from coagent.protocol.calls import Call, Rank
from coagent.protocol.events import Attached, Event, Finished, ReversalFailed, RunLost
from coagent.protocol.keys import Key
from coagent.protocol.participants import Participant
from coagent.protocol.phases import AgentPhase, CallPhase
from coagent.runtime.deciding import Decisions
from coagent.runtime.runner import Parts
from coagent.runtime.session import AgentSession
from coagent.runtime.work import Work

REASON = "its process has died, or has given no sign of life for too long"


class Recovery:
    """Sees to what the dead have left.

    Args:
        parts: The domain's.
        work: That goes on with what is finished.
        decisions: Finds out about runs that are lost.
    """

    def __init__(self, parts: Parts, work: Work, decisions: Decisions) -> None:
        self._parts = parts
        self._decisions = decisions
        self._work = work
        self.adopted: set[Rank] = set()
        """The agents of dead processes that are this one's now, and that no client speaks for."""
        self._to_tidy: set[Key] | None = None
        """Objects that the dead may have been putting; None before anybody has looked."""

    async def recover(self) -> None:
        """Take what the dead have left, and go on with it as far as can be now.

        Raises:
            LogError: The log cannot be read or written.
        """
        kernel, tenure = self._parts.kernel, self._parts.recorder.tenure
        if tenure.owner:
            others = kernel.owners() - {tenure.owner}
            dead = sorted(await tenure.dead(others)) if others else ()
            await self._tidy(anew=bool(dead))
            for owner in dead:
                await self._take_from(owner)
            await self._run_what_is_due()
        await self._take_up_ending()
        for rank in sorted(self.adopted):
            await self._go_on(rank)
        self._decisions.begin()

    def release(self, rank: Rank) -> None:
        """Note that a client speaks for an agent from now on."""
        self.adopted.discard(rank)

    async def _tidy(self, *, anew: bool) -> None:
        """Have targets see to what the dead may have left half done; what is away is asked again."""
        kernel, targets = self._parts.kernel, self._parts.targets
        if self._to_tidy is None or anew:
            self._to_tidy = {effect.key for effect in kernel.effects()} if kernel.has_effects else set()
        for target in dict.fromkeys(targets.of(key) for key in sorted(self._to_tidy)):
            keys = {key for key in self._to_tidy if targets.of(key) is target}
            with contextlib.suppress(TargetError):
                await target.tidy(keys)
                self._to_tidy -= keys

    # ---- taking --------------------------------------------------------------------------------------------

    async def _take_from(self, owner: str) -> None:
        agents, calls = self._parts.kernel.left_by(owner)
        for call in calls:
            await self._parts.recorder.record(lambda: self._lost(call))  # noqa: B023 - it is recorded at once
        for agent in agents:
            if agent.phase is AgentPhase.FINISHED and not agent.unread:
                continue  # anybody commits it when its turn has come
            if self._is_left_alone(agent):
                await self._parts.recorder.record(lambda: self._attached(agent, owner, ""))  # noqa: B023
            else:
                await self._adopt(agent, owner)

    async def _run_what_is_due(self) -> None:
        """Take up a finished agent that nobody serves any more, once its staged calls have to run."""
        kernel = self._parts.kernel
        due = kernel.ready().run if kernel.has_work else None
        if due is not None:
            agent = kernel.agents[due.rank]
            if not agent.owner or agent.owner in await self._parts.recorder.tenure.dead({agent.owner}):
                await self._adopt(agent, agent.owner)

    async def _take_up_ending(self) -> None:
        """Take up agents whose abort has begun, and did not come to its end here, or is nobody's to end."""
        for agent in list(self._parts.kernel.agents.values()):
            if agent.aborting and self._parts.recorder.serves(agent):
                self.adopted.add(agent.rank)
            elif agent.aborting and not agent.owner:
                await self._adopt(agent, "")

    async def _adopt(self, agent: Participant, before: str) -> None:
        if not self._can_be_ended(agent):
            return  # another process has the tools
        mine = self._parts.recorder.tenure.owner
        if await self._parts.recorder.record(lambda: self._attached(agent, before, mine)) is not None:
            self.adopted.add(agent.rank)

    def _lost(self, call: Call) -> Event | None:
        if call.under_way is None:
            return None
        if call.phase is CallPhase.RUNNING:
            return RunLost(call.id)
        if call.phase is not CallPhase.REVERSING:
            return None
        keys = ", ".join(sorted(call.writes))
        return ReversalFailed(
            call.id,
            f"the process that was taking back call {call.id!r} ({call.tool}) has died: "
            f"the state of {keys} is unknown",
        )

    def _attached(self, agent: Participant, before: str, owner: str) -> Event | None:
        if agent.ended or agent.owner != before:
            return None  # somebody else has come first
        return Attached(agent.rank, owner, agent.on_death)

    @staticmethod
    def _is_left_alone(agent: Participant) -> bool:
        return agent.on_death == "keep" and (agent.phase is AgentPhase.ACTIVE or agent.unread)

    def _can_be_ended(self, agent: Participant) -> bool:
        """Tell whether the tools are here that take back, or have yet to run, what the agent has called."""
        find = self._parts.catalog.find
        return all(
            find(call.tool) is not None
            for call in agent.calls.values()
            if call.applied or call.phase is CallPhase.STAGED
        )

    # ---- going on ------------------------------------------------------------------------------------------

    async def _go_on(self, rank: Rank) -> None:
        agent, recorder = self._parts.kernel.agents.get(rank), self._parts.recorder
        if agent is None or not recorder.serves(agent):
            self.adopted.discard(rank)
            return
        mine = agent.owner
        if agent.phase is AgentPhase.FINISHED and not agent.unread:
            return  # it is committed when its turn has come
        if self._is_left_alone(agent):
            await recorder.record(lambda: self._attached(agent, mine, ""))
        elif agent.at_work and agent.on_death == "commit" and _is_complete(agent):
            await recorder.record(lambda: Finished(rank) if self._may_finish(agent) else None)
        elif rank not in self._parts.ending:
            if any(call.declared for call in agent.calls.values()):
                self._parts.tasks.start(self._end, agent)  # their tools may take their time
            else:
                await self._end(agent)

    def _may_finish(self, agent: Participant) -> bool:
        """Tell whether an agent can be said to have finished here; somebody else may have taken it up."""
        served = self._parts.recorder.serves(agent)
        return served and agent.phase is AgentPhase.ACTIVE and not agent.unread

    async def _end(self, agent: Participant) -> None:
        try:
            await AgentSession(self._parts, self._work, agent).abort(REASON)
        except (AgentNotActive, TargetError, LogError):
            pass  # somebody has come first; or it is tried again
        except CoAgentError as failure:
            self._work.fail(failure)


def _is_complete(agent: Participant) -> bool:
    """Tell whether nothing is left open of what an agent has done so far."""
    return not agent.unread and all(call.under_way is None for call in agent.calls.values())
