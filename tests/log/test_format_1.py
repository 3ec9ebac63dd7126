"""Logs that an earlier version wrote are opened, put right where it left them wrong, and continued."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Mapping
from pathlib import Path

import anyio
import pytest
from make_format_1 import INITIAL, LOGS, TOOLS, accounts, goes_on, sent

import coagent
from coagent import Domain, targets
from coagent.log.codec import FORMAT
from coagent.log.reader import LogReader
from coagent.protocol.events import Event
from coagent.protocol.mtpo import Mtpo
from coagent.protocol.values import Value
from coagent_lab.sim.dump import dump

FIXTURES = Path(__file__).parent / "fixtures"
SOUND = ["format_1", "format_1_declared"]
DAMAGED = ["format_1_aborted_twice", "format_1_mailed_after_an_abort"]


@pytest.fixture
def memory() -> targets.Memory:
    """The shelf as it was when the logs were begun: what they hold is brought to it."""
    return targets.Memory(INITIAL, schemes=("kv",))


def world_of(bank: Mapping[str, int]) -> None:
    """Let the bank be as a log left it, and mails arrive at once."""
    accounts.clear()
    accounts.update(bank)
    sent.clear()
    goes_on.set()


def copied(name: str, directory: Path) -> Path:
    path = directory / "log"
    shutil.copyfile(FIXTURES / f"{name}.sqlite", path)
    path.chmod(0o600)
    return path


def opened(path: Path, memory: targets.Memory) -> Domain:
    return coagent.open_domain(f"sqlite:{path}", targets=[memory], tools=TOOLS)


def format_of(path: Path) -> str:
    connection = sqlite3.connect(path)
    try:
        return str(
            connection.execute("select value from coagent_log_meta where name = 'format'").fetchone()[0]
        )
    finally:
        connection.close()


def history(path: Path) -> list[Event]:
    reader = LogReader(path)
    try:
        reader.checkpoint(None)  # from the first record on
        found: list[Event] = []
        while events := reader.read():
            found.extend(events)
        return found
    finally:
        reader.close()


def phases(domain: Domain) -> dict[str, str]:
    return {agent.name: agent.phase.value for agent in domain.agents}


def test_there_is_a_fixture_of_format_1_for_each_log() -> None:
    assert {path.stem for path in FIXTURES.glob("format_1*.sqlite")} == set(LOGS) == {*SOUND, *DAMAGED}
    assert {format_of(path) for path in FIXTURES.glob("format_1*.sqlite")} == {"1"}


@pytest.mark.parametrize("name", LOGS)
def test_an_old_log_is_looked_at_without_changing_it(name: str, tmp_path: Path) -> None:
    path = copied(name, tmp_path)
    before = path.read_bytes()
    assert len(history(path)) > 10
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", LOGS)
def test_every_beginning_of_an_old_log_makes_sense(name: str, tmp_path: Path) -> None:
    """That version may have been killed after any event."""
    kernel = Mtpo(commits_itself=True)
    for event in history(copied(name, tmp_path)):
        kernel.step(event)
        kernel.check_invariants()
        assert kernel.passed_over == 0 or name in DAMAGED, event


@pytest.mark.parametrize("name", LOGS)
def test_an_old_log_becomes_one_of_today_and_keeps_its_history(
    name: str, tmp_path: Path, memory: targets.Memory
) -> None:
    path = copied(name, tmp_path)
    before = history(path)
    dumps = []

    async def open_and_close() -> None:
        async with opened(path, memory) as domain:
            assert isinstance(domain.kernel, Mtpo)
            await domain.settle()
            domain.kernel.check_invariants()
            assert not domain.kernel.commits_itself
            dumps.append(dump(domain.kernel))

    world_of({})
    anyio.run(open_and_close)
    assert format_of(path) == str(FORMAT)
    after = history(path)
    assert after[: len(before)] == before
    anyio.run(open_and_close)
    assert dumps[0] == dumps[1]
    assert history(path) == after


def test_what_was_under_way_goes_on(tmp_path: Path, memory: targets.Memory) -> None:
    found: dict[str, Value] = {**INITIAL, "kv:x": 15, "kv:copied": 11, "kv:raw": b"\x00\xff"}
    left: dict[str, Value] = {
        **INITIAL,
        "kv:x": 115,
        "kv:copied": 15,
        "kv:raw": b"\x00\xff",
        "kv:mailed": "x",
    }

    async def main() -> None:
        async with opened(copied("format_1", tmp_path), memory) as domain:
            assert phases(domain) == {
                "A": "committed",
                "B": "active",
                "C": "finished",
                "D": "aborted",
                "E": "active",
            }
            assert memory.snapshot() == found
            b, e = await domain.attach("B"), await domain.attach("E")
            told = {notice.key: (notice.before, notice.after) for notice in (await b.finish()).notifications}
            assert told == {
                "kv:x": (1, 5),
                "kv:": (["kv:text", "kv:x"], ["kv:raw", "kv:text", "kv:x"]),
                "bank:ann": (10, 15),
            }
            await b.amend("B.3", value=15)
            await b.undo("B.4")
            assert accounts == {"ann": 5}
            assert (await b.finish()).state == "committed"
            with anyio.fail_after(10):
                assert (await (await domain.attach("C")).finish(wait=True)).state == "committed"
            assert (await e.call("add", name="x", amount=100)).value == 115
            assert (await e.finish()).state == "committed"

    world_of({"ann": 15})
    anyio.run(main)
    assert memory.snapshot() == left
    assert sent == ["x: 15"]


def test_declared_calls_are_taken_back_as_they_stand(tmp_path: Path, memory: targets.Memory) -> None:
    async def main() -> None:
        async with opened(copied("format_1_declared", tmp_path), memory) as domain:
            a, b = await domain.attach("A"), await domain.attach("B")
            assert [call.call_id for call in b.calls] == ["B.2"]
            await a.call("deposit", account="ann", amount=2)
            assert accounts == {"ann": 37}
            await b.abort()
            assert accounts == {"ann": 7}
            await a.abort()
            assert accounts == {}
            await domain.settle()
            assert domain.quiescent

    world_of({"ann": 35})
    anyio.run(main)


def test_what_an_aborted_agent_went_on_to_do_counts_for_nothing(
    tmp_path: Path, memory: targets.Memory
) -> None:
    async def main() -> None:
        async with opened(copied("format_1_aborted_twice", tmp_path), memory) as domain:
            assert phases(domain) == {"A": "aborted", "B": "active"}
            assert domain.kernel.passed_over == 2
            b = await domain.attach("B")
            told = [(notice.key, notice.before, notice.after) for notice in (await b.finish()).notifications]
            assert told == [("kv:x", 2, 1)]
            assert (await b.finish()).state == "committed"
            assert (await domain.join("A")).rank == 2

    world_of({})
    anyio.run(main)
    assert memory.snapshot() == {**INITIAL, "kv:x": 11}


def test_a_mail_that_arrived_after_an_abort_has_arrived(tmp_path: Path, memory: targets.Memory) -> None:
    async def main() -> None:
        async with opened(copied("format_1_mailed_after_an_abort", tmp_path), memory) as domain:
            assert phases(domain) == {"A": "aborted", "B": "active"}
            b = await domain.attach("B")
            assert (await b.call("get", name="mailed")).value == "x"
            await b.notifications()
            assert (await b.finish()).state == "committed"

    world_of({})
    anyio.run(main)
    assert memory.snapshot() == {**INITIAL, "kv:x": 11, "kv:mailed": "x"}
    assert sent == []
