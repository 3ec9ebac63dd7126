"""The schema's own tables (`sqlite_master`, `information_schema`, `pg_catalog`) at a position of the order.

All tables are made as they are at the position, empty. SQLite then tells of them by itself. PostgreSQL tells
of them as temporary ones beside the live ones, which others may have changed; so a statement is shown views
of the catalogs in which the live ones are left out, and the temporary ones stand in their place.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import pairwise

from coagent.systems.sql.rewriting import Edit, apply_edits, tokens_of
from coagent.systems.sql.scratch_tables import in_order
from coagent.systems.sql.session import Schema, SqlSession

_OWNED = {
    "pg_class": "relnamespace",
    "pg_constraint": "connamespace",
    "pg_type": "typnamespace",
}
"""Catalogs whose rows lie in a schema by its number."""
_SHOWN = {"pg_class": " AND relkind <> 'm'", "pg_type": " AND typrelid <> 0"}
"""Which of the live ones are left out, where it is not all of them."""
_OTHERS = ("pg_matviews", "pg_policies", "pg_rules")
_MEMBERS = {
    "pg_attribute": "attrelid",
    "pg_attrdef": "adrelid",
    "pg_index": "indrelid",
    "pg_trigger": "tgrelid",
}
"""Catalogs whose rows belong to a relation."""
_COLUMNS = """
SELECT a.attname, a.atttypid IN ('name'::regtype, 'information_schema.sql_identifier'::regtype)
FROM pg_attribute a WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped
  AND a.atttypid <> 'anyarray'::regtype
ORDER BY a.attnum"""
_RELATIONS = """
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname IN ('pg_catalog', 'information_schema') AND c.relkind IN ('r', 'v')
  AND c.relname = ANY(%s)"""


def create_all(session: SqlSession, schemas: Mapping[str, Schema]) -> None:
    """Make all tables, views and triggers, empty."""
    # Materialized views cannot be temporary; as no agent changes them, the live ones are shown.
    ordered = [(table, schema) for table, schema in in_order(schemas) if not schema.get("stored")]
    for table, schema in ordered:
        session.create(table, schema, deferred=True)
    refer = getattr(session, "refer", None)  # in SQLite the table's own text says what it refers to
    for table, schema in ordered:
        if refer is not None and "view" not in schema:
            refer(table, schema)
    for _, schema in ordered:
        for trigger in schema["triggers"]:
            session.execute(trigger)


def show_catalogs(session: SqlSession, text: str, space: str) -> str:
    """Make views of the catalogs that a statement names, and return the statement about these views.

    Args:
        session: A scratch connection, with all tables of the position.
        text: The statement.
        space: The schema in which the tables are to be.
    """
    tokens = tokens_of(text)
    words = {token.text.lower() for token in tokens}
    found = {
        (spaced, name) for spaced, name in session.execute(_RELATIONS, (sorted(words),)).fetchall()
        if spaced == "pg_catalog" or "information_schema" in words
    }  # fmt: skip
    names = {
        (spaced, name): f"{name}" if spaced == "pg_catalog" else f"information_schema.{name}"
        for spaced, name in found
    }
    for (spaced, name), shown in names.items():
        session.execute(_view(session, spaced, name, shown, space, sorted(names.values())))
    edits: list[Edit] = []
    for at, (token, following) in enumerate(pairwise([*tokens, None])):
        if token.token_type.name == "STRING" or (following is not None and following.text == "("):
            continue
        word = token.text.lower()
        prefix = tokens[at - 2].text.lower() if at > 1 and tokens[at - 1].text == "." else None
        if (prefix, word) in names:
            edits.append(Edit(tokens[at - 2].start, token.end, f'pg_temp."{names[prefix, word]}"'))
        elif (
            prefix is None and ("pg_catalog", word) in names and (following is None or following.text != ".")
        ):
            edits.append(Edit(token.start, token.end, f'pg_temp."{word}"'))
    return apply_edits(text, edits)


def _view(session: SqlSession, spaced: str, name: str, shown: str, space: str, views: Collection[str]) -> str:
    """Return the statement that makes the view of one catalog, in which these views are left out."""
    columns = session.execute(_COLUMNS, (f"{spaced}.{name}",)).fetchall()
    mine, live = "pg_my_temp_schema()", f"(SELECT oid FROM pg_namespace WHERE nspname = {_text(space)})"
    own = f"(SELECT nspname FROM pg_namespace WHERE oid = {mine})"
    parts, left_out = [], []
    for column, named in columns:
        quoted = f'"{column}"'
        if column == _OWNED.get(name):
            parts.append(f"CASE {quoted} WHEN {mine} THEN {live} ELSE {quoted} END AS {quoted}")
            left_out.append(f"pg_is_other_temp_schema({quoted})")
            left_out.append(f"{quoted} = {live}" + _SHOWN.get(name, ""))
        elif named and name not in _OTHERS and (column.endswith("_schema") or column == "schemaname"):
            kind = "information_schema.sql_identifier" if spaced == "information_schema" else "name"
            parts.append(
                f"CASE WHEN {quoted} = {own} THEN {_text(space)}::{kind} ELSE {quoted} END AS {quoted}"
            )
            live_one = f"{quoted} = {_text(space)}"
            left_out.append(live_one if not column.startswith(("udt", "domain")) else "false")
        elif column == "table_type":
            parts.append(
                f"CASE WHEN {quoted} <> 'LOCAL TEMPORARY' THEN {quoted} "
                "WHEN EXISTS (SELECT FROM pg_catalog.pg_views v "
                f"WHERE v.schemaname = table_schema AND v.viewname = table_name) THEN 'VIEW' "
                f"ELSE 'BASE TABLE' END AS {quoted}"
            )
        elif column == "relpersistence":
            parts.append(f"CASE {quoted} WHEN 't' THEN 'p'::\"char\" ELSE {quoted} END AS {quoted}")
        elif column == _MEMBERS.get(name):
            parts.append(quoted)
            left_out.append(
                f"{quoted} IN (SELECT oid FROM pg_catalog.pg_class "
                f"WHERE relnamespace = {live} AND relkind <> 'm')"
            )
        elif column in ("relname", "typname", "table_name", "viewname"):
            parts.append(quoted)
            left_out.append(f"{quoted} IN ({', '.join(map(_text, views))})" + _within(name))
        else:
            parts.append(quoted)
    wanted = " AND ".join(f"NOT coalesce({each}, false)" for each in left_out) or "true"
    return f'CREATE TEMP VIEW "{shown}" AS SELECT {", ".join(parts)} FROM {spaced}."{name}" WHERE {wanted}'


def _within(catalog: str) -> str:
    """Return what tells the views made here from what the server has by the same name."""
    if catalog in _OWNED:
        return f" AND {_OWNED[catalog]} = pg_my_temp_schema()"
    space = "schemaname" if catalog.startswith("pg_") else "table_schema"
    return f" AND {space} NOT IN ('pg_catalog', 'information_schema')"


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
