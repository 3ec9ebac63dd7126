"""Somebody changes a table of PostgreSQL between two questions that we ask about it."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from test_sql_engines import TABLES, Database, serial

from coagent.protocol.keys import Key
from coagent.systems.sql import postgres_schema
from coagent.systems.sql.session import SchemaMoved

PEOPLE = Key("sql-schema:people")


@pytest.fixture
def database(postgres: str) -> Database:
    return Database(postgres)


def _between(monkeypatch: pytest.MonkeyPatch, database: Database, name: str, *scripts: str) -> list[str]:
    """Run each script once, before one of the questions about a schema; returns those still to be run."""
    left, asked = list(scripts), getattr(postgres_schema, name)

    def interrupted(*arguments: Any) -> Any:
        if left:
            database.run(left.pop(0))
        return asked(*arguments)

    monkeypatch.setattr(postgres_schema, name, interrupted)
    return left


def test_a_table_dropped_between_two_questions_is_away(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = _between(monkeypatch, database, "_count", "DROP TABLE people CASCADE")
    assert anyio.run(database.target().get, PEOPLE) is None
    assert left == []


def test_a_schema_is_of_one_moment(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    script = "ALTER TABLE people ADD COLUMN age INTEGER UNIQUE"
    left = _between(monkeypatch, database, "_constrain", script)
    schema: Any = anyio.run(database.target().get, PEOPLE)
    assert left == []
    assert "age" in schema["columns"]
    assert "people_age_key" in schema["constraints"]


def test_a_table_that_is_made_anew_while_one_looks_around_has_changed(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    anew = "DROP TABLE people CASCADE;" + serial(TABLES.partition(";")[0], "people")
    keys = [PEOPLE, Key("sql-schema:stock")]

    async def main() -> Any:
        target = database.target()
        await target.get_many(keys)
        left = _between(monkeypatch, database, "_count", anew.replace("TEXT UNIQUE", "TEXT"))
        changed = await target.changed(keys, [])
        assert left == []
        return changed, await target.get(PEOPLE)

    changed, schema = anyio.run(main)
    assert list(changed) == [PEOPLE]
    assert list(schema["constraints"]) == ["people_pkey"]


def test_a_schema_that_changes_all_the_time_is_said_to(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts = [f"ALTER TABLE people ADD COLUMN more{number} INTEGER" for number in range(9)]
    _between(monkeypatch, database, "_constrain", *scripts)
    with pytest.raises(SchemaMoved, match="again and again"):
        anyio.run(database.target().get, PEOPLE)
