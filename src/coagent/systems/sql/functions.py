"""Which functions of PostgreSQL a statement of an agent may call.

A statement runs in temporary tables, and its changes become writes of its call. A function can reach past
both: wait, end other sessions, take locks, give out numbers of live sequences, read files of the server, or
run a query of its own over the live tables. So what may be called is what the server itself calls immutable
or stable, less what runs queries or tells of the server; and of a schema's own functions those that run in
the temporary tables as well (`routines.py`), and the immutable ones.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from coagent.errors import ToolFailed
from coagent.systems.sql.rewriting import names_called, tokens_of
from coagent.systems.sql.session import SqlSession

_HARMLESS = frozenset(
    {
        "bernoulli", "clock_timestamp", "coagent_bytes", "coagent_uuid", "current_query", "gen_random_bytes",
        "gen_random_uuid", "pg_collation_for",
        "pg_column_size", "pg_input_error_info", "pg_input_is_valid", "pg_size_bytes", "pg_size_pretty",
        "pg_typeof", "random", "random_normal", "setseed", "system", "timeofday", "uuid_generate_v1",
        "uuid_generate_v1mc", "uuid_generate_v4", "uuidv4", "uuidv7",
    }
)  # fmt: skip
_OUTSIDE = re.compile(
    r"pg_|binary_upgrade_|(cursor|database|query|schema|table)_to_xml|ts_stat|ts_rewrite|current_setting|"
    r"has_\w+_privilege|inet_|txid_|to_reg"
)
"""Those of the server itself that tell of it, or read tables as they are now."""
_ESCAPED_NAME = re.compile(r'\bU&"', re.IGNORECASE)
_TELLING = frozenset(
    {
        "col_description", "format_type", "obj_description", "pg_get_constraintdef", "pg_get_expr",
        "pg_get_indexdef", "pg_get_serial_sequence", "pg_get_triggerdef", "pg_get_viewdef",
        "pg_table_is_visible", "pg_get_userbyid", "pg_type_is_visible",
    }
)  # fmt: skip
"""Those that tell of the catalogs, for statements that ask these."""
_CATALOG = """
SELECT p.proname, n.nspname = 'pg_catalog', p.provolatile FROM pg_proc p
JOIN pg_namespace n ON n.oid = p.pronamespace WHERE p.proname = ANY(%s) ORDER BY 1, 2, 3"""
_SERVERS = "SELECT DISTINCT proname FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace"


class Allowed:
    """Which functions may be called by the statements of one server.

    Args:
        session: A connection to the server.
    """

    def __init__(self, session: SqlSession) -> None:
        self.servers = frozenset(row[0] for row in session.execute(_SERVERS).fetchall())
        """The names of the functions that PostgreSQL brings with it."""

    def refuse(
        self, session: SqlSession, text: str, known: Collection[str] = (), *, catalogs: bool = False
    ) -> None:
        """Refuse a statement that calls what it may not.

        Every name before a parenthesis counts, whatever the parser makes of it: the server has the last word
        on what it means.

        Args:
            session: A connection to the server.
            text: The statement.
            known: The functions of the schema that run as the statement does, in the scratch tables.
            catalogs: Whether it asks about the schema itself.

        Raises:
            ToolFailed: Names the function, and says what to do.
        """
        if _ESCAPED_NAME.search(text):
            raise ToolFailed('names written U&"..." are refused', "Write the letters themselves.")
        harmless = _HARMLESS | _TELLING if catalogs else _HARMLESS
        names = sorted(set(names_called(tokens_of(text))) - harmless - set(known))
        if not names:
            return
        for name, own, volatility in session.execute(_CATALOG, (names,)).fetchall():
            if own and _OUTSIDE.match(name):
                why = "it tells of the server or its tables as they are now, not at your place in the order"
            elif volatility == "v":
                why = "it acts on the server beyond the rows that the statement works on"
            elif volatility == "s" and not own:
                why = "it may read tables as they are now, not at your place in the order"
            else:
                continue
            raise ToolFailed(f"the function {name}() is refused: {why}", _cure(name, own))


def _cure(name: str, own: bool) -> str:
    if name in ("nextval", "currval", "lastval", "setval"):
        return "Leave the column out: its default gives the number, and the result says which."
    if not own:
        return "Write out what it does; or let a person declare it IMMUTABLE, if it reads no tables."
    return (
        "Do without it; immutable and stable functions over values, such as lower() or now(), may be called."
    )
