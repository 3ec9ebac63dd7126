# ruff: noqa: F811 (fixtures are named as they are imported)
"""SQL statements that would never end, or take all there is: they are ended, and everybody else goes on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from test_sql_engines import Database, database  # noqa: F401

import coagent
from coagent.systems.sql import limits as sql_limits
from coagent.systems.sql.tools import sql_tools

DEADLINE_S = 60
TIMEOUT_S = 0.5
Session = Any

ENDLESS = [
    "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c",
    "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x % 7 FROM c) SELECT max(x) FROM c",
    "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT (x + 1) % 100000 FROM c) SELECT x FROM c ORDER BY x",
    "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 3000) "
    "SELECT count(*) FROM c a, c b, c d, c e WHERE a.x + b.x < d.x * e.x",
]


def tell(database: Database, story: Callable[[Session, Session], Awaitable[None]], **options: Any) -> None:
    """Let a story happen to two agents on the tables of the tests; then nothing may be left half done."""

    async def main() -> None:
        target = database.target()
        tools = sql_tools(database.url, **{"timeout_s": TIMEOUT_S, **options})
        before = target.snapshot()
        with anyio.fail_after(DEADLINE_S):
            async with coagent.open_domain("memory:", targets=[target], tools=tools) as domain:
                await story(await domain.join("A"), await domain.join("B"))
            assert target.snapshot() == before

    anyio.run(main)


async def fails(session: Session, tool: str, text: str) -> coagent.CoAgentError:
    name = "query" if tool == "sql_query" else "statement"
    with pytest.raises(coagent.CoAgentError) as caught:
        await session.call(tool, **{name: text})
    return caught.value


@pytest.mark.parametrize("query", ENDLESS, ids=range(len(ENDLESS)))
def test_an_endless_query_is_ended_and_others_go_on_meanwhile(database: Database, query: str) -> None:
    async def story(a: Session, b: Session) -> None:
        done: list[int] = []

        async def others() -> None:
            while True:
                await b.call("sql_query", query=f"SELECT name FROM people WHERE id = {len(done) % 2 + 1}")
                done.append(1)
                await anyio.lowlevel.checkpoint()

        async with anyio.create_task_group() as group:
            group.start_soon(others)
            error = await fails(a, "sql_query", query)
            group.cancel_scope.cancel()
        assert error.cause == f"the statement was ended, since it ran longer than {TIMEOUT_S:g} s"
        assert "LIMIT" in error.cure
        assert "timeout_s" in error.cure
        assert len(done) >= 2, "others go on"
        assert (await b.call("sql_query", query="SELECT count(*) AS n FROM people")).value == {
            "rows": [{"n": 2}]
        }

    tell(database, story)


def test_an_endless_change_is_ended_and_changes_nothing(database: Database) -> None:
    async def story(a: Session, b: Session) -> None:
        many = "WITH RECURSIVE c(x) AS (SELECT 100 UNION ALL SELECT x + 1 FROM c) "
        for statement in (
            f"INSERT INTO people (id, name, email) {many}SELECT x, 'n', 'mail ' || x FROM c",
            f"UPDATE orders SET amount = ({many}SELECT count(*) FROM c)",
            f"DELETE FROM stock WHERE amount < ({many}SELECT count(*) FROM c)",
            f"CREATE TABLE big AS {many}SELECT x FROM c",
        ):
            error = await fails(a, "sql_execute", statement)
            assert "longer than" in error.cause or "MiB for its tables" in error.cause
            assert error.cure

    tell(database, story)


def test_of_an_endless_result_the_first_rows_are_shown_with_a_note(database: Database) -> None:
    async def story(a: Session, b: Session) -> None:
        endless = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c"
        shown = (await a.call("sql_query", query=endless)).value
        assert [row["x"] for row in shown["rows"]] == list(range(1, 501))
        assert shown["note"] == "only the first 500 rows are shown; add LIMIT"

    tell(database, story, timeout_s=30)


def test_a_result_is_bounded_in_bytes(database: Database) -> None:
    text = "replace(hex(zeroblob({0} / 2)), '0', 'x')" if database.sqlite else "repeat('x', {0})"

    async def story(a: Session, b: Session) -> None:
        large = text.format(400_000)
        wide = f"SELECT id, {large} AS t FROM people UNION ALL SELECT 7, 'y' UNION ALL SELECT 8, {large}"
        shown = (await a.call("sql_query", query=wide)).value
        assert len(shown["rows"]) < 4
        assert "select fewer columns" in shown["note"]
        error = await fails(a, "sql_query", f"SELECT {text.format(5_000_000)} AS t")
        assert error.cause == "the first row of the result has 5000000 bytes, more than 1048576"
        error = await fails(a, "sql_query", f"SELECT length({text.format(2_000_000_000)}) AS n")
        assert "too large" in error.cause

    tell(database, story, timeout_s=30)


def test_a_change_is_bounded_in_rows_and_bytes(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = sql_limits.Limits(30, changed_rows=1000, scratch_bytes=4 * 1024**2)
    monkeypatch.setattr("coagent.systems.sql.tools.Limits", lambda timeout_s: limits)
    many = "WITH RECURSIVE c(x) AS (SELECT 100 UNION ALL SELECT x + 1 FROM c WHERE x < {}) "
    text = "hex(zeroblob(1000000))" if database.sqlite else "repeat('xy', 1000000)"

    async def story(a: Session, b: Session) -> None:
        insert = f"INSERT INTO people (id, name, email) {many.format(1200)}SELECT x, 'n', 'mail ' || x FROM c"
        error = await fails(a, "sql_execute", insert)
        assert error.cause == "the statement changes 1101 rows, more than the 1000 of one call"
        error = await fails(a, "sql_execute", f"CREATE TABLE big AS {many.format(1200)}SELECT x FROM c")
        assert "1101 rows" in error.cause
        wide = f"INSERT INTO people (id, name, email) {many.format(105)}SELECT x, {text}, 'mail ' || x FROM c"
        error = await fails(a, "sql_execute", wide)
        assert "4 MiB" in error.cause or "bytes in 'people'" in error.cause

    tell(database, story)


def test_rows_that_a_change_returns_are_bounded_and_all_of_them_are_changed(database: Database) -> None:
    many = "WITH RECURSIVE c(x) AS (SELECT 100 UNION ALL SELECT x + 1 FROM c WHERE x < 609) "

    async def main() -> None:
        target = database.target()
        async with coagent.open_domain("memory:", targets=[target], tools=sql_tools(database.url)) as domain:
            a = await domain.join("A")
            insert = (
                f"INSERT INTO people (id, name, email) {many}SELECT x, 'n', 'mail ' || x FROM c RETURNING id"
            )
            told = (await a.call("sql_execute", statement=insert)).value
            assert told["rows_changed"] == 510
            assert len(told["returned"]) == 500
            assert told["note"].startswith("only the first 500 rows")
            assert (await a.finish()).state == "committed"
        assert len(target.snapshot("sql:people/")) == 512

    anyio.run(main)


def test_statements_too_long_or_nested_too_deep_are_refused(database: Database) -> None:
    async def story(a: Session, b: Session) -> None:
        error = await fails(a, "sql_query", f"SELECT {'(' * 3000}1{')' * 3000}")
        assert "nested too deep" in error.cause
        error = await fails(a, "sql_query", f"SELECT '{'x' * 1_000_001}'")
        assert "more than 1000000" in error.cause
        nots = f"SELECT * FROM people WHERE {'NOT ' * 60}(id = 1)"
        assert [row["id"] for row in (await a.call("sql_query", query=nots)).value["rows"]] == [1]
        many = " OR ".join(f"id = {number}" for number in range(900))
        found = (await a.call("sql_query", query=f"SELECT id FROM people WHERE {many} ORDER BY id")).value
        assert found == {"rows": [{"id": 1}, {"id": 2}]}

    tell(database, story, timeout_s=30)


REFUSED = [
    ("SELECT pg_sleep(1000)", "pg_sleep"),
    ('SELECT "pg_sleep"(1000)', "pg_sleep"),
    ("SELECT pg_catalog.pg_sleep (1000)", "pg_sleep"),
    ("SELECT name FROM people WHERE pg_sleep(1000) IS NULL", "pg_sleep"),
    ("SELECT pg_terminate_backend(pid) FROM (SELECT 1 AS pid) x", "pg_terminate_backend"),
    ("SELECT pg_advisory_lock(1)", "pg_advisory_lock"),
    ("SELECT nextval('people_id_seq')", "nextval"),
    ("SELECT nextval('public.people_id_seq')", "nextval"),
    ("SELECT setval('people_id_seq', 100)", "setval"),
    ("SELECT query_to_xml('SELECT * FROM public.people', true, true, '')", "query_to_xml"),
    ("SELECT table_to_xml('public.people', true, true, '')", "table_to_xml"),
    ("SELECT pg_read_file('/etc/passwd')", "pg_read_file"),
    ("SELECT pg_ls_dir('.')", "pg_ls_dir"),
    ("SELECT lo_import('/etc/passwd')", "lo_import"),
    ("SELECT lo_create(0)", "lo_create"),
    ("SELECT set_config('statement_timeout', '0', false)", "set_config"),
    ("SELECT * FROM ts_stat('SELECT email::tsvector FROM public.people')", "ts_stat"),
    ("SELECT pg_notify('a', 'b')", "pg_notify"),
]


@pytest.mark.parametrize(("query", "function"), REFUSED)
def test_functions_that_reach_past_the_statement_are_refused(
    postgres: str, query: str, function: str
) -> None:
    database = Database(postgres)

    async def story(a: Session, b: Session) -> None:
        error = await fails(a, "sql_query", query)
        assert f"the function {function}() is refused" in error.cause
        assert error.cure

    tell(database, story)


def test_functions_of_the_schema_run_over_the_rows_of_the_position(postgres: str) -> None:
    database = Database(postgres)
    database.run(
        "CREATE FUNCTION counted() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM public.people';"
        "CREATE FUNCTION written(i int) RETURNS int LANGUAGE sql AS $$"
        "INSERT INTO public.people VALUES (77, 'x', 'y'); SELECT 1 $$;"
        "CREATE FUNCTION ended() RETURNS boolean LANGUAGE sql AS 'SELECT pg_terminate_backend(1)';"
    )

    async def story(a: Session, b: Session) -> None:
        await b.call("sql_execute", statement="INSERT INTO people (name) VALUES ('cy')")
        for agent, count in ((a, 2), (b, 3)):
            found = await agent.call("sql_query", query="SELECT public.counted() AS n")
            assert found.value == {"rows": [{"n": count}]}
        assert "changes rows" in (await fails(a, "sql_query", "SELECT written(1)")).cause
        assert "pg_terminate_backend() is refused" in (await fails(a, "sql_query", "SELECT ended()")).cause
        await b.abort()

    tell(database, story)


def test_functions_over_values_may_be_called(postgres: str) -> None:
    database = Database(postgres)
    database.run("CREATE FUNCTION twice(i int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 2 * i'")

    async def story(a: Session, b: Session) -> None:
        for query, wanted in {
            "SELECT lower(name) AS v FROM people WHERE id = 1": "ann",
            "SELECT string_agg(name, ',' ORDER BY id) AS v FROM people": "ann,bob",
            "SELECT count(*) FILTER (WHERE id > 1) AS v FROM people": 1,
            "SELECT coalesce(NULL, round(2.4), 1) AS v": "2",
            "SELECT row_number() OVER (ORDER BY id DESC) AS v FROM people LIMIT 1": 1,
            "SELECT (random() < 2 AND now() IS NOT NULL AND gen_random_uuid() IS NOT NULL) AS v": True,
            "SELECT pg_typeof(1)::text AS v": "integer",
            "SELECT sum(g) AS v FROM generate_series(1, 4) AS g (g)": 10,
            "SELECT CAST('1.50' AS numeric(10, 2)) AS v": "1.50",
            "SELECT public.twice(4) AS v": 8,
        }.items():
            assert (await a.call("sql_query", query=query)).value == {"rows": [{"v": wanted}]}, query

    tell(database, story)


def test_a_change_calls_no_such_function_either_and_runs_read_only_on_the_live_tables(postgres: str) -> None:
    database = Database(postgres)

    async def story(a: Session, b: Session) -> None:
        for statement in (
            "UPDATE people SET name = 'x' WHERE pg_sleep(1000) IS NULL",
            "INSERT INTO people (id, name, email) VALUES (nextval('people_id_seq'), 'x', 'y')",
            "CREATE TABLE more (id int DEFAULT nextval('public.people_id_seq'))",
            "DELETE FROM people WHERE name IN (SELECT pg_read_file('/etc/passwd'))",
        ):
            assert "is refused" in (await fails(a, "sql_execute", statement)).cause
        hidden = await fails(a, "sql_query", r"""SELECT U&"pg\005fsleep"(1000)""")
        assert "refused" in hidden.cause
        several = await fails(a, "sql_query", "SELECT 1; DELETE FROM public.people")
        assert "2 statements" in several.cause

    tell(database, story)


def test_a_query_that_nobody_waits_for_any_more_is_ended(database: Database) -> None:
    """Well before its time: a cancelled call returns at once, and leaves no thread or server at work."""

    async def story(a: Session, b: Session) -> None:
        with anyio.move_on_after(1) as scope:
            await a.call("sql_query", query=ENDLESS[0])
        assert scope.cancelled_caught
        assert (await a.call("sql_query", query="SELECT 1 AS one")).value == {"rows": [{"one": 1}]}

    tell(database, story, timeout_s=10_000)


def test_a_time_limit_is_some_time() -> None:
    with pytest.raises(coagent.CoAgentError, match="leaves no time"):
        sql_tools(timeout_s=0)
