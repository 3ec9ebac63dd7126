# ruff: noqa: E501 -- statements of SQL stand in one line
"""An agent that looks at the schema sees it at its place in the order, and hears when it changes below."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest
from against_plain import Plain
from schemas import MUSIC, RENTAL, for_sqlite

import coagent
from coagent.systems.sql.target import Sql
from coagent.systems.sql.tools import sql_tools

SQLITE = [
    "SELECT name, type, \"notnull\", dflt_value, pk FROM pragma_table_info('track')",
    "PRAGMA table_info(track)",
    "PRAGMA foreign_key_list('album')",
    "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name",
    "SELECT sql FROM sqlite_master WHERE name = 'album'",
    "SELECT m.name, p.name AS col FROM sqlite_master m JOIN pragma_table_info(m.name) p ORDER BY 1, 2",
    "SELECT name FROM pragma_table_list WHERE schema = 'main' AND name NOT LIKE 'sqlite%' ORDER BY name",
]
POSTGRES = [
    "SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = 'public' AND table_name "
    "NOT IN ('payment', 'payment_2024_01', 'payment_2024_02') ORDER BY 1",
    "SELECT column_name, data_type, is_nullable, column_default FROM information_schema.columns "
    "WHERE table_name = 'film' ORDER BY ordinal_position",
    "SELECT tc.table_name, tc.constraint_type, kcu.column_name FROM information_schema.table_constraints tc JOIN "
    "information_schema.key_column_usage kcu ON tc.constraint_name = kcu.constraint_name "
    "WHERE tc.table_schema = 'public' AND tc.table_name IN ('film', 'inventory') ORDER BY 1, 2, 3",
    "SELECT relname, relkind FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
    "WHERE n.nspname = 'public' AND relkind IN ('v', 'S') ORDER BY 1",
    "SELECT a.attname, format_type(a.atttypid, a.atttypmod) AS kind FROM pg_attribute a "
    "WHERE a.attrelid = 'film'::regclass AND a.attnum > 0 ORDER BY a.attnum",
    "SELECT conname, pg_get_constraintdef(oid) AS text FROM pg_catalog.pg_constraint "
    "WHERE conrelid = 'inventory'::regclass ORDER BY 1",
    "SELECT indexname FROM pg_indexes WHERE schemaname = 'public' AND tablename = 'film' ORDER BY 1",
    "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename NOT LIKE 'payment%' ORDER BY 1",
    "SELECT enumlabel FROM pg_enum e JOIN pg_type t ON t.oid = e.enumtypid WHERE typname = 'rating' "
    "ORDER BY enumsortorder",
]


def asked(url: str, *steps: tuple[int, str, str]) -> list[Any]:
    """Run calls of two agents; what each returned, and at last what the second one has been told."""
    told: list[Any] = []

    async def main() -> None:
        async with coagent.open_domain("memory:", targets=[Sql(url)], tools=sql_tools(url)) as domain:
            agents = [await domain.join("low"), await domain.join("high")]
            for who, tool, text in steps:
                name = "query" if tool == "sql_query" else "statement"
                try:
                    told.append((await agents[who].call(tool, **{name: text})).value)
                except coagent.ToolFailed as error:
                    told.append(str(error))
            heard = []
            for agent in agents:
                while (settled := await agent.finish(wait=True)).state == "notified":
                    heard += [call.after for one in settled.notifications for call in one.calls]
            told.append(heard)

    anyio.run(main)
    return told


@pytest.fixture
def music(tmp_path: Path) -> str:
    database = Plain(f"sqlite:///{tmp_path}/live.db")
    database.connection.executescript(for_sqlite(MUSIC))
    database.connection.close()
    return database.url


@pytest.fixture
def rental(postgres: str) -> str:
    database = Plain(postgres)
    database.clear()
    database.connection.execute(RENTAL)
    database.connection.close()
    return postgres


def plain_rows(url: str, text: str) -> list[dict[str, Any]]:
    database = Plain(url)
    cursor = database.connection.execute(text)
    names = [column[0] for column in cursor.description]
    rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    database.connection.close()
    return rows


@pytest.mark.parametrize("text", SQLITE)
def test_sqlite_tells_of_the_schema_as_it_would_by_itself(music: str, text: str) -> None:
    assert asked(music, (0, "sql_query", text))[0] == {"rows": plain_rows(music, text)}


@pytest.mark.parametrize("text", POSTGRES)
def test_postgres_tells_of_the_schema_as_it_would_by_itself(rental: str, text: str) -> None:
    rows = plain_rows(rental, text)
    assert rows
    assert asked(rental, (0, "sql_query", text))[0] == {"rows": rows}


COLUMNS = {
    "sqlite": "SELECT name FROM pragma_table_info('artist') ORDER BY 1",
    "postgres": "SELECT column_name AS name FROM information_schema.columns WHERE table_schema = 'public' "
    "AND table_name = 'artist' ORDER BY 1",
}


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
def test_a_definition_is_seen_from_its_place_upwards(
    engine: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    sqlite = engine == "sqlite"
    url = f"sqlite:///{tmp_path}/live.db" if sqlite else request.getfixturevalue("postgres")
    database = Plain(url)
    database.clear()
    script = for_sqlite(MUSIC) if sqlite else MUSIC
    (database.connection.executescript if sqlite else database.connection.execute)(script)
    database.connection.close()
    before = [{"name": "artist_id"}, {"name": "name"}]
    told = asked(
        url,
        (1, "sql_execute", "ALTER TABLE artist ADD COLUMN above TEXT"),
        (0, "sql_query", COLUMNS[engine]),
        (1, "sql_query", COLUMNS[engine]),
        (0, "sql_execute", "ALTER TABLE artist ADD COLUMN below TEXT"),
        (0, "sql_query", COLUMNS[engine]),
    )
    assert told[1] == {"rows": before}
    assert told[2] == {"rows": [{"name": "above"}, *before]}
    assert told[4] == {"rows": [before[0], {"name": "below"}, before[1]]}
    assert {"rows": [{"name": "above"}, before[0], {"name": "below"}, before[1]]} in told[5]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("PRAGMA foreign_keys = OFF", "PRAGMA is refused"),
        ("PRAGMA writable_schema = 1", "PRAGMA is refused"),
        ("SELECT * FROM pragma_user_version()", "about the connection"),
        ("ATTACH DATABASE 'x.db' AS x", "ATTACH is refused"),
        ("SELECT load_extension('x')", "not authorized"),
        ("SELECT writefile('x', 'y')", "no such function"),
        ("SELECT name FROM sqlite_master m JOIN artist a ON a.name = m.name", "a call of its own"),
    ],
)
def test_sqlite_refuses_what_reaches_past_the_schema(music: str, text: str, word: str) -> None:
    assert word in asked(music, (0, "sql_query", text))[0]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("SELECT pg_get_functiondef(oid) FROM pg_proc", "pg_get_functiondef() is refused"),
        ("SELECT pg_relation_size('film')", "pg_relation_size() is refused"),
        ("SELECT current_setting('data_directory')", "current_setting() is refused"),
        ("SELECT * FROM dblink('', 'SELECT 1') AS t (a int)", "dblink"),
        ("COPY film TO '/tmp/x'", "COPY is refused"),
        ("DO $$ BEGIN END $$", "DO is refused"),
        ("CALL anything()", "CALL is refused"),
        ("SELECT txid_current()", "txid_current() is refused"),
    ],
)
def test_postgres_refuses_what_reaches_past_the_schema(rental: str, text: str, word: str) -> None:
    assert word in asked(rental, (0, "sql_query", text))[0]


def test_statements_may_run_as_a_role_without_rights_on_the_tables(rental: str) -> None:
    database = Plain(rental)
    database.connection.execute("CREATE ROLE reader; GRANT USAGE ON SCHEMA public TO reader")

    async def main() -> None:
        tools = sql_tools(rental, role="reader")
        async with coagent.open_domain("memory:", targets=[Sql(rental)], tools=tools) as domain:
            a = await domain.join("A")
            found = await a.call("sql_query", query="SELECT current_user AS who, count(*) AS n FROM film")
            assert found.value == {"rows": [{"who": "reader", "n": 2}]}
            await a.call("sql_execute", statement="UPDATE film SET rate = 'R' WHERE film_id = 1")
            await a.finish()

    anyio.run(main)
    assert database.connection.execute("SELECT rate FROM film WHERE film_id = 1").fetchone() == ("R",)
    database.connection.execute("DROP OWNED BY reader; DROP ROLE reader")
    database.connection.close()
