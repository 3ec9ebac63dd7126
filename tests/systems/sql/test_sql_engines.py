"""The SQL target on both engines: rows, schemas and sequences as objects; guarded, all or nothing."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import anyio
import pytest

from coagent.errors import TargetError
from coagent.systems.sql.keys import decode_key, encode_key
from coagent.targets import GuardFailed, Sql

TABLES = """
CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT UNIQUE);
CREATE TABLE orders (id INTEGER PRIMARY KEY, person INTEGER REFERENCES people, item TEXT, amount INTEGER);
CREATE TABLE stock (place TEXT, item TEXT, amount INTEGER CHECK (amount >= 0), PRIMARY KEY (place, item));
INSERT INTO people VALUES (1, 'ann', 'a@x'), (2, 'bob', 'b@x');
INSERT INTO orders VALUES (1, 1, 'pen', 3), (2, 2, 'ink', 1);
INSERT INTO stock VALUES ('a,b', 'pen', 5), ('here', 'ink', 7);
"""


def serial(script: str, table: str) -> str:
    """Give the ids of a table from a sequence, as PostgreSQL does; SQLite does by itself."""
    return script.replace(f"CREATE TABLE {table} (id INTEGER", f"CREATE TABLE {table} (id SERIAL")


class Database:
    """A fresh database of one engine with `TABLES` in it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.sqlite = url.startswith("sqlite")
        self.reset(TABLES)

    def reset(self, script: str) -> None:
        if self.sqlite:
            Path(self.url.removeprefix("sqlite:///")).unlink(missing_ok=True)
        else:
            self.run("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
            for table in ("people", "orders"):
                script = serial(script, table)
            script += "".join(
                f"SELECT setval('{table}_id_seq', (SELECT max(id) FROM {table}));"
                for table in ("people", "orders")
                if f"CREATE TABLE {table} " in script
            )
        self.run(script)

    def run(self, script: str) -> None:
        if self.sqlite:
            connection = sqlite3.connect(self.url.removeprefix("sqlite:///"))
            connection.executescript(script)
            connection.close()
        else:
            import psycopg

            with psycopg.connect(self.url, autocommit=True) as server:
                server.execute(script.encode())

    def target(self) -> Sql:
        return Sql(self.url)


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    if request.param == "sqlite":
        return Database(f"sqlite:///{tmp_path}/live.db")
    return Database(request.getfixturevalue("postgres"))


def test_rows_are_objects_by_their_primary_key(database: Database) -> None:
    assert database.target().snapshot("sql:stock/") == {
        "sql:stock/a%2Cb,pen": {"place": "a,b", "item": "pen", "amount": 5},
        "sql:stock/here,ink": {"place": "here", "item": "ink", "amount": 7},
    }
    assert list(database.target().snapshot()) == [
        *("sql:orders/1", "sql:orders/2", "sql:people/1", "sql:people/2"),
        *("sql:stock/a%2Cb,pen", "sql:stock/here,ink"),
    ]


@pytest.mark.parametrize("value", ["", "a", "1", "-2.5", "x'00", "'", "a,b/c%", 0, -7, 1.5, b"\0\xff", b""])
def test_a_key_reads_back_as_it_was(value: Any) -> None:
    kinds = ["text"] if type(value) is str else ["other"]
    for kind in dict.fromkeys([*kinds, "other"]):
        text = encode_key([value, 1], [kind, "number"])
        assert decode_key(text, [kind, "number"]) == [value, 1]


def test_a_put_is_guarded_and_idempotent(database: Database) -> None:
    async def main() -> None:
        target = database.target()
        key, old = "sql:people/1", {"id": 1, "name": "ann", "email": "a@x"}
        new = {**old, "name": "eve"}
        assert await target.get(key) == old
        await target.put(key, new, expected=[old])
        await target.put(key, new, expected=[old])
        with pytest.raises(GuardFailed) as caught:
            await target.put(key, old, expected=[None])
        assert caught.value.found == new
        await target.put("sql:people/9", {"id": 9, "name": "x", "email": None}, expected=[None])
        await target.put("sql:people/9", None, expected=[{"id": 9, "name": "x", "email": None}])
        assert await target.get("sql:people/9") is None
        assert await target.get_many([key, "sql:nowhere/1"]) == {key: new, "sql:nowhere/1": None}
        await target.close()

    anyio.run(main)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("sql:people/3", {"id": 3, "name": None, "email": None}),
        ("sql:people/3", {"id": 3, "name": "x", "email": "a@x"}),
        ("sql:people/3", {"id": 4, "name": "x", "email": None}),
        ("sql:people/3", {"id": 3, "name": "x"}),
        ("sql:people/3,4", {"id": 3, "name": "x", "email": None}),
        ("sql:stock/a,b", {"place": "a", "item": "b", "amount": -1}),
        ("sql:nowhere/1", {"id": 1}),
        ("sql:people", None),
    ],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(database: Database, key: str, value: Any) -> None:
    async def main() -> None:
        target = database.target()
        before = target.snapshot()
        with pytest.raises(TargetError):
            await target.put(key, value, expected=[None])
        assert target.snapshot() == before
        await target.close()

    anyio.run(main)


def test_changes_go_together_in_an_order_that_constraints_allow(database: Database) -> None:
    async def main() -> None:
        target = database.target()
        live = target.snapshot()
        ann, bob = live["sql:people/1"], live["sql:people/2"]
        new = {
            "sql:orders/1": None,
            "sql:orders/7": {"id": 7, "person": 8, "item": "cup", "amount": 1},
            "sql:people/8": {"id": 8, "name": "new", "email": "a@x"},
            "sql:people/1": {**ann, "email": "c@x"},
        }
        await target.put_many([(key, value, [live.get(key)]) for key, value in new.items()])
        assert target.snapshot() == {
            key: value for key, value in {**live, **new}.items() if value is not None
        }
        with pytest.raises(GuardFailed):
            await target.put_many(
                [("sql:people/8", None, [new["sql:people/8"]]), ("sql:people/2", None, [ann])]
            )
        assert await target.get("sql:people/8") == new["sql:people/8"]
        assert await target.get("sql:people/2") == bob
        await target.close()

    anyio.run(main)


def test_rows_that_trade_unique_values_can_change_together(database: Database) -> None:
    database.run("DROP TABLE orders")

    async def main() -> None:
        target = database.target()
        live = target.snapshot("sql:people/")
        ann, bob = live.values()
        await target.put_many(
            [
                ("sql:people/1", {**ann, "email": "b@x"}, [ann]),
                ("sql:people/2", {**bob, "email": "a@x"}, [bob]),
            ]
        )
        assert (await target.get("sql:people/1"))["email"] == "b@x"
        await target.close()

    anyio.run(main)


@pytest.mark.parametrize(
    "definition",
    [
        "ALTER TABLE orders ADD COLUMN note TEXT DEFAULT 'none'",
        "ALTER TABLE orders DROP COLUMN amount",
        "ALTER TABLE orders RENAME COLUMN item TO thing",
        "CREATE INDEX by_item ON orders (item)",
        "CREATE UNIQUE INDEX once ON stock (item)",
        "CREATE TABLE log (id INTEGER PRIMARY KEY, text TEXT DEFAULT 'x')",
        "DROP TABLE orders",
    ],
)
def test_a_schema_with_its_rows_is_put_forth_and_back(database: Database, definition: str) -> None:
    async def states(target: Sql) -> dict[str, Any]:
        return {
            **await target.list("sql-schema:"),
            **await target.list("sql:"),
            **await target.list("sql-seq:"),
        }

    async def move(target: Sql, now: dict[str, Any], wanted: dict[str, Any]) -> None:
        keys = sorted(now.keys() | wanted.keys())
        await target.put_many([(key, wanted.get(key), [now.get(key)]) for key in keys])

    async def main() -> None:
        target = database.target()
        before = await states(target)
        database.run(definition)
        after = await states(target)
        assert after != before
        await move(target, after, before)
        assert await states(target) == before
        await move(target, before, after)
        assert await states(target) == after
        await target.close()

    anyio.run(main)


def test_sqlite_without_a_primary_key_goes_by_rowid(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/live.db")
    database.run("CREATE TABLE Notes (text); INSERT INTO Notes VALUES ('a'), (X'00'), (1.5)")

    async def main() -> None:
        target = database.target()
        assert target.snapshot("sql:notes/") == {
            "sql:notes/1": {"text": "a"},
            "sql:notes/2": {"text": b"\0"},
            "sql:notes/3": {"text": 1.5},
        }
        await target.put(target.canonical("sql:Notes/7"), {"text": "z"}, expected=[None])
        assert await target.get("sql:notes/7") == {"text": "z"}
        await target.close()

    anyio.run(main)


def test_postgres_types_lose_nothing(postgres: str) -> None:
    database = Database(postgres)
    database.run(
        "CREATE TABLE kinds (id uuid PRIMARY KEY, price numeric(10, 2), at timestamptz, tags text[],"
        " data jsonb, raw bytea, ok boolean, big bigint, near double precision,"
        " twice bigint GENERATED ALWAYS AS (big * 2) STORED)"
    )
    row = {
        "id": "6f2b9e0a-0000-4000-8000-000000000001",
        "price": "12.50",
        "at": "2024-05-06 07:08:09.123456+00",
        "tags": '{a,"b c"}',
        "data": '{"a": [1, 2]}',
        "raw": b"\0\xff",
        "ok": True,
        "big": 2**60,
        "near": 0.1,
        "twice": 2**61,
    }

    async def main() -> None:
        target = database.target()
        key = f"sql:kinds/{row['id']}"
        await target.put(key, row, expected=[None])
        assert await target.get(key) == row
        assert await target.list("sql:kinds/") == {key: row}
        await target.close()

    anyio.run(main)
