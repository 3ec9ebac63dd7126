"""What the simulator's runs append is right: whatever agents, outsiders and crashes do in them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from honest import Honest, kept_logs, logs_of, report_of

from coagent.log.open import open_reader
from coagent_lab.sim import crash, owning
from coagent_lab.sim.options import Kind
from coagent_lab.sim.run import run_seed

SEEDS: dict[Kind, int] = {
    "plain": 60,
    "outside": 40,
    "early": 40,
    "inside": 40,
    "racing": 40,
    "declared": 30,
    "failing": 30,
    "restored": 30,
    "swarm": 15,
}


def wrong_in(logs: list[Honest]) -> list[str]:
    """Return what an audit says is wrong in logs in which nothing is."""
    return [one.text for log in logs for one in report_of(log).findings.kept if one.failing]


@pytest.mark.parametrize("kind", SEEDS)
def test_honest_logs_are_right(kind: Kind) -> None:
    for seed in range(1, SEEDS[kind] + 1):
        assert not wrong_in(logs_of(seed, kind)), f"seed {seed} of kind {kind}"


@pytest.mark.long
@pytest.mark.parametrize("kind", SEEDS)
def test_more_of_them_are(kind: Kind) -> None:
    for seed in range(10_000, 10_000 + 12 * SEEDS[kind]):
        assert not wrong_in(logs_of(seed, kind)), f"seed {seed} of kind {kind}"


class _Kept(tempfile.TemporaryDirectory[str]):
    """A folder whose log is read before it goes."""

    logs: list[Honest]

    def __exit__(self, *error: Any) -> None:
        path = Path(self.name) / "log"
        if path.exists() and path.stat().st_size:
            reader = open_reader(f"sqlite:{path}")
            texts = [text for some in iter(reader.texts, []) for _, text in some]
            self.logs.append(Honest(reader.settings, texts))
            reader.close()
        super().__exit__(*error)


@pytest.fixture
def kept_files(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Honest]]:
    """The logs on disk of runs whose processes die."""
    _Kept.logs = []
    for module in (crash, owning):
        monkeypatch.setattr(module.tempfile, "TemporaryDirectory", _Kept)
    return _Kept.logs


@pytest.mark.parametrize("kind", ["crash", "owners"])
def test_logs_of_processes_that_die_are_right(kind: Kind, kept_files: list[Honest]) -> None:
    for seed in range(1, 8):
        run_seed(seed, kind=kind)
    assert len(kept_files) > 7
    assert not wrong_in(kept_files)


def test_logs_without_concurrency_are_right() -> None:
    for seed in range(1, 41):
        assert not wrong_in(logs_of(seed, protocol="serial")), f"seed {seed}"


def test_most_of_what_committed_calls_saw_is_derived() -> None:
    tallies = [report_of(log).tally for seed in range(1, 41) for log in logs_of(seed)]
    reads, unchecked = sum(one.reads for one in tallies), sum(one.unchecked for one in tallies)
    assert reads > 300
    assert unchecked < reads / 20


def test_a_log_that_ends_in_the_middle_is_right_as_far_as_it_goes() -> None:
    with kept_logs() as logs:
        run_seed(3)
    log = max(logs, key=lambda one: len(one.texts))
    for length in range(len(log.texts)):
        assert not wrong_in([Honest(log.settings, log.texts[:length])]), f"its first {length} records"
