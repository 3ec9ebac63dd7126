"""What a person can do from the page: undo, abort, resolve, restore, each after a look at what would change.

A preview comes with a ticket; who acts shows it, and where anything has changed since, nothing is done: two
people who undo at once do not undo twice.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio

from coagent.config.domain_file import configured, log_url, read_domain_file
from coagent.errors import ConfigurationError
from coagent.masking.mask import Mask
from coagent.oversight.deciding import Decision, decide
from coagent.oversight.previews import preview
from coagent.oversight.restoring import put_back
from coagent.oversight.restoring import there as there_now
from coagent.oversight.undoing import undo
from coagent.protocol.calls import CallId
from coagent.protocol.keys import Key
from coagent.protocol.participants import Participant
from coagent.protocol.values import same
from coagent.runtime.changes import change_of
from coagent.runtime.versions import Version, versions_of
from coagent.story.steps import Story
from coagent.story.trajectories import uid_of

_CALLS_SHOWN_MAX = 20
_KEYS_SHOWN_MAX = 5
_HOWS: tuple[Decision, ...] = ("retry", "accept", "drop")


class Changed(ConfigurationError):
    """Something has changed since the preview."""


class _Gone(ConfigurationError):
    """What an act is about was there, and is not any more."""


class Acts:
    """Acts on the domain of a file.

    Args:
        path: The domain file.
        mask: Of the page.
    """

    def __init__(self, path: Path, mask: Mask) -> None:
        self._path, self._mask = path, mask
        self._one_by_one = anyio.Lock()

    async def preview(self, story: Story, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return what an act would change.

        Args:
            story: Of the domain.
            body: The act: `{"act": "undo", "agent": RANK}` or `"call": UID`; "abort"; "resolve", "what",
                "how"; "restore", "key", "v", or "versions": several of those.

        Raises:
            ConfigurationError: It makes no sense, or there is nothing of that name any more.
        """
        story.advance()
        shown = await self._shown(story, body)
        data = json.dumps([shown, sorted(body.items(), key=str)], sort_keys=True, default=str)
        return {**shown, "ticket": hashlib.sha256(data.encode()).hexdigest()[:32]}

    async def act(self, story: Story, body: Mapping[str, Any]) -> dict[str, Any]:
        """Do it, if nothing has changed since the preview whose ticket comes with it.

        Raises:
            Changed: Something has.
            ConfigurationError: As `preview`.
            CoAgentError: It cannot be done.
        """
        async with self._one_by_one:
            wanted = {name: value for name, value in body.items() if name != "ticket"}
            now = await self.preview(story, wanted)
            if now["ticket"] != body.get("ticket"):
                raise Changed("something has changed since you looked", "Look again at what would change.")
            if not now["possible"]:
                raise ConfigurationError(now["why_not"])
            back = self._way_back(story, now)
            lines = await self._done(story, wanted)
            return {"done": True, "lines": lines, "back": back}

    # ---- previews ------------------------------------------------------------------------------------------

    async def _shown(self, story: Story, body: Mapping[str, Any]) -> dict[str, Any]:
        try:
            match body.get("act"):
                case "undo" | "abort":
                    return self._undoing(story, body)
                case "resolve":
                    return self._resolving(story, body)
                case "restore":
                    return await self._restoring(story, body)
                case other:
                    raise ConfigurationError(
                        f"there is no act {other!r}", "There are: undo, abort, resolve, restore."
                    )
        except _Gone as gone:  # no mistake of whoever asks: somebody else was first
            return _preview("There is nothing to do any more", [], [], f"{gone.cause}. {gone.cure}".strip())

    def _undoing(self, story: Story, body: Mapping[str, Any]) -> dict[str, Any]:
        agent, calls = self._meant(story, body)
        seen = preview(story.watch, calls)
        ends = body["act"] == "abort"
        lines = [f"{call} would be taken back" for call in seen.undone[:_CALLS_SHOWN_MAX]]
        lines += _more(seen.undone)
        lines += [f"{call} cannot be taken back and stays" for call in seen.kept]
        lines += [_run_again(story, call) for call in seen.again[:_CALLS_SHOWN_MAX]]
        lines += _more(seen.again)
        unsure = seen.reversed_outside or any(_written(story, call) for call in seen.again)
        if seen.reversed_outside:
            lines.append("a tool would take back what it did in its system, which cannot be seen from here")
        if ends:
            lines.append(f"{agent.name} would be ended")
        changes = [
            {"key": key, "diff": change_of(self._mask, key, before, after)}
            for key, (before, after) in sorted(seen.live.items())
        ]
        title = f"End {agent.name} and take back its work" if ends else f"Take back {_few(calls, agent.name)}"
        possible = bool(seen.undone) or ends
        why_not = None if possible else "nothing of it can be taken back"
        return _preview(title, changes, lines, why_not, unsure=unsure)

    def _meant(self, story: Story, body: Mapping[str, Any]) -> tuple[Participant, list[CallId]]:
        agents = [agent for agent in story.watch.kernel.agents.values() if not agent.ended]
        if body["act"] == "undo" and "call" in body:
            for agent in agents:
                for call in agent.calls.values():
                    if uid_of(call) == body["call"]:
                        return agent, [call.id]
            raise _Gone(
                "that call does not stand any more",
                "It was taken back meanwhile, or its agent has ended: what is committed can be restored.",
            )
        found = next((agent for agent in agents if agent.rank == body.get("agent")), None)
        if found is None:
            raise _Gone("that agent has ended", "What is committed stays; single versions can be restored.")
        return found, list(found.calls)

    def _resolving(self, story: Story, body: Mapping[str, Any]) -> dict[str, Any]:
        what, how = body.get("what"), body.get("how")
        if how not in _HOWS:
            raise ConfigurationError(f"there is no decision {how!r}", "There are: retry, accept, drop.")
        unknown = {call.call for call in story.watch.unknown()}
        if what in unknown:
            done = {
                "retry": "it would run again, under the name it had",
                "accept": "it would count as made",
                "drop": "it would count as not made",
            }
            return _preview(f"Decide about {what}", [], [done[how]], None)
        stuck = story.watch.kernel.stuck
        if what not in stuck or how == "drop":
            raise _Gone(f"{what!r} is not stuck any more")
        done = {
            "retry": "what it should hold would be put there again",
            "accept": "what is there would be taken for what it should hold",
        }
        return _preview(f"Decide about {what}", [], [f"it is stuck: {stuck[Key(what)]}", done[how]], None)

    async def _restoring(self, story: Story, body: Mapping[str, Any]) -> dict[str, Any]:
        changes, lines = [], []
        found = configured(self._path)
        for key, chosen, _ in self._versions(story, body):
            now = await there_now(found.domain, key)
            if same(now, chosen.value):
                lines.append(f"{key} is as it was: there is nothing to do")
            else:
                changes.append({"key": key, "diff": change_of(self._mask, Key(key), now, chosen.value)})
            if len(self._versions(story, body)) > 1:
                found = configured(self._path)
        lines.append("it would be written as if you had done so with an editor; agents at work are told")
        keys = ", ".join(change["key"] for change in changes) or "nothing"
        return _preview(f"Bring back {keys}", changes, lines, None if changes else "there is nothing to do")

    def _versions(self, story: Story, body: Mapping[str, Any]) -> list[tuple[str, Version, list[Version]]]:
        asked = body.get("versions") or [{"key": body.get("key"), "v": body.get("v")}]
        url = log_url(read_domain_file(self._path).log, self._path.resolve().parent)
        found = []
        for change in asked:
            key, number = change.get("key"), change.get("v")
            if not isinstance(key, str) or not isinstance(number, int):
                raise ConfigurationError("a version is named by its object and its number")
            versions = versions_of(url, Key(key))
            chosen = next(
                (version for version in versions if story.values.number_of(key, version.value) == number),
                None,
            )
            if chosen is None:
                raise ConfigurationError(f"{key!r} has no such version in the log")
            found.append((key, chosen, versions))
        return found

    # ---- acts ----------------------------------------------------------------------------------------------

    def _way_back(self, story: Story, shown: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the act that would bring back what is there now, where there is one."""
        kernel = story.watch.kernel
        versions = []
        for change in shown["changes"]:
            value = kernel.live_value(change["key"])
            known = kernel.base_known(change["key"])
            if known:
                versions.append({"key": change["key"], "v": story.values.number_of(change["key"], value)})
        return {"act": "restore", "versions": versions} if versions else None

    async def _done(self, story: Story, body: Mapping[str, Any]) -> list[str]:
        found = configured(self._path)
        if body["act"] == "resolve":
            left = await decide(found.domain, body["what"], body["how"])
            return [f"{body['what']} is still not decided: {left}" if left else f"{body['what']} is decided"]
        if body["act"] == "restore":
            lines = []
            async with found.domain as domain:
                for key, chosen, versions in self._versions(story, body):
                    await put_back(domain, key, versions, chosen)
                    lines.append(f"{key} is as it was in record {chosen.number}")
            return lines
        agent, calls = self._meant(story, body)
        what = calls[0] if "call" in body else agent.name
        async with found.domain as domain:
            done = await undo(domain, what, abort=body["act"] == "abort")
        lines = [f"{call.call} {call.tool} was taken back" for call in done.undone]
        lines += [f"{call.call} {call.tool} cannot be taken back and stays" for call in done.kept]
        lines += [f"{call} gives something else now" for call in done.changed]
        return [*lines, *([f"{done.agent} was ended"] if done.aborted else [])]


def _preview(
    title: str, changes: list[dict[str, Any]], lines: list[str], why_not: str | None, *, unsure: bool = False
) -> dict[str, Any]:
    return {
        "title": title,
        "changes": changes,
        "lines": lines,
        "unsure": unsure,
        "possible": why_not is None,
        "why_not": why_not,
    }


def _run_again(story: Story, call_id: CallId) -> str:
    keys = _written(story, call_id)
    more = f" and {len(keys) - _KEYS_SHOWN_MAX} more" if len(keys) > _KEYS_SHOWN_MAX else ""
    may = f", and may change {', '.join(keys[:_KEYS_SHOWN_MAX])}{more}" if keys else ""
    return f"{call_id} would run again{may}"


def _written(story: Story, call_id: CallId) -> list[Key]:
    """Return what a call has written as it ran last."""
    call = story.watch.kernel.call(call_id)
    return [] if call is None else sorted(call.writes)


def _few(calls: list[CallId], agent: str) -> str:
    return calls[0] if len(calls) == 1 else f"all {len(calls)} calls of {agent}"


def _more(calls: list[CallId]) -> list[str]:
    more = len(calls) - _CALLS_SHOWN_MAX
    return [f"and {more} more"] if more > 0 else []
