"""What PostgreSQL's catalogs say of a table, as a schema.

A partitioned table is one table, whose rows lie in its partitions: in a scratch database it is a plain table
with a check that says which rows have a partition. A table with heirs (INHERITS) is itself and no more, and
names its heirs. A view is its text. A sequence belongs to the first table whose defaults draw from it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from coagent.systems.sql.session import Schema

if TYPE_CHECKING:
    from coagent.systems.sql.postgres import PostgresSession

_KINDS = {
    "smallint": "number",
    "integer": "number",
    "bigint": "number",
    "double precision": "number",
    "text": "text",
    "character varying": "text",
    "boolean": "boolean",
    "bytea": "bytes",
    "numeric": "decimal",
}
_COLUMNS = """
SELECT a.attname, format_type(a.atttypid, a.atttypmod), NOT a.attnotnull, pg_get_expr(d.adbin, d.adrelid),
       a.attidentity, a.attgenerated, q.sequence
FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
LEFT JOIN LATERAL (
    SELECT p.refobjid AS sequence FROM pg_depend p JOIN pg_class s ON s.oid = p.refobjid AND s.relkind = 'S'
    WHERE p.classid = 'pg_attrdef'::regclass AND p.objid = d.oid AND p.refclassid = 'pg_class'::regclass
      AND s.relnamespace = {namespace}
    UNION ALL
    SELECT p.objid FROM pg_depend p JOIN pg_class s ON s.oid = p.objid AND s.relkind = 'S'
    WHERE p.classid = 'pg_class'::regclass AND p.refclassid = 'pg_class'::regclass AND p.deptype = 'i'
      AND p.refobjid = a.attrelid AND p.refobjsubid = a.attnum
    LIMIT 1) q ON true
WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"""
_SEQUENCE = """
SELECT c.relname, format_type(s.seqtypid, NULL), s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcycle,
       EXISTS (SELECT FROM pg_depend p WHERE p.classid = 'pg_class'::regclass AND p.objid = c.oid
               AND p.refclassid = 'pg_class'::regclass AND p.deptype = 'a'),
       (SELECT min(u.relname::text) FROM pg_depend p JOIN pg_attrdef d ON d.oid = p.objid
        JOIN pg_class u ON u.oid = d.adrelid AND u.relkind IN ('r', 'p') AND NOT u.relispartition
        WHERE p.classid = 'pg_attrdef'::regclass AND p.refobjid = c.oid)
FROM pg_class c JOIN pg_sequence s ON s.seqrelid = c.oid WHERE c.oid = %s"""
_CONSTRAINTS = """
SELECT c.conname, c.contype, pg_get_constraintdef(c.oid), f.relname, f.relnamespace = {namespace},
       ARRAY(SELECT a.attname FROM unnest(c.conkey) WITH ORDINALITY k(n, i)
             JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.n ORDER BY k.i)::text[],
       ARRAY(SELECT a.attname FROM unnest(c.confkey) WITH ORDINALITY k(n, i)
             JOIN pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.n ORDER BY k.i)::text[]
FROM pg_constraint c LEFT JOIN pg_class f ON f.oid = c.confrelid
WHERE c.conrelid = %s AND c.contype IN ('p', 'u', 'f', 'c', 'x') AND c.conparentid = 0
  AND (c.conislocal OR c.contype <> 'c') ORDER BY c.conname"""
_INDEXES = """
SELECT i.relname, pg_get_indexdef(x.indexrelid),
       x.indisunique AND (x.indpred IS NOT NULL OR 0 = ANY(x.indkey)),
       CASE WHEN x.indisunique THEN
       ARRAY(SELECT a.attname FROM unnest((x.indkey::int2[])[:x.indnkeyatts - 1]) WITH ORDINALITY k(n, i)
             JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = k.n ORDER BY k.i)::text[] END
FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
WHERE x.indrelid = %s AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = x.indexrelid
                                      AND c.conrelid = x.indrelid)
ORDER BY i.relname"""
_TRIGGERS = """
SELECT pg_get_triggerdef(oid, true) FROM pg_trigger
WHERE tgrelid = %s AND NOT tgisinternal AND tgparentid = 0 AND tgenabled IN ('O', 'A') ORDER BY tgname"""
_FAMILY = """
SELECT ARRAY(SELECT p.relname FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhparent
             WHERE i.inhrelid = %(oid)s ORDER BY i.inhseqno)::text[],
       ARRAY(SELECT h.relname FROM pg_inherits i JOIN pg_class h ON h.oid = i.inhrelid
             WHERE i.inhparent = %(oid)s ORDER BY h.relname)::text[],
       (SELECT relhasrules FROM pg_class WHERE oid = %(oid)s)"""
_PARTITIONS = """
SELECT pg_get_partkeydef(%(oid)s), ARRAY(
    SELECT pg_get_partition_constraintdef(relid) FROM pg_partition_tree(%(oid)s) WHERE isleaf)::text[]"""


def relation_schema(session: PostgresSession, name: str, oid: int, kind: str) -> Schema:
    """Return the schema of a table or view.

    Args:
        session: A connection.
        name: The table.
        oid: Its number in the catalogs.
        kind: Its `relkind`.
    """
    columns = _columns(session, name, oid)
    schema: Schema = {
        "dialect": "postgres",
        "columns": columns,
        "key": [],
        "unique": [],
        "references": [],
        "sequences": [],
        "triggers": session.column(_TRIGGERS, (oid,)),
        "constraints": {},
        "indexes": {},
    }
    if kind in "vm":
        text = session.column("SELECT pg_get_viewdef(%s::oid)", (oid,))[0]
        return {**schema, "view": text, "stored": kind == "m"}
    schema["sequences"] = [
        column_name
        for column_name, column in columns.items()
        if column["sequence"] and column["counter"]["table"] == name
    ]
    schema["shares"] = sorted(
        {column["counter"]["table"] for column in columns.values() if column["sequence"]} - {name}
    )
    _constrain(session, oid, schema)
    parents, heirs, rules = session.one(_FAMILY, {"oid": oid})
    schema.update({"rules": True} if rules else {})
    if kind == "p":
        by, parts = session.one(_PARTITIONS, {"oid": oid})
        # That of a hash tells by the table's own number; and without constraint it is all rows that fit.
        known = None if any(not part or "satisfies_hash" in part for part in parts) else parts
        schema["partitioned"] = {"by": by, "rows": None if known is None else " OR ".join(known) or "false"}
        return schema
    return {**schema, "inherits": parents, "heirs": heirs}


def _columns(session: PostgresSession, table: str, oid: int) -> dict[str, dict[str, Any]]:
    found = session.execute(_COLUMNS.format(namespace=session.namespace), (oid,)).fetchall()
    columns: dict[str, dict[str, Any]] = {}
    for name, declared, null, default, identity, generated, sequence in found:
        columns[name] = {
            "type": declared,
            "kind": _KINDS.get(declared.partition("(")[0], "other"),
            "null": null,
            "default": default,
            "generated": generated != "",
            "identity": identity,
            "sequence": None,
        }
        if declared.endswith("[]"):
            columns[name]["kind"] = "other"
        if sequence is not None:
            _count(session, table, columns[name], sequence)
    return columns


def _count(session: PostgresSession, own: str, column: dict[str, Any], sequence: int) -> None:
    """Say of a column which sequence numbers it, and how that counts."""
    named, kind, start, step, least, most, cycle, owned, table = session.one(_SEQUENCE, (sequence,))
    column["sequence"] = named
    column["counter"] = {
        "type": kind, "start": start, "increment": step, "min": least, "max": most, "cycle": cycle,
        "owned": owned, "table": table or own,
    }  # fmt: skip


def _constrain(session: PostgresSession, oid: int, schema: Schema) -> None:
    """Say of a schema what constraints and indexes there are."""
    unique: list[list[str] | None] = []
    outside: list[str] = []
    found = session.execute(_CONSTRAINTS.format(namespace=session.namespace), (oid,)).fetchall()
    for name, kind, text, other, near, own, to in found:
        # A scratch table's foreign keys are made in a way of their own.
        schema["constraints"][name] = re.sub(r"( DEFERRABLE INITIALLY DEFERRED)?( NOT VALID)?\Z", "", text)
        if kind == "p":
            schema["key"] = own
        elif kind == "u":
            unique.append(own)
        elif kind == "x":
            unique.append(None)
        elif kind == "f" and near:
            schema["references"].append({"columns": own, "table": other, "to": to, **_actions(text)})
        elif kind == "f":
            outside.append(name)
    for name, text, opaque, own in session.execute(_INDEXES, (oid,)).fetchall():
        schema["indexes"][name] = re.sub(r' ON (ONLY )?("[^"]+"|[^\s".]+)\.', " ON ", text, count=1)
        if opaque or own:
            unique.append(None if opaque else own)
    schema["unique"] = sorted(unique, key=repr)
    if outside:
        schema["outside"] = outside


def _actions(text: str) -> dict[str, bool]:
    """Return whether deleting what is referred to, or giving it another key, changes the row that refers."""
    moved = r" ON {} (CASCADE|SET NULL|SET DEFAULT)"
    return {
        "follows_delete": re.search(moved.format("DELETE"), text) is not None,
        "follows_update": re.search(moved.format("UPDATE"), text) is not None,
    }
