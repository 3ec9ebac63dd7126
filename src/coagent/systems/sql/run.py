"""Statements at a position of the order: they read through `State`, and what they change is written to it.

A statement runs in a scratch database over the rows that it can concern, and those are found as it goes:
first the rows its WHERE may match; then, for each row that it changed there, the rows with which a primary
key, a unique index or a foreign key may clash. Once a run asks for no further row it is what the live
database would have done at this position. All that was looked for is a premise, what was not found as well.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sqlglot import exp

from coagent.errors import ToolFailed
from coagent.protocol.keys import Key
from coagent.protocol.predicates import EVERYTHING, Where, predicate
from coagent.protocol.values import Value, same
from coagent.systems.sql.kept import Kept, draw, mentions
from coagent.systems.sql.keys import decode_key, encode_key
from coagent.systems.sql.limits import Limits, OutOfTime, StatementGuard
from coagent.systems.sql.needs import Needs
from coagent.systems.sql.scratch import Scratch, ScratchResult, Work
from coagent.systems.sql.scratch_tables import Rows
from coagent.systems.sql.session import Row, Schema, key_kinds
from coagent.systems.sql.statements import (
    INLINE_LENGTH,
    Dialect,
    Statement,
    condition,
    key_values,
    single_where,
    used_columns,
)
from coagent.tools.off_loop import off_loop
from coagent.tools.state import State

_INLINE_ROWS = 1_000
_INLINE_S = 0.02
"""What is done where the event loop runs: SQLite is mostly done before a thread has started."""


class StatementRun(Needs):
    """One statement over the state of one call."""

    def __init__(
        self, state: State, scheme: str, scratch: Scratch, statement: Statement, limits: Limits
    ) -> None:
        super().__init__(state, scheme, scratch, statement)
        self.limits = limits
        self.rows: Rows = {}
        self.sequences: dict[str, Value] = {}
        self._asked: set[tuple[str, str]] = set()

    # ---- queries -------------------------------------------------------------------------------------------

    async def query(self) -> ScratchResult:
        """Run a query."""
        if self.statement.catalogs:
            return await self._query_catalogs()
        await self.need_all()
        partial: dict[str, list[str]] = {}
        where = None if self.whole else single_where(self.statement)
        for table, schema in self.schemas.items():
            if "view" in schema:
                continue
            columns = None if self.whole or _needs_all(schema) else used_columns(self.statement, schema)
            if columns is not None and len(columns) < len(schema["columns"]):
                partial[table] = columns
            tree = ["true"] if where is None else condition(where, schema)
            self.rows[table] = await self._matching(table, tree, partial.get(table))
        work = self._work(partial)
        return await self._in_scratch(lambda guard: self.scratch.query(work, guard))

    async def _query_catalogs(self) -> ScratchResult:
        """Run a query about the schema itself, over all tables as they are at this position."""
        if self.statement.tables:
            raise ToolFailed(
                "the query asks about the schema and about rows at once",
                f"Ask for {', '.join(self.statement.tables)} in a call of its own.",
            )
        for table in await self.relations():
            self.schemas[table] = await self.state.get(f"{self.scheme}-schema:{table}")
            await self._read_sequence(table)
        self.schemas = dict(sorted(self.schemas.items(), key=lambda item: "view" in item[1]))
        work = self._work()
        return await self._in_scratch(lambda guard: self.scratch.query(work, guard))

    def _work(self, partial: Mapping[str, list[str]] | None = None) -> Work:
        texts = [self.statement.text]
        for schema in self.schemas.values():
            texts += [schema.get("view", ""), *schema["triggers"]]
            texts += [column["default"] or "" for column in schema["columns"].values()]
        drawn: Any = self.state.keep(draw) if self.routines.names or mentions(*texts) else None
        kept = None if drawn is None else Kept(*drawn)
        return Work(
            self.statement, self.schemas, self.rows, self.sequences, partial or {}, kept, self.routines
        )

    async def _in_scratch(self, run: Callable[[StatementGuard], ScratchResult]) -> ScratchResult:
        """Run something in the scratch database; where it may take long, in a thread."""
        few = sum(map(len, self.rows.values())) <= _INLINE_ROWS
        if self.scratch.url is None and few and len(self.statement.text) <= INLINE_LENGTH:
            try:
                return run(
                    StatementGuard(self.limits._replace(timeout_s=min(_INLINE_S, self.limits.timeout_s)))
                )
            except OutOfTime:
                pass  # it has changed nothing
        guards: list[StatementGuard] = []

        def work(stopped: threading.Event) -> ScratchResult:
            guards.append(StatementGuard(self.limits, stopped))
            return run(guards[0])

        return await off_loop(work, lambda: guards[0].interrupt() if guards else None)

    async def _matching(self, table: str, tree: list[Any], columns: list[str] | None) -> dict[str, Row]:
        """Return the rows that a predicate may match, in order of key."""
        schema = self.schemas[table]
        keys = key_values(tree, schema)
        if keys is not None:
            names = [encode_key(values, key_kinds(schema)) for values in keys]
            found = {name: await self.state.get(self._key(table, name)) for name in dict.fromkeys(names)}
            return _order_rows({name: row for name, row in found.items() if row is not None}, schema)
        selector = Where(predicate(tree), None if columns is None else json.dumps(columns))
        prefix = self._key(table, "")
        matching = await self.state.select(prefix, selector)

        def order(stopped: threading.Event) -> dict[str, Row]:
            return _order_rows({key[len(prefix) :]: row for key, row in matching.items()}, schema)

        return await off_loop(order) if len(matching) > _INLINE_ROWS else order(threading.Event())

    # ---- changes -------------------------------------------------------------------------------------------

    async def change(self) -> tuple[ScratchResult, list[Value]]:
        """Run INSERT, UPDATE, DELETE or MERGE; returns what it did, and the ids that it gave out."""
        statement = self.statement
        await self.need_all()
        await self.connect()
        await self.need_routines()
        for target in statement.targets:
            _require_writable(target, self.schemas[target])
        await self._load()
        for table in sorted({*statement.inserts, *self.touched}):
            for sharer in [table, *self.schemas[table].get("shares", ())]:
                await self._number(sharer)
        outcome = await self._run_until_loaded()
        await self._write(outcome)
        if len(statement.inserts) != 1 or "view" in self.schemas[statement.inserts[0]]:
            return outcome, []
        (table,) = statement.inserts
        before, schema = self.rows.get(table, {}), self.schemas[table]
        given = [key for key in outcome.rows[table] if key not in before]
        numbered = schema["sequences"] or schema.get("shares")
        kinds = key_kinds(schema)
        return outcome, [(decode_key(key, kinds) or [None])[0] for key in given] if numbered and len(
            kinds
        ) == 1 else []

    async def _load(self) -> None:
        """Load the rows that the statement itself may look at."""
        statement = self.statement
        where = None if self.whole else single_where(statement)
        target = statement.targets[0]
        if where is not None:
            for table in self.family(target):
                self.rows[table] = await self._matching(table, condition(where, self.schemas[table]), None)
            return
        for table in dict.fromkeys([*statement.tables, *self.whole]):
            insert = statement.tree.key == "insert" and _is_named_once(statement, table)
            if table in self.whole or table not in statement.inserts or not insert:
                for member in self.family(table) if "view" not in self.schemas[table] else ():
                    self.rows[member] = await self._matching(member, ["true"], None)

    async def _run_until_loaded(self) -> ScratchResult:
        """Run the statement until it asks for no row that has not been loaded.

        For instance `INSERT INTO orders VALUES (7, 'ada')`, where `customer` refers to customers: first
        nothing is loaded, and the foreign key fails, as it would without that customer. What the statement
        would have changed names the rows that constraints look at, orders/7 and customers/ada; these are
        read, as premises, and it runs again. Now it succeeds, or fails for what really is so.
        """
        while True:
            try:
                outcome = await self._change_in_scratch()
            except OutOfTime:
                raise
            except ToolFailed:
                # A row that it refers to may only be missing here: see what it would have changed.
                if await self._ask_arbiters() or await self._ask(
                    await self._change_in_scratch(checked=False)
                ):
                    continue
                if await self._ask_parents():
                    continue
                raise
            if not await self._ask(outcome):
                return outcome

    async def define(self) -> ScratchResult:
        """Run CREATE, ALTER or DROP."""
        known = await self.relations()
        tree = self.statement.tree
        tables = self.statement.tables
        if isinstance(tree, exp.Drop) and str(tree.args.get("kind")).upper() == "INDEX":
            tables = await self._tables_with_index(known, tables)
        for table in tables:
            if table in known:
                await self.need(table)
                _require_definable(table, self.schemas[table])
            else:
                await self.state.get(f"{self.scheme}-schema:{table}")
        await self.connect()
        await self.need_views(tables)
        for table in self.schemas:
            if "view" not in self.schemas[table]:
                self.rows[table] = await self._matching(table, ["true"], None)
                await self._read_sequence(table)
        outcome = await self._change_in_scratch()
        for table in sorted(self.schemas.keys() | outcome.schemas.keys()):
            now, before = outcome.schemas.get(table), self.schemas.get(table)
            if before is not None and (table not in tables) and _special(before):
                continue  # a scratch table stands for it
            if not same(before, now):
                if "view" in (now or before or {}):
                    raise ToolFailed(f"the view {table!r} would change with it", "Let a person change both.")
                key = f"{self.scheme}-schema:{table}"
                await self.state.get(key)
                await self.state.put(key, now)
        await self._write(outcome)
        return outcome

    async def _tables_with_index(self, known: list[str], indexes: tuple[str, ...]) -> tuple[str, ...]:
        """Return the tables that have one of the indexes."""
        found = []
        for table in known:
            schema = await self.state.get(f"{self.scheme}-schema:{table}")
            names = schema.get("indexes")
            if names is None:
                names = [text.partition(" ON ")[0].split()[-1].strip('"') for text in schema["create"][1:]]
            if any(name.lower() in indexes for name in names):
                found.append(table)
        return tuple(found)

    async def _change_in_scratch(self, *, checked: bool = True) -> ScratchResult:
        work = self._work()
        return await self._in_scratch(lambda guard: self.scratch.change(work, guard, checked))

    async def _write(self, outcome: ScratchResult) -> None:
        """Write the rows and sequences that a run left otherwise than it found them."""
        for table, key, _, new in _changed_rows(self.rows, outcome.rows):
            row = self._key(table, key)
            await self.state.get(row)
            await self.state.put(row, new)
        for table in sorted(self.schemas):
            schema = self.schemas[table]
            now = outcome.sequences.get(table)
            if schema.get("autoincrement") and table not in self.sequences:
                now = await self._autoincrement_value(table, outcome)
                if now is None:
                    continue
            if schema["dialect"] == "sqlite" and schema["sequences"] and not schema["autoincrement"] and now:
                now = await self._largest_value(table, outcome)
            elif table not in self.sequences:
                continue
            if not same(now, self.sequences.get(table)) and (now is not None or table not in outcome.schemas):
                await self.state.put(f"{self.scheme}-seq:{table}", now)

    async def _autoincrement_value(self, table: str, outcome: ScratchResult) -> Value:
        """Return the sequence of a table of which a row was given a new number, where that is the largest."""
        come = outcome.rows[table].keys() - self.rows.get(table, {}).keys()
        if not come:
            return None
        await self._read_sequence(table)
        ((column, last),) = self.sequences[table].items()
        return {column: max([last, *map(int, come)])}

    async def _largest_value(self, table: str, outcome: ScratchResult) -> Value:
        """Return the sequence of a table that numbers its rows by the largest one there is."""
        old, new = self.rows.get(table, {}), outcome.rows[table]
        come, gone = new.keys() - old.keys(), old.keys() - new.keys()
        if not come and not gone:
            return self.sequences.get(table)
        await self._read_sequence(table)
        (column,) = self.schemas[table]["sequences"]
        last: int = self.sequences[table][column]
        if str(last) in gone:
            prefix = self._key(table, "")
            left = [key[len(prefix) :] for key in await self.state.list(prefix)]
            last = max((int(key) for key in left if key not in gone), default=0)
        return {column: max([last, *map(int, come)])}

    async def _number(self, table: str) -> None:
        """Make the scratch table give out the numbers that follow those given out at this position."""
        schema = self.schemas[table]
        if not schema["sequences"]:
            return
        await self._read_sequence(table)
        if schema["dialect"] == "postgres" or schema["autoincrement"]:
            return
        (last,) = self.sequences[table].values()
        loaded = self.rows.setdefault(table, {})
        row = await self.state.get(self._key(table, str(last))) if last else None
        if last and row is None:  # somebody deletes rows without the tools
            prefix = self._key(table, "")
            last = max((int(key[len(prefix) :]) for key in await self.state.list(prefix)), default=0)
            row = await self.state.get(self._key(table, str(last))) if last else None
        if row is not None:
            loaded[str(last)] = row

    async def _read_sequence(self, table: str) -> None:
        if self.schemas[table]["sequences"] and table not in self.sequences:
            last = await self.state.get(f"{self.scheme}-seq:{table}")
            self.sequences[table] = last or dict.fromkeys(self.schemas[table]["sequences"], 0)

    # ---- what constraints look at --------------------------------------------------------------------------

    async def _ask(self, outcome: ScratchResult) -> bool:
        """Load the rows that may clash with what a run changed; returns whether there were any."""
        news = False
        for table, key, old, new in _changed_rows(self.rows, outcome.rows):
            if new is not None and old is None:
                news |= await self._ask_key(table, key)
                if not _exact(
                    self.schemas[table]
                ):  # equal keys need not look alike: 'A' and 'a', 1.0 and 1.00
                    columns = self.schemas[table]["key"]
                    news |= await self._ask_equal(table, columns, [new[name] for name in columns])
            for columns in self.schemas[table]["unique"]:
                if new is None:
                    continue
                if columns is None:
                    news |= await self._ask_rows(table, ["true"])
                elif old is None or any(not same(old[name], new[name]) for name in columns):
                    news |= await self._ask_equal(table, columns, [new[name] for name in columns])
            for other, columns, parent, to in self._references():
                if other == table and new is not None:
                    news |= await self._ask_equal(parent, to, [new[name] for name in columns])
                if parent == table and old is not None:
                    values = [old[name] for name in to]
                    if new is None or not same(values, [new[name] for name in to]):
                        news |= await self._ask_equal(other, columns, values)
        return news

    async def _ask_arbiters(self) -> bool:
        """Load all rows that an ON CONFLICT may meet: it was about one of them, where a later row failed."""
        tree = self.statement.tree
        if tree.args.get("conflict") is None and tree.args.get("alternative") is None:
            return False
        news = False
        for table in self.statement.inserts:
            if "view" not in self.schemas[table]:
                news |= await self._ask_rows(table, ["true"])
        return news

    async def _ask_parents(self) -> bool:
        """Load what the loaded rows refer to: PostgreSQL checks new rows again even if they are unchanged."""
        news = False
        for table, columns, parent, to in self._references():
            for row in list(self.rows.get(table, {}).values()):
                news |= await self._ask_equal(parent, to, [row[name] for name in columns])
        return news

    def _references(self) -> Iterator[tuple[str, list[str], str, list[str]]]:
        for table, schema in self.schemas.items():
            for reference in schema["references"]:
                if reference["table"] in self.schemas:
                    to = reference["to"] or self.schemas[reference["table"]]["key"]
                    yield table, reference["columns"], reference["table"], to

    async def _ask_equal(self, table: str, columns: list[str], values: list[Value]) -> bool:
        if any(value is None for value in values):
            return False  # NULL clashes with nothing and refers to nothing
        schema = self.schemas[table]
        if columns == schema["key"] and _exact(schema):
            return await self._ask_key(table, encode_key(values, key_kinds(schema)))
        parts = [
            ["compare", _equality(schema["columns"][name]), name, "=", value]
            for name, value in zip(columns, values, strict=True)
        ]
        return await self._ask_rows(table, ["and", *parts])

    async def _ask_key(self, table: str, key: str) -> bool:
        if (table, key) in self._asked or key in self.rows.get(table, {}):
            return False
        self._asked.add((table, key))
        row = await self.state.get(self._key(table, key))
        if row is not None:
            self.rows.setdefault(table, {})[key] = row
        return row is not None

    async def _ask_rows(self, table: str, tree: list[Any]) -> bool:
        asked = (table, predicate(tree))
        everything = (table, EVERYTHING)
        if asked in self._asked or everything in self._asked:
            return False
        self._asked.add(asked)
        loaded = self.rows.setdefault(table, {})
        before = len(loaded)
        loaded.update(await self._matching(table, tree, None))
        return len(loaded) > before

    def _key(self, table: str, key: str) -> Key:
        return Key(f"{self.scheme}:{table}/{key}")


def dialect_of(scratch: Scratch) -> Dialect:
    """Return the dialect of the statements that a scratch database takes."""
    return "sqlite" if scratch.url is None else "postgres"


def _require_writable(table: str, schema: Schema) -> None:
    """Refuse to change the rows of what does more, or other, than its schema says.

    Raises:
        ToolFailed: It does.
    """
    if schema.get("rules"):
        raise ToolFailed(
            f"table {table!r} has rules, which rewrite statements", "Change it outside the domain."
        )
    if "view" in schema and schema["triggers"]:
        raise ToolFailed(f"the view {table!r} is changed by triggers", "Change its tables themselves.")


def _special(schema: Schema) -> bool:
    """Tell whether a scratch table stands for a table, without being like it in all."""
    return bool(schema.get("partitioned") or schema.get("rules") or schema.get("outside"))


def _require_definable(table: str, schema: Schema) -> None:
    """Refuse to change the schema of what a scratch table only stands for.

    Raises:
        ToolFailed: It does.
    """
    if "view" in schema:
        raise ToolFailed(f"{table!r} is a view", "Let a person change it.")
    if _special(schema):
        what = "is partitioned" if schema.get("partitioned") else "has rules, or refers to another schema"
        raise ToolFailed(
            f"table {table!r} {what}, so its definition stays as it is", "Let a person change it."
        )


def _is_named_once(statement: Statement, target: str) -> bool:
    return sum(table.name.lower() == target.lower() for table in statement.tree.find_all(exp.Table)) == 1


def _needs_all(schema: Schema) -> bool:
    """Tell whether a query over a table needs it as it is, with rowids or collations."""
    if schema["key"] == ["_rowid_"]:
        return True
    return schema["dialect"] == "sqlite" and "COLLATE" in schema["create"][0].upper()


def _exact(schema: Schema) -> bool:
    """Tell whether equal keys of a table are always written alike."""
    if schema["dialect"] == "sqlite":
        return not any("COLLATE" in text.upper() for text in schema["create"])
    kinds = {_equality(schema["columns"][name]) for name in schema["key"]}
    return kinds <= {"number", "text", "boolean", "bytes"}


def _equality(column: dict[str, Any]) -> str:
    """Return the kind by which to look for an equal value that the database itself has written."""
    exact = column["type"] in ("uuid", "date") or column["type"].startswith("timestamp")
    return "text" if column["kind"] == "other" and exact else column["kind"]


def _order_rows(rows: dict[str, Row], schema: Schema) -> dict[str, Row]:
    kinds = key_kinds(schema)
    try:
        return dict(sorted(rows.items(), key=lambda item: decode_key(item[0], kinds) or []))
    except TypeError:
        return dict(sorted(rows.items()))


def _changed_rows(before: Rows, after: Rows) -> Iterator[tuple[str, str, Row | None, Row | None]]:
    """Yield (table, key, old row, new row) of the rows that differ."""
    for table in sorted(before.keys() | after.keys()):
        old, new = before.get(table, {}), after.get(table, {})
        for key in sorted(old.keys() | new.keys()):
            if not same(old.get(key), new.get(key)):
                yield table, key, old.get(key), new.get(key)
