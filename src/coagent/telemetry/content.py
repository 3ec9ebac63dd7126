"""What calls were given and returned, for those who ask for it: masked, and cut to a length."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from coagent.masking.mask import Mask
from coagent.protocol.events import Event
from coagent.runtime.learning import learn
from coagent.telemetry.names import ARGUMENTS, RESULT

_LENGTH_MAX: Final = 8192
_MESSAGE_LENGTH_MAX: Final = 500


class Content:
    """Shows contents through one mask, which learns from all that happens in the domain.

    Args:
        mask: The mask.
    """

    def __init__(self, mask: Mask) -> None:
        self._mask = mask

    def learn(self, event: Event) -> None:
        """Remember the secrets in an event."""
        learn(self._mask, event)

    def key(self, key: str) -> str:
        """Return the name of an object."""
        return self._mask.text(key)[:_MESSAGE_LENGTH_MAX]

    def message(self, failure: BaseException) -> str:
        """Return what an error says."""
        return self._mask.text(str(failure))[:_MESSAGE_LENGTH_MAX]

    def of_call(self, arguments: Mapping[str, Any], result: Any = None) -> dict[str, str]:
        """Return the attributes that hold what a call was given and returned."""
        mask = self._mask
        mask.learn_call(arguments)
        found = {ARGUMENTS: _json(mask.arguments(arguments))}
        if result is not None:
            found[RESULT] = _json(mask.result(result, arguments))
        return found


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=repr)
    return text if len(text) <= _LENGTH_MAX else f"{text[: _LENGTH_MAX - 1]}…"
