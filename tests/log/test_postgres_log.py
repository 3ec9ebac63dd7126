"""A log on a PostgreSQL server: its schema, its domains, its archive, its word to others, and its URL."""

from __future__ import annotations

import logging
from collections.abc import Callable
from urllib.parse import quote

import anyio
import psycopg
import pytest
from throwaway_postgres import ThrowawayPostgres

from coagent import ConfigurationError, LogError, open_domain
from coagent.log import postgres, postgres_archive, postgres_schema
from coagent.log.base import Checkpoint, HeadMoved, Log, LogSettings, NothingYet
from coagent.log.open import begun_with, open_log, open_reader
from coagent.log.postgres_archive import fill
from coagent.log.urls import place_of, shown_url
from coagent.protocol.calls import Rank
from coagent.protocol.checkpoint import state_of
from coagent.protocol.events import Aborted, Event, Joined
from coagent.protocol.mtpo import Mtpo
from coagent.runtime.watch import Watch
from coagent.targets.memory import Memory
from coagent_lab.sim.tools import TOOLS

SETTINGS = LogSettings("mtpo", "fixed", ())
SEGMENT, KEPT, APART = 4, 6, 3


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def server(postgres_server: ThrowawayPostgres) -> Callable[..., None]:
    """Runs a statement on the server."""

    def run(statement: str) -> None:
        with psycopg.connect(postgres_server.url, autocommit=True) as connection:
            connection.execute(statement.encode())

    return run


def schema_of(url: str) -> str:
    return place_of(url).schema


def joined(number: int) -> Joined:
    return Joined(f"agent {number}", Rank(number))


async def everything(log: Log) -> list[Event]:
    found: list[Event] = []
    while events := await log.read():
        found.extend(events)
    return found


def opened_and_closed(url: str, settings: LogSettings = SETTINGS) -> LogSettings:
    async def main() -> LogSettings:
        log = await open_log(url, settings, patience_s=0.0)
        await log.close()
        return log.settings

    return anyio.run(main)


# ---- schema and domains ------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_domains_of_one_schema_have_nothing_to_do_with_each_other(postgres_log: str) -> None:
    other_settings = LogSettings("occ", "fixed", ("files:/srv/b#8",))
    one = await open_log(f"{postgres_log}&domain=shop", SETTINGS)
    two = await open_log(f"{postgres_log}&domain=the%20other", other_settings)
    await one.append([joined(0)])
    await two.append([joined(1), joined(2)])
    await one.append([joined(3)])
    assert (one.head, two.head) == (2, 2)
    for log in (one, two):
        await log.close()
    again = await open_log(f"{postgres_log}&domain=shop", SETTINGS)
    assert await everything(again) == [joined(0), joined(3)]
    await again.close()
    assert begun_with(f"{postgres_log}&domain=the%20other") == other_settings
    assert begun_with(f"{postgres_log}&domain=a%20third") is None
    with pytest.raises(NothingYet, match="nobody has joined"):
        open_reader(f"{postgres_log}&domain=a%20third")


def test_processes_that_begin_a_log_at_once_begin_one(postgres_log: str) -> None:
    async def main() -> None:
        heads = []

        async def begin(number: int) -> None:
            log = await open_log(postgres_log, SETTINGS)
            while True:
                try:
                    await log.append([joined(number)])
                    break
                except HeadMoved:
                    await everything(log)
            await everything(log)
            heads.append(log.head)
            await log.close()

        async with anyio.create_task_group() as tasks:
            for number in range(6):
                tasks.start_soon(begin, number)
        assert max(heads) == 6

    anyio.run(main)


def test_tables_of_a_newer_version_are_refused(postgres_log: str, server: Callable[..., None]) -> None:
    opened_and_closed(postgres_log)
    server(f"update {schema_of(postgres_log)}.coagent_meta set value = '99' where name = 'version'")
    for act in (opened_and_closed, open_reader):
        with pytest.raises(
            LogError, match=r"have version 99, this version of CoAgent knows .*Install a newer"
        ):
            act(postgres_log)
    server(f"update {schema_of(postgres_log)}.coagent_meta set value = '1' where name = 'version'")
    server(f"update {schema_of(postgres_log)}.coagent_domains set format = 99")
    with pytest.raises(LogError, match="has format 99"):
        opened_and_closed(postgres_log)


def test_a_server_that_is_too_old_is_refused(postgres_log: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_schema, "_SERVER_MIN", 990000)
    with pytest.raises(LogError, match=r"too old: it takes 99.*Upgrade the server"):
        opened_and_closed(postgres_log)


def test_a_role_needs_no_right_but_to_the_tables(postgres_log: str, server: Callable[..., None]) -> None:
    schema = schema_of(postgres_log)
    plain = postgres_log.replace("postgres@", f"plain_{schema}@")
    server(f"create role plain_{schema} login")
    with pytest.raises(LogError, match=r"cannot be begun: permission denied .*CREATE SCHEMA"):
        opened_and_closed(plain)
    server(f"create schema {schema} authorization plain_{schema}")
    assert opened_and_closed(plain) == SETTINGS


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda url: url.replace("/postgres?", "/nowhere?"), 'database "nowhere" does not exist'),
        (lambda url: url.replace("postgres@", "nobody@"), 'role "nobody" does not exist'),
        (lambda url: f"{url}&colour=red", "has 'colour' in its query"),
        (lambda url: url.replace("postgres@", "u:quite/secret@"), "names no PostgreSQL"),
    ],
)
def test_a_wrong_url_is_named_without_its_secrets(
    postgres_log: str, change: Callable[[str], str], said: str
) -> None:
    with pytest.raises(LogError, match=said) as caught:
        opened_and_closed(change(postgres_log))
    assert "quite" not in str(caught.value)
    assert "secret" not in str(caught.value)


# ---- the archive -------------------------------------------------------------------------------------------


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "_CHECKPOINTS_APART", APART)
    monkeypatch.setattr(postgres_archive, "SEGMENT_RECORDS", SEGMENT)
    monkeypatch.setattr(postgres_archive, "KEPT_RECORDS", KEPT)


def events_of(count: int) -> list[Event]:
    return [event for n in range(count // 2) for event in (Joined(f"a{n}", Rank(n)), Aborted(Rank(n), "why"))]


async def written(url: str, events: list[Event]) -> None:
    """Write a log with a checkpoint after every few events."""
    kernel = Mtpo()
    log = await open_log(url, SETTINGS)
    for number, event in enumerate(events, 1):
        await log.append([event])
        kernel.step(event)
        if number % APART == 0:
            await log.keep(Checkpoint(number, state_of(kernel)))
    await log.close()


def numbers(server: str, url: str) -> list[int]:
    with psycopg.connect(server) as connection:
        rows = connection.execute(
            f"select number from {schema_of(url)}.coagent_records order by number".encode()
        ).fetchall()
    return [row[0] for row in rows]


@pytest.mark.usefixtures("small")
def test_old_records_are_packed_away_and_are_read_all_the_same(
    postgres_log: str, postgres_server: ThrowawayPostgres
) -> None:
    events = events_of(30)

    async def main() -> None:
        slow = await open_log(postgres_log, SETTINGS)
        assert await slow.read() == []
        await written(postgres_log, events)
        log = await open_log(postgres_log, SETTINGS)
        moved = [await log.tidy() for _ in range(12)]
        assert sum(moved) == 24
        assert moved[-1] == 0
        assert max(moved) <= SEGMENT
        assert numbers(postgres_server.url, postgres_log) == list(range(25, 31))
        with pytest.raises(HeadMoved):
            await slow.append([joined(99)])
        assert await everything(slow) == events
        assert (await log.checkpoint()).number == 30  # type: ignore[union-attr]
        for one in (slow, log):
            await one.close()

    anyio.run(main)
    reader = open_reader(postgres_log)
    assert [event for some in iter(reader.read, []) for event in some] == events
    assert [number for number, _ in reader.backwards()] == list(range(30, 0, -1))
    assert reader.last == 30
    assert reader.size > 0
    reader.close()
    for tail, least in ((0, 30), (7, 21), (20, 9), (None, 0)):
        reader = open_reader(postgres_log)
        reader.checkpoint(tail)
        begun = reader.head
        assert begun <= 30 - (tail or 0)
        assert begun >= least - 3
        assert [event for some in iter(reader.read, []) for event in some] == events[begun:]
        reader.close()


@pytest.mark.usefixtures("small")
def test_two_processes_do_not_pack_the_same_records_away(postgres_log: str) -> None:
    async def main() -> list[int]:
        await written(postgres_log, events_of(30))
        log = await open_log(postgres_log, SETTINGS)
        domain = log._domain  # type: ignore[attr-defined]
        await log.close()
        moved: list[int] = []

        async def pack() -> None:
            moved.append(await fill(place_of(postgres_log), domain))

        async with anyio.create_task_group() as tasks:
            for _ in range(6):
                tasks.start_soon(pack)
        while more := await fill(place_of(postgres_log), domain):
            moved.append(more)
        return moved

    assert sum(anyio.run(main)) == 24


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("update {0}.coagent_records set record = replace(record, 'a14', 'a99')", "record 29 .* damaged"),
        ("delete from {0}.coagent_records where number = 28", "lacks record 28"),
        ("delete from {0}.coagent_records where number = 30", "lacks record 30"),
        ("update {0}.coagent_segments set records = '\\x00' where first = 1", "segment .* damaged"),
        ("delete from {0}.coagent_segments where first = 1", "lacks record 1"),
        ("delete from {0}.coagent_heads", "is gone"),
    ],
)
@pytest.mark.usefixtures("small")
def test_what_is_damaged_or_missing_is_named(
    postgres_log: str, server: Callable[..., None], damage: str, said: str
) -> None:
    async def main() -> None:
        await written(postgres_log, events_of(30))
        log = await open_log(postgres_log, SETTINGS)
        while await log.tidy():
            pass
        server(damage.format(schema_of(postgres_log)))
        with pytest.raises(LogError, match=said):
            await everything(log)
        await log.close()

    anyio.run(main)


# ---- word to others ----------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_one_process_hears_of_anothers_append_at_once(
    postgres_log: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for interval in ("_LOOK_S", "_LOOK_TOLD_S"):
        monkeypatch.setattr(postgres, interval, 600.0)
    targets, other_targets = [Memory({"kv:x": 0})], [Memory({"kv:x": 0})]
    async with (
        open_domain(postgres_log, targets=targets, tools=TOOLS) as domain,
        open_domain(postgres_log, targets=other_targets, tools=TOOLS) as other,
    ):
        a, b = await domain.join("A"), await other.join("B")
        await a.finish()
        with anyio.fail_after(30):
            assert (await b.finish(wait=True)).state == "committed"


@pytest.mark.anyio
async def test_where_no_word_arrives_it_is_said_once_and_the_log_is_looked_at(
    postgres_log: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("coagent.log.postgres_wakes._ARRIVES_S_MAX", 0.05)
    monkeypatch.setattr("coagent.log.postgres_wakes._TRY_OUT_S", 0.05)
    elsewhere = place_of(postgres_log).url.replace("/postgres?", "/template1?")
    url = f"{postgres_log}&listen={quote(elsewhere, safe='')}"  # word stays within one database
    said = [anyio.Event()]
    handler = logging.Handler()
    handler.emit = lambda record: said[0].set()  # type: ignore[method-assign]
    logging.getLogger("coagent.log").addHandler(handler)
    try:
        async with (
            open_domain(url, targets=[Memory({"kv:x": 0})], tools=TOOLS) as domain,
            open_domain(postgres_log, targets=[Memory({"kv:x": 0})], tools=TOOLS) as other,
        ):
            with anyio.fail_after(20):
                await said[0].wait()
            a, b = await domain.join("A"), await other.join("B")
            await b.call("put", key="kv:x", value=5)
            await b.finish()
            with anyio.fail_after(20):
                assert (await a.finish(wait=True)).state == "committed"
                await domain.settle()
    finally:
        logging.getLogger("coagent.log").removeHandler(handler)
    assert [
        record.getMessage().partition("; ")[0] for record in caplog.records if record.name == "coagent.log"
    ] == [
        f"log {url!r}: no word of what others append arrives, as through a pooler that gives a connection to "
        "others after each transaction"
    ]


# ---- looking on --------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_log_on_a_server_can_be_watched(postgres_log: str) -> None:
    with pytest.raises(NothingYet):
        Watch(postgres_log)
    async with open_domain(postgres_log, targets=[Memory({"kv:x": 0})], tools=TOOLS) as domain:
        a = await domain.join("A")
        await a.call("put", key="kv:x", value=1)
        watch = Watch(postgres_log)
        for _ in watch.events():
            pass
        assert [(one.name, one.calls) for one in watch.agents()] == [("A", 1)]
        watch.close()


# ---- URLs --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u@h/d", "postgresql://u@h/d"),
        ("postgresql://u:pw@h:6432/d?domain=x", "postgresql://u:***@h:6432/d?domain=x"),
        ("postgresql://u:p%40w@h/d", "postgresql://u:***@h/d"),
        ("postgresql://u:p@w/x?y@h/d", "postgresql://u:***@h/d"),
        ("postgresql://u@h/d?password=pw&sslmode=require", "postgresql://u@h/d?password=***&sslmode=require"),
        (
            f"postgresql://u@h/d?listen={quote('postgresql://u:pw@g/d', safe='')}",
            f"postgresql://u@h/d?listen={quote('postgresql://u:***@g/d', safe='*')}",
        ),
        ("sqlite:log.db", "sqlite:log.db"),
        ("postgresql+psycopg://u:pw@h/d", "postgresql+psycopg://u:***@h/d"),
        ("mysql://u:pw@h/d", "mysql://u:***@h/d"),
    ],
)
def test_passwords_in_urls_are_not_shown(url: str, shown: str) -> None:
    assert shown_url(url) == shown


def test_a_url_says_where_its_log_lies() -> None:
    listen = "postgresql://u:other@g:5432/d"
    place = place_of(f"postgresql://u:pw@h/d?sslmode=require&schema=s&domain=a%20b&listen={quote(listen)}")
    assert place.url == "postgresql://u:pw@h/d?sslmode=require"
    assert (place.schema, place.domain, place.listen) == ("s", "a b", listen)
    assert place.masked("FATAL: pw, other") == "FATAL: ***, ***"
    assert place_of("postgres://h/d")[1:4] == ("postgres://h/d", "coagent", "default")


@pytest.mark.parametrize("query", ["schema=No", "schema=pg_x", "schema=a;b", "domain=", "listen=mysql://h/d"])
def test_a_part_of_a_url_that_names_nothing_is_a_mistake(query: str) -> None:
    with pytest.raises(ConfigurationError):
        place_of(f"postgresql://h/d?{query}")
