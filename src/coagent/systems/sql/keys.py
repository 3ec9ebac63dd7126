"""Names of rows: `sql:table/<primary key>`, the parts of a composite key joined by commas.

Text stands as it is, with `%` and `,` percent-encoded; a number as a number, bytes as `x'<hex>`. In a column
that may hold both, text that looks like one of the others has an apostrophe in front. Empty text is `%`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from coagent.errors import TargetError
from coagent.protocol.values import Value

_NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][-+]?\d+)?\Z")


def encode_key(values: Sequence[Value], kinds: Sequence[str]) -> str:
    """Return the text of a primary key.

    Raises:
        TargetError: A part of it is NULL: such a row has no name.
    """
    return ",".join(_encode(value, kind) for value, kind in zip(values, kinds, strict=True))


def decode_key(text: str, kinds: Sequence[str]) -> list[Value] | None:
    """Return the values of a primary key; None where the text is not the one name of a key."""
    parts = text.split(",")
    if len(parts) != len(kinds):
        return None
    values = [_decode(part, kind) for part, kind in zip(parts, kinds, strict=True)]
    return (
        values if all(value is not None for value in values) and encode_key(values, kinds) == text else None
    )


def _encode(value: Value, kind: str) -> str:
    if value is None:
        raise TargetError("a row whose primary key holds NULL has no name", "Give the row a key.")
    if type(value) is bytes:
        return f"x'{value.hex()}"
    if type(value) is str:
        text = value.replace("%", "%25").replace(",", "%2C") or "%"
        mark = kind != "text" and (bool(_NUMBER.match(text)) or text.startswith(("'", "x'")))
        return f"'{text}" if mark else text
    return str(value).lower() if type(value) is bool else repr(value)


def _decode(text: str, kind: str) -> Value:
    if kind == "boolean":
        return {"true": True, "false": False}.get(text)
    if kind != "text" and text.startswith("x'"):
        try:
            return bytes.fromhex(text[2:])
        except ValueError:
            return None
    if kind != "text" and _NUMBER.match(text):
        return int(text) if text.lstrip("-").isdigit() else float(text)
    plain = text.removeprefix("'") if kind != "text" else text
    return "" if plain == "%" else plain.replace("%2C", ",").replace("%25", "%")
