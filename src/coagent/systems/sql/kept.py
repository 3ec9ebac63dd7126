"""What a statement takes from the clock and from chance is kept from its first run, for all later ones.

    INSERT INTO notes (text) VALUES ('a')      with `at timestamptz DEFAULT now()`, `id uuid DEFAULT
                                               gen_random_uuid()`

A call runs again when something below it has changed. Were the hour and the id to be others each time, it
would seem to have done something else, and whoever rests on it would be told; so a call keeps one hour, and
one number from which all that it draws follows. Sequences are not kept: their order is the agents' order.
"""

from __future__ import annotations

import datetime
import random
import re
import secrets
import sqlite3
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

from coagent.protocol.values import Value
from coagent.systems.sql.rewriting import Edit, apply_edits, tokens_of
from coagent.systems.sql.session import SqlSession

_MENTIONED = re.compile(
    r"now|current_|localtime|timestamp\(|random|uuid|date\(|time\(|julianday|strftime|unixepoch|timeofday|setseed",
    re.IGNORECASE,
)
_HOURS = frozenset(
    {"now", "transaction_timestamp", "statement_timestamp", "clock_timestamp"}
)  # with time zone, by PostgreSQL's documentation, section 9.9.5
_CURRENT = {
    "CURRENT_TIMESTAMP": "timestamptz",
    "LOCALTIMESTAMP": "timestamp",
    "CURRENT_DATE": "date",
    "CURRENT_TIME": "timetz",
    "LOCALTIME": "time",
}
_MADE_HERE = {
    "gen_random_uuid": "pg_temp.coagent_uuid",
    "uuid_generate_v4": "pg_temp.coagent_uuid",
    "uuid_generate_v1": "pg_temp.coagent_uuid",
    "uuid_generate_v1mc": "pg_temp.coagent_uuid",
    "gen_random_bytes": "pg_temp.coagent_bytes",
}
_FUNCTIONS = """
CREATE FUNCTION pg_temp.coagent_bytes(count integer) RETURNS bytea LANGUAGE sql VOLATILE AS $$
  SELECT substring(string_agg(decode(md5(pg_catalog.random()::text || n), 'hex'), '') FROM 1 FOR count)
  FROM generate_series(0, count / 16) n $$;
CREATE FUNCTION pg_temp.coagent_uuid() RETURNS uuid LANGUAGE sql VOLATILE AS $$
  SELECT (overlay(overlay(md5(pg_catalog.random()::text || pg_catalog.random()::text)
          PLACING '4' FROM 13) PLACING substr('89ab', 1 + floor(pg_catalog.random() * 4)::int, 1) FROM 17)
         )::uuid $$
"""


class Kept(NamedTuple):
    """An hour, in microseconds since 1970, and the number that chance starts from."""

    at_us: int
    seed: int

    @property
    def at(self) -> datetime.datetime:
        """The hour."""
        return datetime.datetime.fromtimestamp(0, datetime.UTC) + datetime.timedelta(microseconds=self.at_us)


def draw() -> Value:
    """Return an hour and a number, as plain data."""
    return [time.time_ns() // 1000, secrets.randbits(48)]


def mentions(*texts: str) -> bool:
    """Tell whether what runs may look at the clock, or leave something to chance."""
    return any(_MENTIONED.search(text) for text in texts)


# ---- PostgreSQL ----------------------------------------------------------------------------------------


def at_its_hour(text: str, kept: Kept) -> str:
    """Return a text of PostgreSQL with the hour in place of the clock, and chance as it is kept."""
    if not mentions(text):
        return text
    tokens = tokens_of(text)
    edits: list[Edit] = []
    hour = f"'{kept.at.isoformat()}'"
    skip = -1
    for number, (token, following) in enumerate(pairwise([*tokens, None])):
        if number < skip:
            continue
        kind, word = token.token_type.name, token.text.lower()
        opens = following is not None and following.token_type.name == "L_PAREN"
        if token.text.upper() in _CURRENT and kind not in ("IDENTIFIER", "STRING"):
            digits, end = ("", token.end)
            if opens and len(tokens) > number + 3 and tokens[number + 3].token_type.name == "R_PAREN":
                digits, end, skip = f"({tokens[number + 2].text})", tokens[number + 3].end, number + 4
            declared = _CURRENT[token.text.upper()]
            edits.append(Edit(token.start, end, f"CAST({hour}::timestamptz AS {declared}{digits})"))
        elif opens and word in _HOURS and len(tokens) > number + 2:
            edits.append(Edit(token.start, tokens[number + 2].end, f"CAST({hour} AS timestamptz)"))
            skip = number + 3
        elif opens and word in _MADE_HERE:
            edits.append(Edit(token.start, token.end, _MADE_HERE[word]))
        elif kind == "STRING" and word == "now" and following is not None and following.text == "::":
            edits.append(Edit(token.start, token.end, hour))
    return apply_edits(text, edits)


def prepare_chance(session: SqlSession) -> None:
    """Make what draws from chance by way of `random()` alone, in a scratch database of PostgreSQL."""
    session.execute(_FUNCTIONS)


def start_chance(session: SqlSession, kept: Kept) -> None:
    """Make `random()` of PostgreSQL draw the same each time from now on."""
    session.execute("SELECT setseed(%s)", (kept.seed / 2**48,))


# ---- SQLite --------------------------------------------------------------------------------------------


def set_clock(connection: sqlite3.Connection, kept: Kept) -> None:
    """Make a scratch database of SQLite see the hour on the clock, and draw the same each time."""
    chance = random.Random(kept.seed)
    hour = kept.at.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    connection.create_function("random", 0, lambda: chance.getrandbits(64) - 2**63)
    connection.create_function("randomblob", 1, lambda size: chance.randbytes(max(1, int(size or 0))))
    real = sqlite3.connect(":memory:", check_same_thread=False)
    for name in ("date", "time", "datetime", "julianday", "unixepoch", "strftime"):
        if real.execute("SELECT 1 FROM pragma_function_list WHERE name = ?", (name,)).fetchone():
            connection.create_function(name, -1, _at_hour(real, name, hour), deterministic=True)
    for name, part in (
        ("current_timestamp", slice(19)),
        ("current_date", slice(10)),
        ("current_time", slice(11, 19)),
    ):
        connection.create_function(name, 0, lambda part=part: hour[part], deterministic=True)


def _at_hour(real: sqlite3.Connection, name: str, hour: str) -> Callable[..., Any]:
    """Return a function of SQLite over dates that takes an hour for now."""
    first = 1 if name == "strftime" else 0

    def compute(*given: Any) -> Any:
        parts = [
            hour if type(argument) is str and argument.lower() == "now" else argument for argument in given
        ]
        if len(parts) == first:
            parts.append(hour)
        marks = ", ".join("?" * len(parts))
        return real.execute(f"SELECT {name}({marks})", parts).fetchone()[0]

    return compute
