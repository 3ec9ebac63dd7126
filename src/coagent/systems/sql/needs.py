"""What a statement at a position of the order needs: the tables that it names, and those that act with them.

These are the tables that foreign keys connect with them, those that inherit from them, those of which a view
tells, and those that stand in the text of a function or trigger that runs.
"""

from __future__ import annotations

from collections.abc import Iterable

from coagent.errors import ToolFailed
from coagent.systems.sql.rewriting import names_called, names_in, tokens_of
from coagent.systems.sql.routines import NONE, Routines
from coagent.systems.sql.scratch import Scratch
from coagent.systems.sql.session import Schema
from coagent.systems.sql.statements import Statement, nearest
from coagent.tools.off_loop import off_loop
from coagent.tools.state import State


class Needs:
    """The schemas that one statement needs, at the position of its call.

    Args:
        state: Of the call.
        scheme: The target's.
        scratch: Knows the functions of the server.
        statement: The statement.
    """

    def __init__(self, state: State, scheme: str, scratch: Scratch, statement: Statement) -> None:
        self.state = state
        self.scheme = scheme
        self.scratch = scratch
        self.statement = statement
        self.schemas: dict[str, Schema] = {}
        self.routines = NONE
        self.whole: set[str] = set()
        """Tables of which functions, triggers and views may look at every row."""
        self.touched: set[str] = set()
        """Those of them that functions and triggers may change."""

    async def relations(self) -> list[str]:
        """Return the tables and views that there are; a new one is news to the agent."""
        return [key.partition(":")[2] for key in await self.state.list(f"{self.scheme}-schema:")]

    async def need_all(self) -> None:
        """Take in all that the statement names, and what functions of the schema need for it."""
        for table in self.statement.tables:
            await self.need(table)
        for name in self.statement.local:  # a WITH may look at a table of the same name
            if await self.state.get(f"{self.scheme}-schema:{name}") is not None:
                await self.need(name)
        await self.need_routines()

    async def need(self, table: str) -> None:
        """Take in a table or view, with what its rows or its text rest on.

        Args:
            table: Its name.

        Raises:
            ToolFailed: There is none of that name, or its rows have no names.
        """
        if table in self.schemas:
            return
        schema = await self.state.get(f"{self.scheme}-schema:{table}")
        if schema is None:
            raise ToolFailed(f"there is no table {table!r}", nearest(table, await self.relations()))
        if "view" in schema:
            await self._need_view(table, schema)
            return
        if not schema["key"]:
            raise ToolFailed(
                f"table {table!r} has no primary key, so its rows have no names",
                "Add one, outside the domain.",
            )
        self.schemas[table] = schema
        for other in [*schema.get("heirs", ()), *schema.get("inherits", ()), *schema.get("shares", ())]:
            await self.need(other)

    async def _need_view(self, view: str, schema: Schema) -> None:
        """Take in a view, with all rows of the tables that it is about."""
        if schema.get("stored") and self.statement.kind != "definition":
            raise ToolFailed(
                f"{view!r} is a materialized view: it holds what was so when it was refreshed, which has no "
                "place in the order",
                f"Ask as it does: {schema['view'].strip()[:500]}",
            )
        for name in names_in(schema["view"], [name for name in await self.relations() if name != view]):
            await self.need(name)
            self.whole.update(self.family(name))
        self.schemas[view] = schema

    async def need_routines(self) -> None:
        """Take in the functions that run, and the tables that they and the triggers are about."""
        changes = self.statement.kind == "change"
        done: frozenset[str] = frozenset()
        while True:
            texts = [self.statement.text]
            for schema in self.schemas.values():
                texts += [schema["view"]] if "view" in schema else []
                texts += schema["triggers"] if changes else []
                texts += [column["default"] or "" for column in schema["columns"].values()] if changes else []
            wanted = frozenset(texts)
            if wanted == done:
                return
            done = wanted
            triggers = [text for schema in self.schemas.values() for text in schema["triggers"]]
            bodies = "\n".join(triggers if changes else [])
            if self.scratch.url is not None:
                self.routines = await self._routines(texts)
                bodies = self.routines.bodies
            if not bodies:
                return
            for name in names_in(bodies, await self.relations()):
                await self.need(name)
                self.touched.update(self.family(name) if "view" not in self.schemas[name] else ())
            self.whole.update(self.touched)
            if changes:
                await self.connect()

    async def _routines(self, texts: list[str]) -> Routines:
        """Return the functions that some texts call; where all are the server's own, it is not asked."""
        servers = self.scratch.servers
        if servers is not None:
            own = [text for text in texts if set(names_called(tokens_of(text))) - servers]
            if not own:
                return NONE
        return await off_loop(lambda stopped: self.scratch.routines(texts))

    async def connect(self) -> None:
        """Take in the tables that foreign keys connect with the ones named."""
        known = {
            key.partition(":")[2]: await self.state.get(key, path="/references")
            for key in await self.state.list(f"{self.scheme}-schema:")
        }
        waiting = list(self.schemas)
        while waiting:
            table = waiting.pop()
            near = [reference["table"] for reference in known.get(table) or ()]
            near += [
                name
                for name, ones in known.items()
                if any(reference["table"] == table for reference in ones or ())
            ]
            for other in near:
                if other in known and other not in self.schemas:
                    before = set(self.schemas)
                    await self.need(other)
                    waiting += self.schemas.keys() - before

    async def need_views(self, tables: Iterable[str]) -> None:
        """Take in the views that some tables stand in: the database keeps them from losing these."""
        for name in await self.relations():
            schema = await self.state.get(f"{self.scheme}-schema:{name}")
            if "view" in schema and names_in(
                schema["view"], [table for table in tables if table in self.schemas]
            ):
                await self.need(name)

    def family(self, table: str) -> list[str]:
        """Return a table and its heirs, whose rows are its own as well."""
        found = [table]
        for member in found:
            found += [heir for heir in self.schemas[member].get("heirs", ()) if heir not in found]
        return found
