"""What a SQL statement is about: its kind, its tables, and what its WHERE says without a database."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Literal, NamedTuple, TypeAlias

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from coagent.errors import ToolFailed
from coagent.protocol.values import Value
from coagent.systems.sql.rewriting import without_schema
from coagent.tools.nearest import nearest as nearest_name
from coagent.tools.off_loop import off_loop

Dialect: TypeAlias = Literal["sqlite", "postgres"]
Schema: TypeAlias = Mapping[str, Any]

_OPERATORS: dict[type[exp.Expr], tuple[str, str]] = {
    exp.EQ: ("=", "="),
    exp.NEQ: ("<>", "<>"),
    exp.LT: ("<", ">"),
    exp.LTE: ("<=", ">="),
    exp.GT: (">", "<"),
    exp.GTE: (">=", "<="),
}
_REFUSED: dict[str, str] = {
    "Transaction": "a call is a transaction of its own, and what it changes is undone by undoing the call",
    "Commit": "a call is a transaction of its own",
    "Rollback": "undo the call instead",
    "Pragma": "settings of the connection are not shared state",
    "Set": "settings of the connection are not shared state",
    "Attach": "only the database of the domain can be used",
    "Merge": "write INSERT ... ON CONFLICT, or UPDATE and INSERT",
    "TruncateTable": "write DELETE without WHERE",
    "Use": "settings of the connection are not shared state",
    "Copy": "write INSERT, several rows at once",
    "Grant": "rights are a person's to give",
    "Revoke": "rights are a person's to take",
    "Analyze": "it changes nothing that is shared state",
}
_REFUSED_WORDS: dict[str, str] = {
    "CALL": "write out what the procedure does",
    "DO": "write its statements as calls of their own",
    "EXPLAIN": "plans are not those of the live tables; sql_query runs the SELECT itself",
    "REFRESH": "what a materialized view holds is not at anybody's place in the order",
    "LISTEN": "calls hear of changes by notices",
    "NOTIFY": "what is sent cannot be taken back",
    "SAVEPOINT": "a call is a transaction of its own",
    "VACUUM": "it changes nothing that is shared state",
    "LOCK": "nobody has to lock anything here",
}
_CHANGES = (exp.Insert, exp.Update, exp.Delete, exp.Merge)
_READING_PRAGMAS = frozenset(
    {"foreign_key_list", "index_info", "index_list", "index_xinfo", "table_info", "table_list", "table_xinfo"}
)
_REPLACE = re.compile(r"\s*REPLACE(?=\s+INTO\b)", re.IGNORECASE)
logging.getLogger("sqlglot").setLevel(logging.ERROR)  # it would warn of every statement that is refused here
_SPACES = ("", "main", "public")
TEXT_LENGTH_MAX = 1_000_000
_CONDITION_DEPTH_MAX = 50
INLINE_LENGTH = 4_000
"""Longer statements are read in a thread, and not remembered."""


class Statement(NamedTuple):
    """A parsed statement.

    `kind` is "query", "change" (INSERT, UPDATE, DELETE, MERGE, or a WITH that holds one) or "definition"
    (CREATE, ALTER, DROP); `targets` the tables that changes are made to; `tables` all that it names, in
    order; `local` the names of its WITH queries, some of which may be tables as well; `text` what the
    database runs; `returns` whether it gives rows; `catalogs` whether it asks about the schema itself.
    """

    kind: Literal["query", "change", "definition"]
    tree: exp.Expr
    text: str
    tables: tuple[str, ...]
    targets: tuple[str, ...]
    dialect: Dialect
    local: tuple[str, ...] = ()
    catalogs: bool = False

    @property
    def returns(self) -> bool:
        """Whether it gives rows."""
        if isinstance(self.tree, exp.Query | exp.Values | exp.Pragma):
            return True
        return self.tree.args.get("returning") is not None

    @property
    def inserts(self) -> tuple[str, ...]:
        """The tables that it may insert into."""
        nodes = (self.tree, *self.tree.find_all(exp.Insert, exp.Merge))
        makes = [node for node in nodes if isinstance(node, exp.Insert | exp.Merge) and _target(node)]
        return tuple(dict.fromkeys(fold_name(_target(node).this, self.dialect) for node in makes))


def parse_statement(
    text: str, params: Sequence[Value] | Mapping[str, Value] | None, dialect: Dialect
) -> Statement:
    """Parse one statement and fill in its parameters (`?` or `:name`).

    Raises:
        ToolFailed: It is no statement, more than one, or of a kind that is refused; says why.
    """
    if len(text) > TEXT_LENGTH_MAX:
        raise ToolFailed(
            f"the statement has {len(text)} characters, more than {TEXT_LENGTH_MAX}", "Make several calls."
        )
    if dialect == "sqlite":
        text = _REPLACE.sub("INSERT OR REPLACE", text, count=1)
    tree = (_tree if len(text) > INLINE_LENGTH else _cached_tree)(text, dialect)
    if dialect == "postgres":
        text = without_schema(text)
        if any(table.db for table in tree.find_all(exp.Table)):
            tree = _drop_schemas(tree.copy())
    if params or tree.find(exp.Placeholder) is not None:
        tree = _bind(tree.copy(), params or [], dialect)
        text = tree.sql(dialect=dialect)
    tables, local, catalogs = _tables(tree, dialect)
    made = Statement("query", tree, text, tables, (), dialect, local, catalogs)
    changes = _changes(tree, dialect)
    if isinstance(tree, exp.Query | exp.Values | exp.Table):
        if tree.find(exp.Into) is not None:
            raise ToolFailed("SELECT INTO is refused", "Write CREATE TABLE ... AS SELECT.")
        return made._replace(kind="change" if changes else "query", targets=changes)
    if isinstance(tree, exp.Pragma) and dialect == "sqlite" and _reads(tree):
        return made._replace(catalogs=True)
    if isinstance(tree, _CHANGES) and (dialect == "postgres" or not isinstance(tree, exp.Merge)):
        if catalogs:
            raise ToolFailed("the schema's own tables cannot be changed by rows", "Write ALTER TABLE.")
        if not changes:
            raise ToolFailed("the statement names no table")
        return made._replace(kind="change", targets=changes)
    if isinstance(tree, exp.Create | exp.Alter | exp.Drop):
        kind = str(tree.args.get("kind")).upper()
        temporary = tree.find(exp.TemporaryProperty) is not None
        if kind not in ("TABLE", "INDEX") or temporary:
            raise ToolFailed(f"{tree.key.upper()} {kind} is refused", "Tables and indexes can be defined.")
        return made._replace(kind="definition")
    raise _refusal(tree, text, dialect)


def _refusal(tree: exp.Expr, text: str, dialect: Dialect) -> ToolFailed:
    """Return the error for a statement of a kind that is none for tables."""
    word = next((token.text.upper() for token in sqlglot.tokenize(text, read=dialect)), "this")
    why = _REFUSED_WORDS.get(word) or _REFUSED.get(type(tree).__name__, "it is no statement about tables")
    return ToolFailed(
        f"{word} is refused: {why}",
        "Write SELECT for sql_query; INSERT, UPDATE, DELETE, CREATE, ALTER or DROP TABLE for sql_execute.",
    )


def _reads(pragma: exp.Expr) -> bool:
    """Tell whether a PRAGMA only tells of the schema."""
    named = pragma.this
    if isinstance(named, exp.EQ):  # sqlglot's reading of PRAGMA name(argument)
        named = named.this
    return str(getattr(named, "name", named)).lower() in _READING_PRAGMAS


def _target(node: exp.Expr) -> Any:
    """Return the table that INSERT, UPDATE, DELETE or MERGE changes; None where it names none."""
    return node.this.find(exp.Table) if isinstance(node.this, exp.Expr) else None


def _changes(tree: exp.Expr, dialect: Dialect) -> tuple[str, ...]:
    """Return the tables that a statement changes, with those that its WITH queries change."""
    found = [node for node in (tree, *tree.find_all(*_CHANGES)) if isinstance(node, _CHANGES)]
    # The actions of MERGE are parsed as changes that name no table.
    named = [table for node in found if (table := _target(node)) is not None]
    return tuple(dict.fromkeys(fold_name(table.this, dialect) for table in named))


async def read(
    text: str, params: Sequence[Value] | Mapping[str, Value] | None, dialect: Dialect
) -> Statement:
    """Parse a statement as `parse_statement` does, a long one in a thread."""
    if len(text) <= INLINE_LENGTH:
        return parse_statement(text, params, dialect)
    return await off_loop(lambda stopped: parse_statement(text, params, dialect))


@contextmanager
def not_too_deep() -> Iterator[None]:
    """Say of a statement that it is nested too deep where walking through it fails for that.

    Raises:
        ToolFailed: It is.
    """
    try:
        yield
    except RecursionError:
        raise ToolFailed(
            "the statement is nested too deep to be read", "Write it flatter: IN (...) for many OR, say."
        ) from None


@lru_cache(maxsize=512)
def _cached_tree(text: str, dialect: Dialect) -> exp.Expr:
    return _tree(text, dialect)


def _tree(text: str, dialect: Dialect) -> exp.Expr:
    try:
        with not_too_deep():
            parts = sqlglot.parse(text, read=dialect)
            trees = [tree for tree in parts if tree is not None and not isinstance(tree, exp.Semicolon)]
    except SqlglotError as error:
        first = (getattr(error, "errors", None) or [{}])[0]
        where = f" at line {first['line']}, column {first['col']}" if first.get("line") else ""
        near = f", near {first['highlight']!r}" if first.get("highlight") else ""
        what = first.get("description") or str(error).partition("\n")[0]
        raise ToolFailed(
            f"the statement cannot be read{where}{near}: {what}", f"Write {dialect} SQL."
        ) from None
    if len(trees) != 1:
        raise ToolFailed(f"there are {len(trees)} statements in one call", "Make one call for each.")
    return trees[0]


def _bind(tree: exp.Expr, params: Any, dialect: Dialect) -> exp.Expr:
    # `find_all` goes breadth first; positional parameters count in the order of the text.
    places = [node for node in tree.dfs() if isinstance(node, exp.Placeholder)]
    by_name = isinstance(params, Mapping)
    if not by_name and len(places) != len(params):
        raise ToolFailed(f"the statement has {len(places)} placeholders, and there are {len(params)} params")
    for index, node in enumerate(places):
        name = str(node.this or "")
        if by_name and name not in params:
            raise ToolFailed(
                f"params have no {name!r}", f"They have: {', '.join(map(repr, params)) or 'none'}."
            )
        node.replace(_literal(params[name] if by_name else params[index], dialect))
    return tree


def _drop_schemas(tree: exp.Expr) -> exp.Expr:
    """Drop the schema before tables' names: a scratch table lies in a schema of its own."""
    for table in tree.find_all(exp.Table):
        if table.db.lower() in _SPACES and not table.catalog:
            table.set("db", None)
    return tree


def _literal(value: Value, dialect: Dialect) -> exp.Expr:
    if type(value) in (dict, list):
        raise ToolFailed("a parameter is a number, text, bytes, true, false or null", "Pass JSON as text.")
    if type(value) is bytes and dialect == "postgres":
        return exp.cast(exp.Literal.string("\\x" + value.hex()), "bytea")
    return exp.convert(value)


def fold_name(name: exp.Expr | str, dialect: Dialect) -> str:
    """Return a table's or column's name as the database has it."""
    if isinstance(name, str):
        return name.lower()
    quoted = isinstance(name, exp.Identifier) and name.args.get("quoted")
    return name.name if quoted and dialect == "postgres" else name.name.lower()


def _tables(tree: exp.Expr, dialect: Dialect) -> tuple[tuple[str, ...], tuple[str, ...], bool]:
    """Return what a statement names: tables, queries of its WITH; and whether it asks about the schema.

    Raises:
        ToolFailed: It names what lies outside the domain.
    """
    given = {cte.alias.lower() for cte in tree.find_all(exp.CTE)}
    found: dict[str, None] = {}
    local: dict[str, None] = {}
    catalogs = False
    for table in tree.dfs():
        if not isinstance(table, exp.Table):
            continue
        if not isinstance(table.this, exp.Identifier):
            catalogs |= dialect == "sqlite" and _asks_pragma(str(table.this.name).lower())
            continue
        name = fold_name(table.this, dialect)
        if dialect == "sqlite" and not table.db and _asks_pragma(name):
            catalogs = True
            continue
        if not table.db and name in given:
            local[name] = None
        elif not table.catalog and _in_catalogs(table.db.lower(), name, dialect):
            catalogs = True
        elif table.db.lower() not in _SPACES or table.catalog:
            raise ToolFailed(
                f"table {table.sql()!r} lies outside the domain's database", "Name it without a prefix."
            )
        else:
            found[name] = None
    return tuple(found), tuple(local), catalogs


def _in_catalogs(space: str, name: str, dialect: Dialect) -> bool:
    if dialect == "sqlite":
        return space in ("", "main") and name in ("sqlite_master", "sqlite_schema", "sqlite_sequence")
    return space in ("pg_catalog", "information_schema") or (not space and name.startswith("pg_"))


def _asks_pragma(name: str) -> bool:
    """Tell whether a table-valued function of SQLite tells of the schema.

    Raises:
        ToolFailed: It tells of, or sets, something else of the connection.
    """
    if not name.startswith("pragma_"):
        return False
    if name.removeprefix("pragma_") not in _READING_PRAGMAS:
        raise ToolFailed(
            f"{name}() is refused: it is about the connection, not about shared state",
            f"These may be asked: {', '.join(f'pragma_{pragma}' for pragma in sorted(_READING_PRAGMAS))}.",
        )
    return True


def nearest(name: str, known: Sequence[str]) -> str:
    """Return the cure for a wrong name."""
    near = nearest_name(name, known)
    return f"Did you mean {near!r}?" if near else f"There are: {', '.join(sorted(known)) or 'none'}."


# ---- what a statement looks at -----------------------------------------------------------------------------


def single_where(statement: Statement) -> exp.Expr | None:
    """Return the WHERE of a statement that names one table once and has no query inside; else None."""
    tree = statement.tree
    if statement.catalogs or statement.local:
        return None
    named = list(tree.find_all(exp.Table))
    nested = [query for query in tree.find_all(exp.Query) if query is not tree]
    plain = isinstance(tree, exp.Select | exp.Update | exp.Delete)
    if not plain or len(named) != 1 or nested or tree.find(exp.CTE) is not None:
        return None
    where = tree.args.get("where")
    return where.this if where is not None else exp.true()


def used_columns(statement: Statement, schema: Schema) -> list[str] | None:
    """Return the columns of a table whose names stand in a query, with its key; None: all of them."""
    tree = statement.tree
    for star in tree.find_all(exp.Star):
        if not isinstance(star.parent, exp.Count):
            return None
    if any(join.args.get("method") for join in tree.find_all(exp.Join)):
        return None  # NATURAL joins by whatever names there are
    tables = {name.lower() for table in tree.find_all(exp.Table) for name in (table.name, table.alias)}
    if any(column.name.lower() in tables for column in tree.find_all(exp.Column)):
        return None  # a table's name as a value is its whole row
    names = {identifier.name.lower() for identifier in tree.find_all(exp.Identifier)}
    return [name for name in schema["columns"] if name.lower() in names or name in schema["key"]]


def condition(node: exp.Expr, schema: Schema, depth: int = 0) -> list[Any]:
    """Return a condition over one table as a predicate (`coagent.protocol.predicates`)."""
    node = node.unnest()
    if depth > _CONDITION_DEPTH_MAX:
        return ["maybe"]
    if isinstance(node, exp.And | exp.Or):  # a long chain of them is one list, not a deep tree
        return [node.key, *(condition(part, schema, depth + 1) for part in node.flatten())]
    if isinstance(node, exp.Not):
        return ["not", condition(node.this, schema, depth + 1)]
    if isinstance(node, exp.Boolean):
        return ["true"] if node.this else ["not", ["true"]]
    column = _column(node.this, schema)
    if isinstance(node, exp.Is) and column is not None and isinstance(node.expression, exp.Null):
        return ["null", column]
    if type(node) in _OPERATORS:
        operator, mirrored = _OPERATORS[type(node)]
        if column is not None:
            return _comparison(column, operator, node.expression, schema)
        column = _column(node.expression, schema)
        return ["maybe"] if column is None else _comparison(column, mirrored, node.this, schema)
    if column is None:
        return ["maybe"]
    if isinstance(node, exp.Between) and not node.args.get("symmetric"):
        low = _comparison(column, ">=", node.args["low"], schema)
        return ["and", low, _comparison(column, "<=", node.args["high"], schema)]
    if isinstance(node, exp.In) and node.expressions and not node.args.get("query"):
        return ["or", *(_comparison(column, "=", literal, schema) for literal in node.expressions)]
    if isinstance(node, exp.Like | exp.ILike):
        return _like_condition(column, node, schema)
    return ["maybe"]


def _column(node: Any, schema: Schema) -> str | None:
    if not isinstance(node, exp.Column) or not isinstance(node.this, exp.Identifier):
        return None
    wanted = fold_name(node.this, schema["dialect"])
    if schema["dialect"] == "postgres":
        return wanted if wanted in schema["columns"] else None
    return next((name for name in schema["columns"] if name.lower() == wanted), None)


def _comparison(column: str, operator: str, literal: exp.Expr, schema: Schema) -> list[Any]:
    kind = schema["columns"][column]["kind"]
    known, value = _value(literal)
    if not known or kind not in ("number", "text", "boolean", "decimal"):
        return ["maybe"]
    fits = {"number": (int, float), "text": (str,), "boolean": (bool,), "decimal": (int, str)}[kind]
    if value is not None and type(value) not in fits:
        return ["maybe"]
    if kind == "text" and schema["dialect"] == "postgres" and operator not in ("=", "<>"):
        return ["maybe"]  # the order of texts is the collation's
    return ["compare", kind, column, operator, value]


def _like_condition(column: str, node: exp.Expr, schema: Schema) -> list[Any]:
    known, pattern = _value(node.expression)
    sqlite = schema["dialect"] == "sqlite"
    plain = known and type(pattern) is str and (sqlite or "\\" not in pattern)
    if not plain or schema["columns"][column]["kind"] != "text" or isinstance(node.parent, exp.Escape):
        return ["maybe"]
    return ["like", column, pattern, sqlite or isinstance(node, exp.ILike)]


def _value(node: exp.Expr) -> tuple[bool, Value]:
    """Return (True, value) for a literal, (False, None) for anything else."""
    node = node.unnest()
    if isinstance(node, exp.Null):
        return True, None
    if isinstance(node, exp.Boolean):
        return True, bool(node.this)
    if isinstance(node, exp.Neg):
        known, value = _value(node.this)
        return (True, -value) if known and type(value) in (int, float) else (False, None)
    if not isinstance(node, exp.Literal):
        return False, None
    if node.is_string:
        return True, node.this
    try:
        return True, int(node.this)
    except ValueError:
        return True, float(node.this)


def key_values(tree: list[Any], schema: Schema) -> list[list[Value]] | None:
    """Return the primary keys to which a predicate narrows a table; None where it does not."""
    fixed: dict[str, list[Value]] = {}
    for part in _conjuncts(tree):
        options = part[1:] if part[0] == "or" else [part]
        if all(option[0] == "compare" and option[3] == "=" for option in options):
            columns = {option[2] for option in options}
            if len(columns) == 1:
                fixed.setdefault(columns.pop(), [option[4] for option in options])
    if not all(name in fixed and _exact(schema["columns"].get(name)) for name in schema["key"]):
        return None
    if any(value is None for name in schema["key"] for value in fixed[name]):
        return None
    keys: list[list[Value]] = [[]]
    for name in schema["key"]:
        keys = [[*key, value] for key in keys for value in fixed[name]]
    return keys if schema["key"] and len(keys) <= 100 else None


def _conjuncts(tree: list[Any]) -> list[list[Any]]:
    return [conjunct for part in tree[1:] for conjunct in _conjuncts(part)] if tree[0] == "and" else [tree]


def _exact(column: Mapping[str, Any] | None) -> bool:
    """Tell whether equal literals always name one and the same key in this column."""
    if column is None:
        return False
    return column["kind"] in ("text", "boolean") or (
        column["kind"] == "number" and "INT" in str(column["type"]).upper()
    )
