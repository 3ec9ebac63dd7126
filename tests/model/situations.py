"""A situation: the real kernel, the live state, and the ideal agents; and whatever may happen in it next.

Everything that takes time is in steps, so that anything else may come in between: a put that has arrived and
is not in the log yet, a run that has begun, what an outsider wrote and nobody has seen. An action is named by
the agent, call or object that it is about, so that the same trace can be gone through again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from befalling import HEIR, Action, Case, Put
from checkpoints import restored
from ideal_agents import REFUSED, Made, Move, Player, next_move, result_of
from kernel_world import NOTHING_TOUCHED, World
from touching import is_busy, rests_on

from coagent.protocol import events
from coagent.protocol.calls import Call, CallId, Observation
from coagent.protocol.decisions import Gate
from coagent.protocol.keys import Key
from coagent.protocol.mtpo import Mtpo
from coagent.protocol.participants import Participant
from coagent.protocol.phases import AgentPhase, CallPhase
from coagent.protocol.values import Value, same


class Situation:
    """One state of everything, of one case."""

    def __init__(self, case: Case, kernel: Mtpo | None = None) -> None:
        self.case = case
        self.world = World(case.initial, early=case.early, kernel=kernel)
        self.players = {name: Player(name) for name in case.programs}
        self.places: list[str] = []
        """The agents that have not ended, in order, by hand."""
        self.base: dict[Key, Value] = dict(case.initial)
        """What committed agents have left, by hand."""
        self.committed: list[str] = []
        self.sent: list[tuple[str, str]] = []
        self.puts: dict[Key, Put] = {}
        self.unseen: set[Key] = set()
        """What an outsider has written and nobody has noticed."""
        self.unsure: set[Key] = set()
        """The objects that somebody has written whose place is not known by hand."""
        self.aborts, self.refusals, self.crashes = case.aborts, case.refusals, case.crashes
        self.outside = dict(case.outside)
        self.dead: set[str] = set()
        self.left: dict[CallId, Observation] = {}
        """What cannot be taken back, has happened, and is not in the log yet: what it has seen and done."""
        self.kept: dict[Key, Value] = {}
        """What agents have written that were aborted, and that nobody can take back."""
        self.overtaken = False
        """Whether an outsider has come to count below what cannot be taken back: no serial run has that."""

    def begin(self) -> None:
        """Let everybody join who is there from the beginning."""
        for name in self.case.programs:
            if name not in self.case.inside:
                self._spawn(name)

    @property
    def kernel(self) -> Mtpo:
        return self.world.kernel

    def participant(self, player: Player) -> Participant:
        """Return an agent as the kernel knows it."""
        assert player.rank is not None, f"{player.name} has not joined"
        return self.kernel.agents[player.rank]

    def playing(self) -> Iterator[tuple[Player, Participant]]:
        """Yield the agents that have joined and not ended."""
        for player in self.players.values():
            if player.rank is not None and not player.end:
                yield player, self.participant(player)

    @property
    def quiescent(self) -> bool:
        """Whether everybody has ended, and nothing is left to be done."""
        kernel = self.kernel
        ended = all(player.end or player.rank is None for player in self.players.values())
        busy = kernel.has_work or kernel.has_effects or kernel.unsettled() or kernel._under_way
        return ended and not (busy or self.puts)

    # ---- what may happen -----------------------------------------------------------------------------------

    def actions(self) -> list[Action]:
        """Return all that may happen next."""
        found = [
            *self._of_agents(),
            *self._of_kernel(),
            *self._of_targets(),
            *self._of_dead(),
            *self._of_others(),
        ]
        return [Action(*one) for one in found]

    def _of_agents(self) -> Iterator[tuple[str, str]]:
        for player, agent in self.playing():
            if not self.is_served(agent) or agent.aborting:
                continue
            if agent.unread:
                yield "tell", player.name
            if player.look is not None:
                yield "record", player.name
            elif self._may_act(player, agent):
                yield "act", player.name

    def is_served(self, agent: Participant) -> bool:
        """Tell whether the client of an agent has a process that speaks for it."""
        home = self.case.owners.get(agent.name, "")
        return agent.owner not in self.dead and (agent.owner == home or self.case.on_death == "keep")

    def _may_act(self, player: Player, agent: Participant) -> bool:
        if any(call.phase in (CallPhase.RUNNING, CallPhase.UNKNOWN) for call in agent.calls.values()):
            return False
        move = self.move(player)
        if move.kind == "finish":
            return agent.phase is AgentPhase.ACTIVE and not agent.unread
        if move.kind == "call" and self._waits(player, move):
            return self.kernel.gate(agent, "wait") is Gate.RUN and not self._must_look(agent)
        if move.made is not None and move.kind == "amend":
            return move.made.call_id in agent.calls
        return True

    def move(self, player: Player) -> Move:
        """Return what an agent does next, as far as it is up to it."""
        move = next_move(self.case.programs[player.name], player.made)
        call = None if move.made is None else self.kernel.call(move.made.call_id)
        if self.overtaken and call is not None and call.has_happened:
            return Move("finish")  # there is nothing that it can do about it
        return move

    def waits_for_turn(self, name: str) -> bool:
        """Tell whether the agent is about to make a call that cannot be taken back."""
        player = self.players[name]
        return self._waits(player, self.move(player))

    def _waits(self, player: Player, move: Move) -> bool:
        return move.tool == "send" and player.name not in self.case.staging

    def _of_kernel(self) -> Iterator[tuple[str, str]]:
        kernel = self.kernel
        ready = kernel.ready()
        for call in ready.reexecute:
            yield "rerun", call.id
        if ready.promote is not None:
            for rank, _ in kernel.passers():
                yield "promote", kernel.agents[rank].name
        if ready.run is not None:
            agent = kernel.agents[ready.run.rank]
            if agent.owner not in self.dead and not self._must_look(agent):
                yield "begin", ready.run.id
        for call in kernel._under_way.values():
            yield from self._of_run(call)
        if ready.commit is not None and not self._must_look(kernel.agents[ready.commit]):
            yield "commit", kernel.agents[ready.commit].name

    def _of_run(self, call: Call) -> Iterator[tuple[str, str]]:
        """Yield what may become of a run that has begun."""
        if call.phase is CallPhase.UNKNOWN:  # somebody finds out what has become of it, and says so
            if call.id in self.left:
                yield "accept", call.id
            else:
                yield "drop", call.id
                if self.kernel.is_wanted(call):
                    yield "retry", call.id
        elif call.runner in self.dead:
            yield "lose", call.id
        elif self.case.owners and call.id not in self.left:
            yield "leave", call.id
        else:
            yield "ran", call.id

    def _of_dead(self) -> Iterator[tuple[str, str]]:
        """Yield what another process may do about what a dead one has left."""
        for player, agent in self.playing():
            if agent.owner in self.dead:
                yield "adopt", player.name
            unfinished = agent.phase is AgentPhase.ACTIVE or agent.unread
            if agent.owner not in self.dead and (
                agent.aborting or (unfinished and not self.is_served(agent))
            ):
                yield "end", player.name

    def _must_look(self, agent: Participant) -> bool:
        """Tell whether an outsider has changed a premise of the agent, and that is not in the log yet."""
        return rests_on(agent, self.unseen, writes=True)

    def _of_targets(self) -> Iterator[tuple[str, str]]:
        live = self.world.live
        for key, put in self.puts.items():
            if put.arrived:
                yield "report", key
            elif any(same(live.get(key), value) for value in put.expected):
                yield "arrive", key
            else:
                yield "miss", key
        for effect in self.kernel.effects():
            if effect.key in self.puts:
                continue
            if self.case.puts == "late" or any(
                same(live.get(effect.key), value) for value in effect.expected
            ):
                yield "put", effect.key
                if self.refusals:
                    yield "refuse", effect.key
        for key in self.kernel.stuck:
            yield "resolve", key
        for key in sorted(self.unseen):
            yield "see", key

    def _of_others(self) -> Iterator[tuple[str, str]]:
        for child, parent in self.case.inside.items():
            above = self.players[parent]
            if self.players[child].rank is None and above.rank is not None and not above.end:
                yield "spawn", child
        if self.aborts:
            for player, agent in self.playing():
                mortal = not self.case.mortal or player.name in self.case.mortal
                if mortal and not is_busy(agent) and agent.at_work:
                    yield "doom" if self.case.doomed else "abort", player.name
        for key in self.outside:
            yield "outside", key
        if self.crashes and not self.kernel._under_way:
            yield "crash", ""
        for owner in list(self.case.owners.values())[: not self.dead]:
            yield "die", owner

    # ---- happening -----------------------------------------------------------------------------------------

    def perform(self, action: Action) -> None:
        """Let something happen that may happen.

        Raises:
            AssertionError: The kernel did what it may not do.
        """
        forgotten = self.kernel.forgotten
        getattr(self, f"_{action.kind}")(action.about)
        if self.kernel.forgotten != forgotten:
            for player in self.players.values():
                player.look = None  # what was read from a target may not be so any more

    def _comes_below(self, keys: Collection[Key]) -> None:
        """Note that somebody's writes come to count whose place is not known by hand."""
        for _, agent in self.playing():
            calls = agent.calls.values()
            if rests_on(agent, keys) and any(call.has_happened for call in calls):
                self.overtaken = True

    def _spawn(self, name: str) -> None:
        kernel, after = self.kernel, self.case.inside.get(name)
        rank = kernel.next_rank()
        inside = None if after is None else self.players[after].rank
        owner, on_death = self.case.owners.get(name, ""), self.case.on_death
        self.world.take(events.Joined(name, rank, name in self.case.pinned, inside, owner, on_death))
        self.players[name].rank = rank
        self.places.insert(len(self.places) if after is None else self.places.index(after) + 1, name)

    def _act(self, name: str) -> None:
        player = self.players[name]
        move, agent = self.move(player), self.participant(player)
        if move.kind == "finish":
            self.world.take(events.Finished(agent.rank))
        elif move.kind == "undo":
            assert move.made is not None
            player.made.pop()
            if move.made.call_id in agent.calls:
                self.world.take(events.CallUndone(move.made.call_id))
        elif move.kind == "amend":
            self._amend(player, move)
        elif self._waits(player, move):
            begun = events.CallBegun(
                agent.rank, move.tool, move.arguments, NOTHING_TOUCHED, True, agent.owner
            )
            self.world.take(begun)
        elif move.tool == "send":
            call = self.world.take(events.CallStaged(agent.rank, move.tool, move.arguments))
            player.made.append(Made(call.id, move.tool, move.arguments, "staged"))
        elif name in self.case.slow:
            seen = self.world.observe(self.kernel.position(agent), move.tool, move.arguments)
            player.look = (move, seen)
        else:
            seen = self.world.observe(self.kernel.position(agent), move.tool, move.arguments)
            self._observed(player, move, seen)

    def _record(self, name: str) -> None:
        player = self.players[name]
        assert player.look is not None
        (move, seen), player.look = player.look, None
        if all(key in seen.bases or self.kernel.base_known(key) for key in seen.writes):
            self._observed(player, move, seen)

    def _observed(self, player: Player, move: Move, seen: Observation) -> None:
        agent = self.participant(player)
        call = self.world.take(events.CallObserved(agent.rank, move.tool, move.arguments, seen))
        player.made.append(Made(call.id, move.tool, move.arguments, result_of(seen)))

    def _amend(self, player: Player, move: Move) -> None:
        made = move.made
        assert made is not None
        call = self.kernel.call(made.call_id)
        assert call is not None, f"{made.call_id} is gone"
        assert not call.has_happened, f"{call} has happened, and should have been {move}"
        if call.phase is CallPhase.STAGED:
            self.world.take(events.StagedAmended(call.id, move.arguments))
            result: Value = "staged"
        else:
            seen = self.world.observe(call.position, move.tool, move.arguments)
            self.world.take(events.CallAmended(call.id, move.arguments, seen))
            result = result_of(seen)
        player.made[player.made.index(made)] = Made(call.id, move.tool, move.arguments, result)

    def _tell(self, name: str) -> None:
        player = self.players[name]
        agent = self.participant(player)
        inbox = self.kernel.inbox(agent)
        for index, one in enumerate(player.made):
            call = agent.calls.get(one.call_id)
            if call is not None and one.call_id in inbox.call_ids:
                player.made[index] = one._replace(
                    result=result_of(call.seen),
                    refused=call.seen.error == REFUSED,
                    idle=call.seen.error is None and call.lapsed,
                )
        self.world.take(events.NoticesDelivered(agent.rank, inbox.call_ids, inbox.keys))

    def _rerun(self, call_id: str) -> None:
        call = self.kernel.call(CallId(call_id))
        assert call is not None
        self.world.run_again(call)

    def _promote(self, name: str) -> None:
        player = self.players[name]
        orders = dict(self.kernel.passers())
        assert player.rank is not None
        self.world.take(events.Promoted(player.rank, orders[player.rank]))
        self.places.remove(name)
        self.places.insert(0, name)

    def _begin(self, call_id: str) -> None:
        call = self.kernel.call(CallId(call_id))
        assert call is not None
        self.world.take(events.RunBegun(call.id, NOTHING_TOUCHED, self.kernel.agents[call.rank].owner))

    def _leave(self, call_id: str) -> None:
        call = self.kernel._under_way[CallId(call_id)]
        assert call.id not in self.left, f"{call} happens twice"
        seen = self.world.observe(call.position, call.tool, call.arguments)
        bases = {key: self.world.value_at(key, call.position) for key in seen.writes}
        self.left[call.id] = seen._replace(
            bases=bases
        )  # it is recorded, even if its objects are forgotten first
        self.sent += [(call.agent, text) for text in self.world.sent]
        self.world.sent.clear()

    def _ran(self, call_id: str) -> None:
        if call_id not in self.left:
            self._leave(call_id)
        self._has_ended(call_id, self.left.pop(CallId(call_id)))

    def _has_ended(self, call_id: str, seen: Observation) -> None:
        call = self.kernel._under_way[CallId(call_id)]
        player = self.players[call.agent]
        waited = call.id not in {made.call_id for made in player.made}
        unknown = [key for key, _ in seen.reads if not self.kernel.base_known(key)]
        self.world.take(events.CallRan(call.id, seen))
        for key in unknown:  # it may have seen that some time ago: the target is found to hold something else
            known = self.kernel.base_known(key)
            if known and not same(self.kernel.live_value(key), self.world.live.get(key)):
                self.unseen.add(key)
        if player.end:  # it has happened, and what it wrote stands, wherever that counts
            self._keep(seen.writes)
        elif waited:
            refused = seen.error == REFUSED
            player.made.append(Made(call.id, call.tool, call.arguments, result_of(seen), refused))

    # ---- what the dead leave -------------------------------------------------------------------------------

    def _die(self, owner: str) -> None:
        """A process dies: what it was about to put is not put, and what it has seen nobody knows."""
        self.dead.add(owner)
        self.puts.clear()
        for player, agent in self.playing():
            if agent.owner == owner:
                player.look = None

    def _lose(self, call_id: str) -> None:
        self.world.take(events.RunLost(CallId(call_id)))

    def _accept(self, call_id: str) -> None:
        self._has_ended(call_id, self.left.pop(CallId(call_id)))

    def _drop(self, call_id: str) -> None:
        self._has_ended(call_id, Observation.failed(REFUSED))

    def _retry(self, call_id: str) -> None:
        self.world.take(events.RunBegun(CallId(call_id), NOTHING_TOUCHED, HEIR))

    def _adopt(self, name: str) -> None:
        agent = self.participant(self.players[name])
        before = agent.owner
        self.world.take(events.Attached(agent.rank, HEIR, agent.on_death))
        for word in (events.Finished(agent.rank), events.NoticesDelivered(agent.rank, ())):
            assert self.kernel.foreign(word, before) is not None, f"{before} still speaks for {name}"
            assert self.kernel.foreign(word, HEIR) is None, f"{HEIR} does not speak for {name}"

    def _commit(self, name: str) -> None:
        player = self.players[name]
        agent = self.participant(player)
        written = [call.writes for call in agent.calls.values()]
        self.world.take(events.Committed(agent.rank))
        for writes in written:
            self.base.update(writes)
        player.end = "committed"
        self.places.remove(name)
        self.committed.append(name)

    def _abort(self, name: str) -> None:
        self.aborts -= 1
        self._withdraw(name)

    def _doom(self, name: str) -> None:
        """Its abort begins, by whichever process: from now on it can only end."""
        self.aborts -= 1
        player = self.players[name]
        player.look = None
        self.world.take(events.AbortBegun(self.participant(player).rank, "", self.case.doomed))

    def _withdraw(self, name: str) -> None:
        player = self.players[name]
        agent = self.participant(player)
        kept = [call.writes for call in agent.calls.values() if call.has_happened]
        self.world.take(events.Aborted(agent.rank, ""))
        player.end, player.look = "aborted", None
        self.places.remove(name)
        for writes in kept:
            self._keep(writes)

    _end = _withdraw

    def _keep(self, writes: Mapping[Key, Value]) -> None:
        self.kept.update(writes)
        self.unsure.update(writes)
        self._comes_below(writes)

    # ---- targets and outsiders -----------------------------------------------------------------------------

    def _put(self, key: str) -> None:
        effect = next(one for one in self.kernel.effects() if one.key == key)
        self.puts[effect.key] = Put(effect.version, effect.value, effect.expected, False)
        if self.case.puts != "late":
            self._arrive(key)
        if self.case.puts == "one step":
            self._report(key)

    def _arrive(self, key: str) -> None:
        put = self.puts[Key(key)]
        self.world.set_outside(Key(key), put.value)
        self.puts[Key(key)] = put._replace(arrived=True)

    def _miss(self, key: str) -> None:
        """It finds what may not be there: somebody outside has written."""
        assert key in self.unseen, (
            f"the target of {key} holds {self.world.live.get(Key(key))!r}, and nobody wrote it"
        )
        del self.puts[Key(key)]
        self._see(key)

    def _report(self, key: str) -> None:
        self.world.take(events.EffectApplied(Key(key), self.puts.pop(Key(key)).version))

    def _refuse(self, key: str) -> None:
        self.refusals -= 1
        effect = next(one for one in self.kernel.effects() if one.key == key)
        self.world.take(events.EffectRefused(effect.key, effect.version, REFUSED))

    def _resolve(self, key: str) -> None:
        self.world.take(events.Resolved(Key(key), "retry"))

    def _outside(self, key: str) -> None:
        value = self.outside.pop(Key(key))
        self.world.set_outside(Key(key), value)
        self.unseen.add(Key(key))
        self.unsure.add(Key(key))

    def _see(self, key: str) -> None:
        self.unseen.discard(Key(key))
        self._comes_below({Key(key)})
        self.world.take(events.OutsideWrite(Key(key), self.world.live.get(Key(key))))

    def _crash(self, _: str) -> None:
        """The process is killed: what it was about to do is not done, and what it has done stays so."""
        self.crashes -= 1
        self.puts.clear()
        for player in self.players.values():
            player.look = None
        self.world.kernel = restored(self.kernel)
