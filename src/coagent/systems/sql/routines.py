"""A schema's own functions and triggers, as a statement in scratch tables needs them.

A function finds its tables by their names, and temporary tables hide the live ones; so it reads and writes
the rows of the statement's position, if they are there. All tables that stand in its text are loaded for it.
It runs as a copy in the temporary schema, with its text changed as the statement's is (`kept.py`). A function
that puts statements together itself could name any table, and is refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from coagent.errors import ToolFailed
from coagent.systems.sql.functions import Allowed
from coagent.systems.sql.kept import Kept, at_its_hour
from coagent.systems.sql.rewriting import names_called, tokens_of, with_calls, without_schema
from coagent.systems.sql.session import SqlSession, quote_name

_FOUND = """
SELECT p.proname, p.prosrc, pg_get_functiondef(p.oid), l.lanname, p.provolatile = 'v'
FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname = %s AND p.proname = ANY(%s) AND p.prokind = 'f'
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid
                  AND d.deptype = 'e')
ORDER BY p.oid"""


class Routines(NamedTuple):
    """Functions of a schema.

    Args:
        names: Their names, and what the copies are called.
        definitions: What makes the copies, which call each other by their own names still.
        bodies: Their texts, in which tables stand.
        volatile: Whether one of them may change rows.
    """

    names: dict[str, str]
    definitions: list[tuple[str, str]]
    bodies: str
    volatile: bool

    def text(self, text: str, kept: Kept | None) -> str:
        """Return a text with calls of the copies, at the hour that is kept."""
        if self.names:
            text = with_calls(text, self.names)
        return text if kept is None else at_its_hour(text, kept)

    def create(self, session: SqlSession, space: str, kept: Kept | None) -> None:
        """Make the copies in the temporary schema."""
        if not self.definitions:
            return
        session.execute("SET LOCAL check_function_bodies = off")  # they may call each other
        for name, definition in self.definitions:
            _, _, rest = definition.partition("(")  # of CREATE OR REPLACE FUNCTION space.name(
            head, mark, tail = rest.partition("\nAS ")
            body, opening = (tail, "") if mark else (rest, "")
            if mark:
                opening, body = body[: body.index("$", 1) + 1], body[body.index("$", 1) + 1 :]
                body, closing = body[: body.rindex(opening)], opening
                text = f"{head}\nAS {opening}{self.text(without_schema(body, space), kept)}{closing}"
            else:  # BEGIN ATOMIC, or RETURN
                text = self.text(without_schema(rest, space), kept)
            session.execute(f"CREATE FUNCTION {self.names[name]}({text}")


NONE = Routines({}, [], "", False)


def routines_of(session: SqlSession, space: str, texts: Iterable[str], allowed: Allowed) -> Routines:
    """Return the functions of a schema that some texts call, and those that these call.

    Raises:
        ToolFailed: One of them does what cannot be done apart from the live tables.
    """
    waiting = {name for text in texts for name in names_called(tokens_of(text))} - allowed.servers
    found: dict[str, list[tuple[str, str, str]]] = {}
    volatile = False
    while waiting:
        rows = session.execute(_FOUND, (space, sorted(waiting))).fetchall()
        waiting = set()
        for name, body, definition, language, changes in rows:
            if language not in ("sql", "plpgsql"):
                continue  # what may be called of these, `Allowed` says
            text = body or definition.partition("(")[2]
            tokens = tokens_of(text)
            if language == "plpgsql" and any(token.text.upper() == "EXECUTE" for token in tokens):
                raise ToolFailed(
                    f"the function {name}() puts statements together itself (EXECUTE), so nobody can say "
                    "which tables they are about",
                    "Write out what it does; or change the table outside the domain.",
                )
            found.setdefault(name, []).append((text, definition, body))
            volatile |= changes
            waiting |= set(names_called(tokens))
        waiting -= allowed.servers | found.keys()
    names = {name: f"pg_temp.{quote_name(name)}" for name in found}
    for name, copies in found.items():
        for text, _, _ in copies:
            try:
                allowed.refuse(session, text, names)
            except ToolFailed as error:
                raise ToolFailed(
                    f"the function {name}() cannot be called here: {error.cause}", error.cure
                ) from None
    definitions = [(name, definition) for name, copies in found.items() for _, definition, _ in copies]
    bodies = "\n".join(text for copies in found.values() for text, _, _ in copies)
    return Routines(names, definitions, bodies, volatile)
