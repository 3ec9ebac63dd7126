"""SQL tools on both engines: what one agent, and two, get is what the database would have told them."""

from __future__ import annotations

import itertools
import random
import sqlite3
from typing import Any

import anyio
import pytest
from test_sql_engines import Database, database  # noqa: F401

import coagent
from coagent.systems.sql.tools import sql_tools
from coagent.targets import Sql

Step = tuple[str, str]


def domain_of(database: Database, target: Sql) -> coagent.runtime.domain.Domain:  # noqa: F811
    return coagent.open_domain("memory:", targets=[target], tools=sql_tools(database.url))


async def call(session: coagent.AgentSession, text: str, params: Any = None) -> Any:
    tool, argument = (
        ("sql_query", "query") if text.startswith(("SELECT", "WITH")) else ("sql_execute", "statement")
    )
    return (await session.call(tool, **{argument: text}, **({"params": params} if params else {}))).value


async def run(database: Database, *agents: list[str], order: list[int] | None = None) -> list[list[Any]]:  # noqa: F811
    """Run statements by several agents in an order of arrival; what is told at last, None for a failure."""
    target = database.target()
    kept: list[list[Any]] = [[] for _ in agents]
    async with domain_of(database, target) as domain:
        sessions = [await domain.join(f"agent{index}") for index in range(len(agents))]
        left = [iter(statements) for statements in agents]
        calls: list[list[str]] = [[] for _ in agents]
        for index in order if order is not None else [n for n, one in enumerate(agents) for _ in one]:
            try:
                tool = next(left[index])
                outcome = await sessions[index].call(
                    "sql_query" if tool.startswith("SELECT") else "sql_execute",
                    **{"query" if tool.startswith("SELECT") else "statement": tool},
                )
                calls[index].append(outcome.call_id)
            except coagent.CoAgentError as error:
                calls[index].append(str(error.call_id))
        for index, session in enumerate(sessions):
            while (await session.wait_for_turn()) != []:
                pass
            for call_id in calls[index]:
                try:
                    kept[index].append(session.result(call_id))
                except coagent.ToolFailed:
                    kept[index].append(None)
            assert (await session.finish(wait=True)).state == "committed"
    return kept


def directly(database: Database, statements: list[str]) -> list[Any]:  # noqa: F811
    """Run statements on the database itself, one transaction each; rows of queries, None for a failure."""
    results: list[Any] = []
    if database.sqlite:
        connection: Any = sqlite3.connect(database.url.removeprefix("sqlite:///"), isolation_level=None)
        connection.execute("PRAGMA foreign_keys = ON")
        failures: tuple[type[Exception], ...] = (sqlite3.Error,)
    else:
        import psycopg

        connection = psycopg.connect(database.url, autocommit=True)
        failures = (psycopg.Error,)
    for statement in statements:
        try:
            cursor = connection.execute(statement)
            if cursor.description is None:
                results.append(max(cursor.rowcount, 0))
            else:
                names = [column[0] for column in cursor.description]
                results.append([dict(zip(names, row, strict=True)) for row in cursor.fetchall()])
        except failures:
            results.append(None)
    connection.close()
    return results


def comparable(told: Any) -> Any:
    """Reduce what the tools tell to what the database itself tells."""
    if told is None:
        return None
    if "rows" in told:
        return told["rows"]
    if "done" in told:
        return 0
    return told.get("returned", told["rows_changed"])


def serially(database: Database, script: str, statements: list[str]) -> tuple[dict[str, Any], list[Any]]:  # noqa: F811
    database.reset(script)
    results = directly(database, statements)
    target = database.target()
    state = {**target.snapshot(), **target.snapshot("sql-schema:")}
    database.reset(script)
    return state, results


STATEMENTS = [
    "SELECT * FROM people WHERE id = 1",
    "SELECT name FROM people WHERE email LIKE 'b%' OR id IN (1, 7) ORDER BY name",
    "SELECT count(*) AS n, sum(amount) AS s FROM orders WHERE item <> 'cup'",
    "SELECT p.name, o.item FROM people p JOIN orders o ON o.person = p.id ORDER BY o.id",
    "SELECT place FROM stock WHERE amount BETWEEN 6 AND 9 AND NOT item = 'pen'",
    "SELECT name FROM people WHERE id IN (SELECT person FROM orders WHERE amount > 2)",
    "SELECT upper(name) AS u FROM people WHERE length(name) = 3 ORDER BY 1 DESC LIMIT 1",
    "INSERT INTO people (name, email) VALUES ('eve', 'e@x'), ('dan', NULL)",
    "INSERT INTO people (name, email) VALUES ('dup', 'e@x')",
    "INSERT INTO people (name, email) VALUES ('fay', 'f@x') RETURNING id, name",
    "INSERT INTO people (name, email) VALUES ('ann2', 'a@x') ON CONFLICT (email) DO UPDATE SET name = 'ANN'",
    "INSERT INTO people (name, email) VALUES ('no', 'b@x') ON CONFLICT DO NOTHING",
    "INSERT INTO orders (person, item, amount) SELECT id, 'gift', 1 FROM people WHERE id < 3",
    "INSERT INTO orders (person, item) VALUES (99, 'ghost')",
    "DELETE FROM people WHERE id = 1",
    "UPDATE orders SET amount = amount + 1 WHERE item = 'pen'",
    "UPDATE orders SET amount = (SELECT max(amount) FROM stock) WHERE id = 2",
    "UPDATE stock SET amount = amount - 6",
    "UPDATE stock SET amount = amount - 5 WHERE item = 'pen'",
    "UPDATE people SET id = id + 10 WHERE name = 'eve'",
    "UPDATE people SET id = id + 10 WHERE name = 'bob'",
    "INSERT INTO stock VALUES ('here', 'ink', 1)",
    "DELETE FROM orders WHERE person IN (SELECT id FROM people WHERE name = 'bob')",
    "DELETE FROM people WHERE name = 'bob'",
    "SELECT * FROM people ORDER BY id",
    "ALTER TABLE orders ADD COLUMN note TEXT DEFAULT 'n'",
    "UPDATE orders SET note = 'first' WHERE id = 1",
    "ALTER TABLE orders RENAME COLUMN item TO thing",
    "SELECT thing, note FROM orders ORDER BY id",
    "CREATE INDEX by_thing ON orders (thing)",
    "CREATE TABLE tags (name TEXT PRIMARY KEY, uses INTEGER DEFAULT 0)",
    "INSERT INTO tags (name) SELECT DISTINCT thing FROM orders",
    "SELECT * FROM tags ORDER BY name",
    "DROP INDEX by_thing",
    "ALTER TABLE orders DROP COLUMN amount",
    "DROP TABLE orders",
    "SELECT * FROM orders",
    "DELETE FROM people",
    "INSERT INTO people (name) VALUES ('last')",
]


def test_one_agent_gets_what_the_database_would_have_told(database: Database) -> None:  # noqa: F811
    from test_sql_engines import TABLES

    # A sequence of PostgreSQL also counts the insert that failed before; here ids follow the order alone.
    statements = [one for one in STATEMENTS if database.sqlite or not ("'fay'" in one or "'last'" in one)]
    state, results = serially(database, TABLES, statements)
    (told,) = anyio.run(run, database, statements)
    for statement, mine, real in zip(statements, map(comparable, told), results, strict=True):
        assert mine == real, statement
    target = database.target()
    assert {**target.snapshot(), **target.snapshot("sql-schema:")} == state


def test_parameters_stand_for_values(database: Database) -> None:  # noqa: F811
    async def main() -> None:
        target = database.target()
        async with domain_of(database, target) as domain:
            a = await domain.join("a")
            name = "it's; DROP TABLE people --"
            await call(a, "INSERT INTO people (name, email) VALUES (?, ?)", [name, None])
            found = await call(a, "SELECT id FROM people WHERE name = :name", {"name": name})
            assert found == {"rows": [{"id": 3}]}
            with pytest.raises(coagent.ToolFailed, match="1 placeholders, and there are 2"):
                await call(a, "SELECT id FROM people WHERE name = ?", [1, 2])
            with pytest.raises(coagent.ToolFailed, match="no 'name'"):
                await call(a, "SELECT id FROM people WHERE name = :name", {"nome": 1})

    anyio.run(main)


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("SELEC 1", "refused|cannot be read"),
        ("SELECT * FROM people WHERE (", "cannot be read at line 1"),
        ("SELECT * FROM peple", "'people'"),
        ("SELECT nme FROM people", "'name'"),
        ("SELECT 1; SELECT 2", "2 statements"),
        ("BEGIN", "undoing the call"),
        ("COMMIT", "a transaction of its own"),
        ("INSERT INTO people (name) VALUES (NULL)", "constraint"),
        ("INSERT INTO people (name, email) VALUES ('x', 'a@x')", "constraint"),
        ("DELETE FROM people WHERE id = 1", "constraint"),
        ("CREATE VIEW v AS SELECT 1", "VIEW is refused"),
        ("SELECT * FROM elsewhere.people", "outside the domain"),
        ("VACUUM", "refused"),
    ],
)
def test_a_mistake_is_answered_with_its_cause(database: Database, statement: str, message: str) -> None:  # noqa: F811
    async def main() -> None:
        target = database.target()
        async with domain_of(database, target) as domain:
            a = await domain.join("a")
            before = target.snapshot()
            with pytest.raises(coagent.ToolFailed, match=message):
                await call(a, statement)
            assert target.snapshot() == before

    anyio.run(main)


def test_the_premise_of_a_select_is_what_it_matched(database: Database) -> None:  # noqa: F811
    async def main() -> None:
        target = database.target()
        async with domain_of(database, target) as domain:
            low, high = await domain.join("low"), await domain.join("high")
            await call(high, "SELECT name FROM people WHERE name > 'b'")
            await call(high, "SELECT count(*) AS n FROM orders WHERE amount = 1")
            await call(low, "UPDATE people SET email = 'z@x' WHERE name = 'bob'")
            await call(low, "UPDATE orders SET amount = 4 WHERE id = 1")
            assert not high.notified
            await call(low, "UPDATE orders SET amount = 1 WHERE id = 1")
            assert [one.calls[0].after for one in await high.notifications()] == [{"rows": [{"n": 2}]}]
            await call(low, "INSERT INTO people (name) VALUES ('cy')")
            assert high.notified
            await high.abort()
            await low.finish()

    anyio.run(main)


def test_ids_come_out_in_the_order_of_ranks(database: Database) -> None:  # noqa: F811
    database.run("DROP TABLE orders")

    async def main() -> None:
        target = database.target()
        async with domain_of(database, target) as domain:
            low, high = await domain.join("low"), await domain.join("high")
            assert (await call(high, "INSERT INTO people (name) VALUES ('high')"))["ids"] == [3]
            assert (await call(low, "INSERT INTO people (name) VALUES ('low')"))["ids"] == [3]
            assert (await high.notifications())[0].calls[0].after == {"rows_changed": 1, "ids": [4]}
            await low.finish()
            await high.finish()
        found = target.snapshot("sql:people/")
        assert (found["sql:people/3"]["name"], found["sql:people/4"]["name"]) == ("low", "high")

    anyio.run(main)


def test_a_late_change_of_a_table_reaches_those_who_used_it(database: Database) -> None:  # noqa: F811
    async def main() -> None:
        target = database.target()
        async with domain_of(database, target) as domain:
            low, high = await domain.join("low"), await domain.join("high")
            await call(high, "SELECT * FROM stock WHERE item = 'ink'")
            await call(high, "UPDATE stock SET amount = 1 WHERE item = 'pen'")
            await call(low, "ALTER TABLE stock ADD COLUMN note TEXT DEFAULT 'x'")
            notice = (await high.notifications())[0]
            assert notice.calls[0].after == {
                "rows": [{"place": "here", "item": "ink", "amount": 7, "note": "x"}]
            }
            await low.finish()
            await high.finish()
        assert target.snapshot("sql:stock/")["sql:stock/a%2Cb,pen"] == {
            "place": "a,b",
            "item": "pen",
            "amount": 1,
            "note": "x",
        }

    anyio.run(main)


def random_statement(source: random.Random) -> str:
    number, other = source.randint(1, 5), source.randint(0, 9)
    item, person = source.choice(["pen", "ink", "cup"]), source.randint(1, 4)
    return source.choice(
        [
            f"INSERT INTO orders (person, item, amount) VALUES ({person}, '{item}', {other})",
            f"INSERT INTO orders (id, person, item, amount) VALUES ({number + 2}, NULL, '{item}', {other})",
            f"INSERT INTO people (name, email) VALUES ('n{other}', '{number}@x')",
            f"INSERT INTO people (name, email) VALUES ('m', '{number}@x') ON CONFLICT (email) DO NOTHING",
            f"UPDATE orders SET amount = amount + {other} WHERE item = '{item}'",
            f"UPDATE orders SET item = '{item}' WHERE amount > {other}",
            f"UPDATE orders SET amount = (SELECT count(*) FROM people) WHERE id = {number}",
            f"UPDATE stock SET amount = amount - {other} WHERE item = '{item}'",
            f"UPDATE people SET email = '{other}@x' WHERE id = {person}",
            f"DELETE FROM orders WHERE id = {number}",
            f"DELETE FROM orders WHERE person = {person} OR item LIKE '{item[0]}%'",
            f"DELETE FROM people WHERE id = {person}",
            f"INSERT INTO stock VALUES ('p{person}', '{item}', {other})",
            f"SELECT count(*) AS n, max(amount) AS m FROM orders WHERE item = '{item}'",
            f"SELECT name FROM people WHERE id >= {person} ORDER BY id",
            "SELECT p.name, sum(o.amount) AS s FROM people p LEFT JOIN orders o ON o.person = p.id "
            "GROUP BY p.id, p.name ORDER BY p.id",
        ]
    )


@pytest.mark.parametrize(
    "seed", [*range(12), *(pytest.param(seed, marks=pytest.mark.long) for seed in range(12, 40))]
)
def test_two_agents_end_as_one_after_the_other(database: Database, seed: int) -> None:  # noqa: F811
    from test_sql_engines import TABLES

    source = random.Random(seed)
    agents = [[random_statement(source) for _ in range(source.randint(1, 4))] for _ in range(2)]
    order = [index for index, one in enumerate(agents) for _ in one]
    source.shuffle(order)
    script = TABLES
    if (
        not database.sqlite
    ):  # a sequence of PostgreSQL also counts what failed, so ids are not told by the order
        agents = [[one for one in statements if "INSERT INTO people" not in one] for statements in agents]
        agents = [[one for one in statements if "(person, item" not in one] for statements in agents]
        order = [index for index in order if agents[index]]
        order = list(itertools.chain.from_iterable([index] * len(one) for index, one in enumerate(agents)))
        source.shuffle(order)
    state, results = serially(database, script, [*agents[0], *agents[1]])
    told = anyio.run(lambda: run(database, *agents, order=order))
    target = database.target()
    assert {**target.snapshot(), **target.snapshot("sql-schema:")} == state
    assert list(map(comparable, [*told[0], *told[1]])) == [
        [{name: str(v) if type(v).__name__ == "Decimal" else v for name, v in row.items()} for row in one]
        if isinstance(one, list)
        else one
        for one in results
    ]
