"""Random statements by agents in random interleavings, against the same run plainly one after another.

python tests/systems/sql/against_plain.py --engine sqlite --runs 1000 --first 0
"""

from __future__ import annotations

import argparse
import decimal
import random
import signal
import sqlite3
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import anyio
from random_schemas import Case, random_case

import coagent
from coagent.systems.sql.target import Sql
from coagent.systems.sql.tools import sql_tools

ENGINES = ("sqlite", "postgres")
_MASKED = ("at",)
"""Columns that two runs never have alike."""


class Plain:
    """A database as its own driver sees it.

    Args:
        url: Of the database.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.failures: tuple[type[Exception], ...]
        if url.startswith("sqlite"):
            self.connection: Any = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
            self.connection.execute("PRAGMA foreign_keys = ON")
            self.failures = (sqlite3.Error,)
        else:
            import psycopg

            self.connection = psycopg.connect(url, autocommit=True)
            self.failures = (psycopg.Error,)

    def clear(self) -> None:
        """Make it empty."""
        if self.url.startswith("sqlite"):
            self.connection.close()
            Path(self.url.removeprefix("sqlite:///")).unlink()
            self.__init__(self.url)  # type: ignore[misc]
        else:
            self.connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")

    def make(self, setup: list[str]) -> None:
        """Run statements, or scripts, of which some may fail."""
        for text in setup:
            if self.url.startswith("sqlite") and text.count(";") > 1 and "TRIGGER" not in text:
                self.connection.executescript(text)
            else:
                self.run(text)

    def run(self, text: str) -> Any:
        """Run a statement in a transaction of its own; what it returned, None for a failure."""
        numbers = self._numbers()
        try:
            cursor = self.connection.execute(text)
            if cursor.description is None:
                if self.url.startswith("sqlite"):  # the driver counts none where it begins with WITH
                    return self.connection.execute("SELECT changes()").fetchone()[0]
                return max(cursor.rowcount, 0)
            return _rows([column[0] for column in cursor.description], cursor.fetchall())
        except self.failures:
            for name, (last, drawn) in numbers.items():  # a failed call of an agent gives out no numbers
                self.connection.execute("SELECT setval(%s::regclass, %s, %s)", (f'"{name}"', last, drawn))
            return None

    def _numbers(self) -> dict[str, Any]:
        if self.url.startswith("sqlite"):
            return {}
        names = self.connection.execute("SELECT relname FROM pg_class WHERE relkind = 'S'").fetchall()
        query = 'SELECT last_value, is_called FROM "{}"'
        return {name: self.connection.execute(query.format(name)).fetchone() for (name,) in names}

    def state(self, tables: list[str]) -> dict[str, Any]:
        """Return the rows of tables."""
        found = {}
        for table in tables:
            cursor = self.connection.execute(f"SELECT * FROM {table}")
            found[table] = _rows([column[0] for column in cursor.description], cursor.fetchall())
        return found


def _rows(names: list[str], rows: list[Any]) -> list[Any]:
    found = [
        {
            name: "masked" if name in _MASKED else str(v) if isinstance(v, decimal.Decimal) else v
            for name, v in zip(names, row, strict=True)
        }
        for row in rows
    ]
    return sorted(found, key=repr)


def plainly(database: Plain, case: Case) -> tuple[dict[str, Any], list[list[Any]]]:
    """Run the agents' statements one agent after another."""
    database.clear()
    database.make(case.setup)
    results = [[database.run(text) for text in one] for one in case.agents]
    return database.state(case.tables), results


async def governed(database: Plain, case: Case) -> tuple[dict[str, Any], list[list[Any]]]:
    """Run the agents' statements as they come; an agent sends again what failed and would not fail now."""
    database.clear()
    database.make(case.setup)
    results: list[list[Any]] = []
    async with coagent.open_domain(
        "memory:", targets=[Sql(database.url)], tools=sql_tools(database.url)
    ) as domain:
        sessions = [await domain.join(f"agent{index}") for index in range(len(case.agents))]
        left = [iter(one) for one in case.agents]
        calls: list[list[str]] = [[] for _ in case.agents]
        lapsed: set[str] = set()
        for index in case.order:
            calls[index].append(await _sent(sessions[index], next(left[index])))
            session = sessions[index]
            lapsed |= {one for one in calls[index] if _told(session, one) is None}
        for index, session in enumerate(sessions):
            await _settled(session, list(zip(calls[index], case.agents[index], strict=True)), lapsed)
            results.append([_told(session, call) for call in calls[index]])
            settlement = await session.finish(wait=True)
            assert settlement.state == "committed", settlement
    return database.state(case.tables), results


def _arguments(text: str) -> tuple[str, dict[str, str]]:
    query = text.startswith("SELECT")
    return ("sql_query", {"query": text}) if query else ("sql_execute", {"statement": text})


async def _sent(session: coagent.AgentSession, text: str) -> str:
    tool, arguments = _arguments(text)
    try:
        return str((await session.call(tool, **arguments)).call_id)
    except coagent.ToolFailed as error:
        return str(error.call_id)


async def _settled(session: coagent.AgentSession, calls: list[tuple[str, str]], lapsed: set[str]) -> None:
    """Hear of all that has changed, and send again what has failed: only that brings such a call back."""
    while await session.wait_for_turn():
        lapsed |= {call_id for call_id, _ in calls if _told(session, call_id) is None}
    for call_id, text in calls:
        if call_id in lapsed or _told(session, call_id) is None:
            try:
                await session.amend(call_id, **_arguments(text)[1])
            except coagent.ToolFailed:
                continue
            while await session.wait_for_turn():
                lapsed |= {other for other, _ in calls if _told(session, other) is None}


def _told(session: coagent.AgentSession, call_id: str) -> Any:
    try:
        told: Any = session.result(call_id)
    except coagent.ToolFailed:
        return None
    rows = told.get("rows", told.get("returned"))
    if rows is not None:
        return sorted(
            [{n: "masked" if n in _MASKED else v for n, v in row.items()} for row in rows], key=repr
        )
    return told["rows_changed"]


def differences(database: Plain, seed: int) -> list[str]:
    """Run one case both ways, and return in what they differ."""
    case = random_case(random.Random(seed), not database.url.startswith("sqlite"))
    wanted, said = plainly(database, case)
    found, told = anyio.run(governed, database, case)
    different = [
        f"{table}: {found[table]} for {wanted[table]}" for table in wanted if found[table] != wanted[table]
    ]
    for index, one in enumerate(case.agents):
        for text, mine, real in zip(one, told[index], said[index], strict=True):
            if mine != real and {repr(mine), repr(real)} != {"0", "[]"}:
                different.append(f"agent{index}: {text}: {mine} for {real}")
    return different


def main() -> int:
    """Run many cases; the exit code says whether all were right."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", choices=ENGINES, default="sqlite")
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--keep", action="store_true", help="go on after the first difference")
    given = parser.parse_args()
    server = None
    if given.engine == "postgres":
        sys.path.insert(0, str(Path(__file__).parent))
        from throwaway_postgres import ThrowawayPostgres

        server = ThrowawayPostgres()
        server.start()
    begun, wrong, done = time.monotonic(), 0, 0
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory() as folder:
        database = Plain(server.url if server else f"sqlite:///{folder}/live.db")
        try:
            for seed in range(given.first, given.first + given.runs):
                done += 1
                try:
                    found = differences(database, seed)
                except (Exception, BaseExceptionGroup) as error:
                    found = [f"{type(error).__name__}: {error}"]
                if found:
                    wrong += 1
                    print(f"seed {seed}:", *found, sep="\n  ", flush=True)
                    if not given.keep:
                        break
        except KeyboardInterrupt:
            print("interrupted")
        finally:
            database.connection.close()
            if server is not None:
                server.remove()
    print(f"{given.engine}: {done} cases, {wrong} wrong, {time.monotonic() - begun:.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
