"""Kernels that were kept as text."""

from __future__ import annotations

from coagent.log.codec import decode_state, encode_state
from coagent.protocol.checkpoint import restore, state_of
from coagent.protocol.mtpo import Mtpo


def restored(kernel: Mtpo) -> Mtpo:
    """Return a kernel that was restored from the checkpoint of another one, as text."""
    again = Mtpo(early=kernel.early)
    restore(again, decode_state(encode_state(state_of(kernel))))
    return again
