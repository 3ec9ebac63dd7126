"""The values that objects have had in a story, by number: kept once each, and masked when they are shown."""

from __future__ import annotations

import json
from typing import Any

from coagent.masking.mask import Mask
from coagent.protocol.values import Value
from coagent.story.spool import Interned

ABSENT = 0
"""The number of what is not there."""
_SHOWN_MAX = 200_000
_KEY_END = b"\n"


class Values:
    """Values by number.

    Args:
        mask: Of the output that they are for.
    """

    def __init__(self, mask: Mask) -> None:
        self._mask = mask
        self._kept = Interned()
        self._kept.add(b"absent")

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._kept)

    def number_of(self, key: str, value: Value) -> int:
        """Keep a value of an object; returns its number."""
        if value is None:
            return ABSENT
        return self._kept.add(key.encode("utf-8", "surrogatepass") + _KEY_END + _packed(value))

    def shown(self, number: int) -> dict[str, Any]:
        """Return a value for people: its kind ("absent", "text", "json", "binary"), text and size.

        Raises:
            IndexError: There is none of that number.
        """
        data = self._kept.get(number)
        if number == ABSENT:
            return {"kind": "absent", "text": "", "size": 0, "cut": False}
        name, _, packed = data.partition(_KEY_END)
        key, kind, rest = name.decode("utf-8", "surrogatepass"), packed[:1], packed[1:]
        if kind == b"b":
            return {"kind": "binary", "text": f"{len(rest)} bytes", "size": len(rest), "cut": False}
        text = rest.decode("utf-8", "surrogatepass")
        if kind == b"j":
            value = self._mask.value(json.loads(text), key)
            text = json.dumps(value, indent=2, ensure_ascii=False)
        else:
            value = self._mask.value(text[:_SHOWN_MAX], key)
            return _text("text", value if isinstance(value, str) else str(value), len(text))
        return _text("json", text, len(text))

    def text(self, number: int) -> str | None:
        """Return a value as lines to be compared, unmasked: a text as it is, data one entry a line.

        Returns:
            None for what is not there, and for bytes.
        """
        if number == ABSENT:
            return None
        packed = self._kept.get(number).partition(_KEY_END)[2]
        kind, rest = packed[:1], packed[1:]
        if kind == b"b":
            return None
        text = rest.decode("utf-8", "surrogatepass")
        return text if kind == b"t" else json.dumps(json.loads(text), indent=2, ensure_ascii=False)

    def close(self) -> None:
        """Forget them all."""
        self._kept.close()


def _text(kind: str, text: str, size: int) -> dict[str, Any]:
    shown = text[:_SHOWN_MAX].encode("utf-8", "replace").decode()
    return {"kind": kind, "text": shown, "size": size, "cut": size > _SHOWN_MAX}


def _packed(value: Value) -> bytes:
    if isinstance(value, str):
        return b"t" + value.encode("utf-8", "surrogatepass")
    if isinstance(value, bytes):
        return b"b" + value
    return b"j" + json.dumps(value, default=_of_bytes, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _of_bytes(value: Any) -> str:
    return f"({len(value)} bytes)"
