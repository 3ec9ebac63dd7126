# ruff: noqa: E501 -- statements of SQL stand in one line
"""Statements on schemas that people have end as plain SQL does, whatever the order in which agents come."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from against_plain import Plain, governed, plainly
from random_schemas import Case
from schemas import MUSIC, ODD, RENTAL, TRADER, for_sqlite

import coagent
from coagent.systems.sql.target import Sql
from coagent.systems.sql.tools import sql_tools


def both(database: Plain, script: str, tables: list[str], *steps: tuple[int, str]) -> list[list[Any]]:
    """Run agents' statements in an order, and plainly one agent after another: both must end alike."""
    agents = [[text for index, text in steps if index == one] for one in range(max(steps)[0] + 1)]
    case = Case([one for one in [script] if one], tables, agents, [index for index, _ in steps])
    wanted, _ = plainly(database, case)
    found, told = anyio.run(governed, database, case)
    assert found == wanted
    return told


@pytest.fixture
def server(postgres: str) -> Iterator[Plain]:
    database = Plain(postgres)
    yield database
    database.connection.close()


@pytest.fixture(params=["sqlite", "postgres"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """Make something on either engine: (database, script) for a script."""
    sqlite = request.param == "sqlite"
    database = Plain(f"sqlite:///{tmp_path}/live.db") if sqlite else request.getfixturevalue("server")
    yield lambda script: (database, for_sqlite(script) if sqlite else script)
    database.connection.close()


MUSIC_TABLES = ["artist", "album", "track", "playlist", "playlist_track"]
TRADER_TABLES = ["customers", "employees", "orders", "products", "order_details"]


@pytest.mark.parametrize(
    "steps",
    [
        [(0, "UPDATE artist SET artist_id = 101 WHERE artist_id = 1")],
        [
            (1, "UPDATE artist SET name = name || '!'"),
            (0, "UPDATE artist SET artist_id = 101 WHERE artist_id = 1"),
            (1, "INSERT INTO track (name, album_id, milliseconds) VALUES ('Four', 1, 5)"),
        ],
        [
            (1, "INSERT INTO artist (name) VALUES ('x'), ('y') ON CONFLICT DO NOTHING"),
            (1, "INSERT INTO album (title, artist_id) SELECT 'of y', artist_id FROM artist WHERE name = 'y'"),
            (0, "INSERT INTO artist (name) VALUES ('y') ON CONFLICT DO NOTHING"),
        ],
        [
            (1, "DELETE FROM artist WHERE name = 'Ana'"),
            (0, "UPDATE artist SET name = 'Zoe' WHERE artist_id = 1"),
        ],
        [
            (1, "DELETE FROM track WHERE milliseconds > 150"),
            (0, "UPDATE track SET milliseconds = milliseconds - 100 WHERE name = 'Two'"),
            (0, "INSERT INTO playlist_track SELECT 1, track_id FROM track WHERE name = 'Two'"),
        ],
    ],
    ids=["new-key", "new-key-below", "get-or-create", "cascade", "join-table"],
)
def test_a_music_shop(shop: Any, steps: list[tuple[int, str]]) -> None:
    database, script = shop(MUSIC)
    both(database, script, MUSIC_TABLES, *steps)


@pytest.mark.parametrize(
    "steps",
    [
        [(0, "UPDATE customers SET customer_id = 'ALFRE' WHERE customer_id = 'ALFKI'")],
        [
            (1, "DELETE FROM customers WHERE customer_id = 'ALFKI'"),
            (0, "INSERT INTO orders VALUES (12, 'ALFKI', 2, 3)"),
        ],
        [
            (1, "UPDATE products SET stock = stock - 3 WHERE product_id = 1"),
            (
                0,
                "INSERT INTO order_details VALUES (11, 2, 4) ON CONFLICT (order_id, product_id) DO UPDATE SET quantity = 9",
            ),
            (1, "DELETE FROM order_details WHERE quantity > 3"),
            (0, "UPDATE employees SET reports_to = 2 WHERE employee_id = 1"),
        ],
        [
            (1, "UPDATE order_details SET order_id = 11 WHERE product_id = 2"),
            (0, "DELETE FROM orders WHERE order_id = 10"),
        ],
    ],
    ids=["new-key", "set-null", "stock", "composite-key"],
)
def test_a_trader(shop: Any, steps: list[tuple[int, str]]) -> None:
    database, script = shop(TRADER)
    both(database, script, TRADER_TABLES, *steps)


RENTAL_TABLES = ["film", "inventory", "rental", "payment"]


def without_hours(database: Plain) -> Any:
    """Leave out the columns that two runs never have alike."""
    real = database.state

    def state(tables: list[str]) -> dict[str, Any]:
        left = ("last_update", "at", "id", "luck")
        found = real(tables)
        return {
            table: [
                {name: v for name, v in row.items() if name not in left or table == "room"} for row in rows
            ]
            for table, rows in found.items()
        }

    return state


@pytest.mark.parametrize(
    "steps",
    [
        [(1, "UPDATE film SET rate = 'R' WHERE rate = 'G'"), (0, "INSERT INTO film (title, rate) VALUES ('Gamma', 'G')")],
        [(1, "UPDATE film SET released = released + 1"), (0, "INSERT INTO film (title, released) VALUES ('D', 1999)")],
        [(1, "UPDATE film SET title = upper(title)"), (0, "UPDATE film SET description = 'of dogs' WHERE film_id = 1")],
        [(0, "UPDATE film SET film_id = 77 WHERE film_id = 1")],
        [
            (1, "INSERT INTO payment (amount, paid) VALUES (9, '2024-01-09')"),
            (0, "UPDATE payment SET paid = '2024-02-06' WHERE amount = 1.5"),
            (0, "INSERT INTO payment (amount, paid) VALUES (3, '2024-02-09')"),
            (1, "DELETE FROM payment WHERE paid > '2024-02-05'"),
        ],
        [(1, "UPDATE film SET features = features || '{c}' WHERE 'a' = ANY(features)"), (0, "UPDATE film SET features = '{z}'")],
        [(1, "INSERT INTO rental (inventory_id) SELECT stock FROM stock(1)"), (0, "UPDATE rental SET returned = true")],
        [(1, "UPDATE film SET price = (SELECT copies FROM film_list l WHERE l.film_id = film.film_id)"), (0, "DELETE FROM inventory WHERE inventory_id = 2")],
    ],
    ids=["enum", "domain", "triggers", "new-key", "partitions", "arrays", "functions", "view"],
)  # fmt: skip
def test_a_film_rental(server: Plain, monkeypatch: pytest.MonkeyPatch, steps: list[tuple[int, str]]) -> None:
    monkeypatch.setattr(server, "state", without_hours(server))
    both(server, RENTAL, RENTAL_TABLES, *steps)


@pytest.mark.parametrize(
    "steps",
    [
        [(1, "UPDATE city SET people = people + 1"), (0, "INSERT INTO capital VALUES ('Bern', 1, 'Swiss')"), (0, "DELETE FROM ONLY city WHERE name = 'Linz'")],
        [(1, "INSERT INTO room (floor) VALUES (7)"), (0, "INSERT INTO room (floor) VALUES (8)")],
        [(1, "INSERT INTO booking (span) VALUES ('[5,9)')"), (0, "INSERT INTO booking (span) VALUES ('[6,8)') ON CONFLICT DO NOTHING")],
        [(1, "UPDATE note SET data = data || '{\"b\": 1}'"), (0, "INSERT INTO note (data) VALUES ('{\"a\": 1}')")],
        [(0, "UPDATE slot SET rank = 3 - rank"), (1, "UPDATE slot SET rank = rank + 1")],
        [(1, "MERGE INTO slot s USING (VALUES (2, 7), (3, 9)) v (id, rank) ON s.id = v.id WHEN MATCHED THEN UPDATE SET rank = v.rank WHEN NOT MATCHED THEN INSERT VALUES (v.id, v.rank)"), (0, "DELETE FROM slot WHERE id = 2")],
    ],
    ids=["heirs", "identity", "exclusion", "json", "deferrable", "merge"],
)  # fmt: skip
def test_oddities(server: Plain, monkeypatch: pytest.MonkeyPatch, steps: list[tuple[int, str]]) -> None:
    monkeypatch.setattr(server, "state", without_hours(server))
    both(server, ODD, ["city", "capital", "room", "booking", "note", "slot"], *steps)


@pytest.mark.parametrize(
    ("setup", "steps"),
    [
        (
            "CREATE EXTENSION citext; CREATE TABLE u (id int PRIMARY KEY, mail citext UNIQUE);"
            "INSERT INTO u VALUES (1, 'A@x')",
            [(1, "INSERT INTO u VALUES (2, 'a@X') ON CONFLICT DO NOTHING"), (0, "UPDATE u SET mail = 'b@x'")],
        ),
        (
            "CREATE EXTENSION citext; CREATE TABLE u (mail citext PRIMARY KEY, n int); INSERT INTO u VALUES ('A', 1)",
            [
                (1, "INSERT INTO u VALUES ('a', 2) ON CONFLICT (mail) DO UPDATE SET n = 5"),
                (0, "UPDATE u SET n = 3"),
            ],
        ),
        (
            'CREATE EXTENSION "uuid-ossp"; CREATE TABLE u (n int PRIMARY KEY, id uuid DEFAULT '
            "uuid_generate_v5('11111111-1111-1111-1111-111111111111', 'x'))",
            [(1, "INSERT INTO u VALUES (1)"), (0, "INSERT INTO u VALUES (2)")],
        ),
        (
            "CREATE EXTENSION pgcrypto; CREATE TABLE u (n int PRIMARY KEY, h text)",
            [
                (1, "UPDATE u SET h = encode(digest(h, 'sha256'), 'hex')"),
                (0, "INSERT INTO u VALUES (1, 'a')"),
            ],
        ),
    ],
    ids=["citext", "citext-key", "uuid-ossp", "pgcrypto"],
)
def test_extensions(server: Plain, setup: str, steps: list[tuple[int, str]]) -> None:
    name = setup.split()[2].strip('";')
    known = server.connection.execute(
        "SELECT FROM pg_available_extensions WHERE name = %s", (name,)
    ).fetchone()
    if known is None:
        pytest.skip(f"the server has no {name}")
    both(server, setup, ["u"], *steps)


def asked(url: str, script: str, *texts: tuple[str, str]) -> list[Any]:
    """Run statements by one agent; what each returned, or the error."""
    database = Plain(url)
    database.clear()
    (database.connection.executescript if url.startswith("sqlite") else database.connection.execute)(script)
    database.connection.close()
    told: list[Any] = []

    async def main() -> None:
        async with coagent.open_domain("memory:", targets=[Sql(url)], tools=sql_tools(url)) as domain:
            a = await domain.join("A")
            for tool, text in texts:
                name = "query" if tool == "sql_query" else "statement"
                try:
                    told.append((await a.call(tool, **{name: text})).value)
                except coagent.ToolFailed as error:
                    told.append(str(error))
            assert (await a.finish()).state == "committed"

    anyio.run(main)
    return told


def test_functions_read_at_the_agents_place(postgres: str) -> None:
    told = asked(
        postgres,
        RENTAL,
        ("sql_query", "SELECT in_stock(1) AS v, in_stock(2) AS w"),
        ("sql_execute", "UPDATE rental SET returned = true"),
        ("sql_query", "SELECT public.in_stock(1) AS v"),
        ("sql_query", "SELECT count(*) AS n FROM stock(1)"),
    )
    assert told[0] == {"rows": [{"v": False, "w": True}]}
    assert told[2:] == [{"rows": [{"v": True}]}, {"rows": [{"n": 2}]}]


def test_what_has_no_place_in_the_order_is_refused_with_what_to_do(postgres: str) -> None:
    told = asked(
        postgres,
        RENTAL
        + "CREATE FUNCTION any_table(t text) RETURNS bigint LANGUAGE plpgsql AS $$ DECLARE n bigint; BEGIN "
        "EXECUTE 'SELECT count(*) FROM ' || t INTO n; RETURN n; END $$;",
        ("sql_query", "SELECT total FROM sales"),
        ("sql_query", "SELECT any_table('film')"),
        ("sql_execute", "ALTER TABLE payment ADD COLUMN note text"),
        ("sql_execute", "INSERT INTO payment (amount, paid) VALUES (1, '2030-01-01')"),
        ("sql_execute", "REFRESH MATERIALIZED VIEW sales"),
        ("sql_execute", "ALTER TABLE film DROP COLUMN title CASCADE"),
    )
    words = [
        "materialized view",
        "EXECUTE",
        "partitioned",
        "no_partition_for_row",
        "REFRESH is refused",
        "film_list",
    ]
    for said, word in zip(told, words, strict=True):
        assert word in said, said
