"""The state of a kernel as plain text, so that two kernels can be compared."""

from __future__ import annotations

from coagent.log.codec import encode_state
from coagent.protocol.checkpoint import state_of
from coagent.protocol.mtpo import Mtpo


def dump(kernel: Mtpo) -> str:
    """Return everything that a kernel's answers depend on, in a form that is equal for equal states."""
    return encode_state(state_of(kernel))
