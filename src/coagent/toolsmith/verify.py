"""The verifier: tries a tool in throw-away views and says of each claim whether it held.

A tool that has not passed is never run on the target. What is tried: that it does what the command did from
which it was made; that it changes only what it declares, with its own arguments, with others, and with
hostile ones; that two runs on one state do the same; that the reverse restores every byte, mode and name;
and whether what it leaves depends on what was there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import anyio.to_thread

from coagent.content import Content
from coagent.errors import ToolFailed
from coagent.systems.files.workspace import Workspace
from coagent.toolsmith.arguments import check_arguments
from coagent.toolsmith.footprint import emptied_folders, fill_templates, observed_templates, outside
from coagent.toolsmith.hostile import HOSTILE
from coagent.toolsmith.spec import Check, ToolSpec, Verified
from coagent.toolsmith.stages import decode
from coagent.toolsmith.trial import Trial, Trials

_VARIANTS_MAX = 3
_ARGUMENTS_MAX = 4
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[()][A-Z0-9]|.)|[\x00-\x08\x0e-\x1f]")  # ECMA-48
_BEFORE_IMAGE = "before-image"


class Verifier:
    """Verifies tools for one workspace.

    Args:
        workspace: The workspace; nothing in it is changed.
        timeout_s: How long one run of a tool may take, in seconds.
        trials: What runs them.
    """

    def __init__(
        self, workspace: Workspace, *, timeout_s: float = 20.0, trials: type[Trials] = Trials
    ) -> None:
        self._workspace = workspace
        self._trials = trials
        self._timeout_s = timeout_s

    async def verify(
        self, spec: ToolSpec, arguments: Sequence[Mapping[str, Any]], *, like: str = ""
    ) -> ToolSpec:
        """Return a tool with what was found of it; `is_verified` tells whether all was well.

        Args:
            spec: The tool. Where it declares neither reads nor writes of its own words, they are observed.
            arguments: With which it is tried; the first are those of the command.
            like: The command that it was made of.

        Raises:
            TargetError: No throw-away view can be made here.
        """
        return await anyio.to_thread.run_sync(self._verify, spec, list(arguments)[:_ARGUMENTS_MAX], like)

    async def matches(self, spec: ToolSpec, arguments: Mapping[str, Any], like: str) -> bool:
        """Tell whether a tool does with some arguments what a command does, and no more than it declares.

        Raises:
            TargetError: No throw-away view can be made here.
        """

        def compare() -> bool:
            with self._trials(self._workspace, timeout_s=self._timeout_s) as trials:
                values = check_arguments(spec, self._workspace, arguments)
                trial = trials.run(spec.command, values)
                keys = fill_templates(spec, spec.writes, values)
                if trial.unkept or outside(keys, trial.changes, trials.content):
                    return False
                return trial.effect == trials.run(like).effect

        try:
            return await anyio.to_thread.run_sync(compare)
        except ToolFailed:
            return False

    def _verify(self, spec: ToolSpec, arguments: list[Mapping[str, Any]], like: str) -> ToolSpec:
        with self._trials(self._workspace, timeout_s=self._timeout_s) as trials:
            found = _Verification(self._workspace, trials, spec)
            try:
                found.run(arguments, like)
            except _Stopped:
                pass
            except ToolFailed as failure:
                found.say("arguments", False, str(failure))
            return found.spec.model_copy(
                update={
                    "verified": Verified(digest=found.spec.digest, checks=found.checks),
                    "blind": found.blind,
                    "examples": [dict(values) for values in arguments],
                }
            )


def _last_line(output: str) -> str:
    """Return the end of an output in one line, without what moves the cursor of a terminal."""
    return " ".join(_ESCAPES.sub(" ", output).split())[-300:]


class _Stopped(Exception):
    """Nothing more can be tried."""


class _Verification:
    """One tool under the verifier."""

    def __init__(self, workspace: Workspace, trials: Trials, spec: ToolSpec) -> None:
        self.spec = spec
        self.checks: list[Check] = []
        self.blind: bool | None = None
        self._workspace = workspace
        self._trials = trials

    def say(self, name: str, passed: bool, why: str = "") -> None:
        self.checks.append(Check(name=name, passed=passed, why=why[:500]))

    def run(self, arguments: list[Mapping[str, Any]], like: str) -> None:
        values = check_arguments(self.spec, self._workspace, arguments[0] if arguments else {})
        first = self._trials.run(self.spec.command, values)
        self._ends(first)
        if self.spec.maker == "example" and not self.spec.writes and first.changes:
            self._observe(first, values)
        if like:
            self._does_the_same(first, like)
        self._restorable(first)
        again = self._trials.run(self.spec.command, values)
        self.say(
            "deterministic", first.effect == again.effect,
            "" if first.effect == again.effect else "two runs on one state did not do the same",
        )  # fmt: skip
        self._within(first, values, "footprint")
        for number, other in enumerate([*arguments[1:], *self._variants(arguments)]):
            self._try(other, f"footprint with other arguments ({number + 1})")
        self._hostile(arguments[0] if arguments else {})
        if self.spec.effect == "write":
            self._reverses(first, values)
            self._measure_blind(first, values)

    def _ends(self, trial: Trial) -> None:
        if trial.exit_code is None:
            self.say("ends", False, "it has not ended in time, or waits for something")
            raise _Stopped
        passed = trial.exit_code == 0
        what = f"exit code {trial.exit_code}: {_last_line(trial.output)}"
        if trial.exit_code == 127:
            what = f"a program is not installed: {_last_line(trial.output)}"
        self.say("ends", passed, "" if passed else what)
        if not passed:
            raise _Stopped

    def _observe(self, trial: Trial, values: Mapping[str, str]) -> None:
        """Declare what was seen to be written; whether it is so with other arguments is tried next."""
        writes = observed_templates(self.spec, values, trial.changes.keys() - emptied_folders(trial.changes))
        update = {"writes": writes, "effect": "write", "reverse": _BEFORE_IMAGE}
        self.spec = self.spec.model_copy(update=update)

    def _does_the_same(self, trial: Trial, like: str) -> None:
        """Compare a run with one of the command that the tool was made of."""
        original = self._trials.run(like)
        same = original.effect == trial.effect
        self.say("does what the command does", same, "" if same else "it gives something else")
        if not same:
            raise _Stopped

    def _restorable(self, trial: Trial) -> None:
        self.say(
            "leaves only files", not trial.unkept,
            f"it makes what could not be undone: {', '.join(trial.unkept)}" if trial.unkept else "",
        )  # fmt: skip

    def _within(self, trial: Trial, values: Mapping[str, str], name: str) -> None:
        keys = fill_templates(self.spec, self.spec.writes, values)
        stray = outside(keys, trial.changes, self._trials.content)
        self.say(name, not stray, f"it changes {', '.join(stray[:5])}" if stray else "")

    def _try(self, arguments: Mapping[str, Any], name: str) -> None:
        try:
            values = check_arguments(self.spec, self._workspace, arguments)
        except ToolFailed:
            return
        trial = self._trials.run(self.spec.command, values)
        if trial.exit_code == 0:  # a call that fails changes nothing
            self._within(trial, values, name)

    def _variants(self, arguments: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
        """Yield the arguments with other files of the same kind."""
        base = arguments[0] if arguments else {}
        for name, parameter in self.spec.parameters.items():
            if parameter.type != "path" or name not in base:
                continue
            suffix = str(base[name]).rpartition(".")[2]
            others = [
                path for path in self._trials.files() if path.endswith(f".{suffix}") and path != base[name]
            ]
            for other in others[:_VARIANTS_MAX]:
                yield {**base, name: other}

    def _hostile(self, arguments: Mapping[str, Any]) -> None:
        """Try values that would be code, options or paths elsewhere if anything took them for that."""
        stray: list[str] = []
        count = refused = 0
        for name in self.spec.parameters:
            for hostile in self._hostile_values(name, arguments):
                try:
                    values = check_arguments(self.spec, self._workspace, {**arguments, name: hostile})
                except ToolFailed:
                    continue
                count += 1
                trial = self._trials.run(self.spec.command, values)
                if trial.exit_code is None:
                    stray.append(f"{name}={str(hostile)[-80:]} never ends")
                elif trial.exit_code == 0:
                    keys = fill_templates(self.spec, self.spec.writes, values)
                    found = outside(keys, trial.changes, self._trials.content)
                    files = {key.partition(":")[2].partition("#")[0] for key in keys}
                    refused += bool(found)
                    # Another part of the file that it may change is refused when it happens.
                    stray += [
                        f"{name}={str(hostile)[-80:]} changes {key}"
                        for key in found
                        if key.partition(":")[2].partition("#")[0] not in files
                    ]
        why = f"{count} tried" + (f", {refused} refused for what they would change" if refused else "")
        self.say("hostile arguments", not stray, "; ".join(stray[:3]) if stray else why)

    def _hostile_values(self, name: str, arguments: Mapping[str, Any]) -> Iterator[Any]:
        """Yield values of a parameter; in a pipeline they stand for each of its words in turn."""
        if self.spec.parameters[name].type != "stages" or name not in arguments:
            yield from HOSTILE
            return
        value = arguments[name]
        stages = decode(value) if isinstance(value, str) else value
        for at, stage in enumerate(stages):
            for number in range(len(stage)):
                for hostile in HOSTILE:
                    words = [*stage[:number], hostile, *stage[number + 1 :]]
                    yield [*stages[:at], words, *stages[at + 1 :]]

    def _reverses(self, trial: Trial, values: dict[str, str]) -> None:
        """Take a run back and compare the tree with what it was."""
        if self.spec.reverse == _BEFORE_IMAGE:
            after = self._restore(trial, values)
        else:
            environment = dict(values)
            if self.spec.prepare:
                environment["prepared"] = self._trials.run(self.spec.prepare, values).output.rstrip("\n")
            back = self._trials.run(self.spec.reverse, environment, trial.changes)
            after = {} if back.exit_code == 0 and not back.unkept else {"": None}
            after.update(back.changes)
        left = sorted(after)
        why = f"after it {', '.join(left[:5])} is not as before" if left else ""
        self.say("reverse restores the state", not left, why)

    def _restore(self, trial: Trial, values: Mapping[str, str]) -> dict[str, Content | None]:
        """Put back what the declared keys held before, from a copy taken by these keys alone."""
        images: dict[str, Content | None] = {}
        for key in fill_templates(self.spec, self.spec.writes, values):
            path = key.partition(":")[2].partition("#")[0]
            if key.endswith(("/", ":")):
                images.update({file: self._trials.content(file) for file in self._trials.files(path)})
                images.update(
                    {key: None for key in trial.changes if key.startswith(path) and key not in images}
                )
            else:
                images[path] = self._trials.content(path)
        for path in emptied_folders(trial.changes):  # they come and go with what is in them
            images[path] = self._trials.content(path)
        state = {**trial.changes, **images}
        return {path: value for path, value in state.items() if value != self._trials.content(path)}

    def _measure_blind(self, trial: Trial, values: Mapping[str, str]) -> None:
        """Run it where what it writes was something else before: is the result the same?"""
        altered: dict[str, Content | None] = {}
        for path in trial.changes:
            old, new = self._trials.content(path), trial.changes[path]
            if old is not None and old.is_file:
                altered[path] = old._replace(data=old.data + b"\n# altered\n")
            elif old is None and new is not None and new.kind != "folder":
                altered[path] = Content(b"altered\n")
        other = self._trials.run(self.spec.command, values, altered)
        self.blind = other.exit_code == 0 and all(
            other.changes.get(path, self._trials.content(path)) == content
            for path, content in trial.changes.items()
        )
        self.say("blind or read-modify-write", True, "blind" if self.blind else "read-modify-write")
