"""What has become of an object, as people are shown it: a difference without the secrets in it."""

from __future__ import annotations

from coagent.masking.mask import Mask
from coagent.masking.names import is_secret_key
from coagent.protocol.differences import difference
from coagent.protocol.keys import Key
from coagent.protocol.values import UNLOADED, Value


def change_of(mask: Mask, key: Key, before: Value, after: Value) -> str:
    """Return what has changed in an object, for reading.

    Args:
        mask: Of the output that it is for; it learns the secrets in the values.
        key: The object.
        before: What it was; `UNLOADED` where that is not known.
        after: What it is.
    """
    mask.learn(after, key)
    if before is UNLOADED:
        return f"(not known) -> {'(absent)' if after is None else mask.brief(after, key=key)}"
    mask.learn(before, key)
    if is_secret_key(key):
        before, after = mask.value(before, key), mask.value(after, key)
        if before == after:
            return "(only what is masked)"
    return mask.text(difference(before, after))
