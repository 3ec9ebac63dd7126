"""The steps of a story say enough to build trajectories up again after every event of random runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

import coagent
from coagent.log.base import LogSettings
from coagent.log.codec import Recorded
from coagent.log.keeping import keep
from coagent.masking.mask import Mask
from coagent.protocol.trajectory import OutsideEdit
from coagent.story.steps import Story
from coagent.story.trajectories import uid_of
from coagent_lab.sim.options import Kind, options_of
from coagent_lab.sim.simulation import Simulation
from coagent_lab.sim.targets import Systems
from coagent_lab.sim.tools import TOOLS
from coagent_lab.sim.trial import Trial
from coagent_lab.sim.world import make_world

Writes = dict[tuple[int, int, int], tuple[str, int]]


class Folded:
    """Trajectories as a page builds them up."""

    def __init__(self) -> None:
        self.bases: dict[str, int | None] = {}
        self.writes: dict[str, Writes] = {}

    def take(self, step: dict[str, Any]) -> None:
        for operation in step.get("ops", ()):
            kind, key, *rest = operation
            at = tuple(rest[:3])
            writes = self.writes.setdefault(key, {})
            if kind == "base":
                self.bases[key] = rest[0]
            elif kind == "set":
                writes[at] = (rest[3], rest[4])
            else:
                del writes[at]


def kept_run(seed: int, kind: Kind, path: Path) -> None:
    """Make a random run, and keep its log."""
    options = replace(options_of(seed, "memory", "memory", "mtpo", kind), watched=True, restoring=0.0)
    world = make_world(
        seed, "memory", headed=options.outside > 0, declared=kind in ("declared", "failing"), final=True
    )
    with Systems("memory") as systems:
        run = Simulation(Trial(seed, options, world, seed), systems)
        verdict = anyio.run(run.verdict)
    assert verdict.violation is None, verdict.violation
    records = [Recorded(event, 1000 * number) for number, event in enumerate(run.events)]
    anyio.run(keep, path, LogSettings("mtpo", options.order, ()), records)


def differences(story: Story, folded: Folded) -> list[str]:
    found = []
    kernel = story.watch.kernel
    for key in kernel.tracked_keys():
        trajectory = kernel.trajectory(key)
        assert trajectory is not None
        wanted = [
            ("outside" if isinstance(one, OutsideEdit) else uid_of(one), one.writes[key])
            for one in trajectory.writers
        ]
        have = [write for _, write in sorted(folded.writes.get(key, {}).items())]
        if [who for who, _ in wanted] != [who for who, _ in have]:
            found.append(f"{key}: {have}, not {wanted}")
        declared = any(not isinstance(one, OutsideEdit) and one.declared for one in trajectory.writers)
        if declared:
            continue
        for (_, value), (_, number) in zip(wanted, have, strict=False):
            if story.values.number_of(key, value) != number:
                found.append(f"{key}: value {number} is not {value!r}")
        base = folded.bases.get(key)
        if trajectory.base_known and base != story.values.number_of(key, trajectory.base):
            found.append(f"{key}: base {base} is not {trajectory.base!r}")
    leftover = {key for key, writes in folded.writes.items() if writes} - set(kernel.tracked_keys())
    return [*found, *(f"{key}: writes of nobody are left" for key in leftover)]


@pytest.mark.parametrize("kind", ["plain", "early", "outside", "inside", "declared", "failing"])
def test_the_operations_of_steps_build_up_the_trajectories_after_every_event(
    kind: Kind, tmp_path: Path
) -> None:
    for seed in range(1, 9):
        kept_run(seed, kind, tmp_path / f"{seed}.log")
        story = Story(f"sqlite:{tmp_path}/{seed}.log", Mask())
        folded, after = Folded(), -1
        while story.advance(1):
            for step in story.steps(after):
                folded.take(step)
                after = step["n"]
            assert not differences(story, folded), f"{kind} {seed}, record {story.watch.number}"
        assert len(story) > 3
        story.close()


def test_a_story_that_begins_in_the_middle_says_what_stands_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log"
    monkeypatch.setattr("coagent.runtime.recorder._CHECKPOINT_EVENTS_MIN", 10)

    async def work() -> None:
        tools = list(TOOLS)
        async with coagent.open_domain(
            f"sqlite:{path}", targets=[coagent.targets.Memory({"kv:x": {"n": 1}})], tools=tools
        ) as domain:
            first, second = await domain.join("A"), await domain.join("B")
            for number in range(30):
                await first.call("put", key="kv:x", value={"n": number})
                await second.call("put", key=f"kv:{number}", value={"n": number})

    anyio.run(work)
    story = Story(f"sqlite:{path}", Mask(), tail=5)
    assert story.header["first"] > 0
    story.advance()
    steps = story.steps()
    assert steps[0]["kind"] == "begin"
    assert [one["name"] for one in steps[0]["agents"]] == ["A", "B"]
    assert {one["id"] for one in steps[0]["calls"]} >= {"A.1", "B.1"}
    assert len(steps) < 60
    folded = Folded()
    for step in steps:
        folded.take(step)
    assert not differences(story, folded)
    assert len(folded.writes["kv:x"]) == 30
    story.close()
