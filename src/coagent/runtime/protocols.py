"""The protocols that a domain can run."""

from __future__ import annotations

from coagent.protocol.baselines.locking import Locking
from coagent.protocol.baselines.naive import Naive
from coagent.protocol.baselines.optimistic import Optimistic
from coagent.protocol.baselines.serial import Serial
from coagent.protocol.mtpo import Mtpo

PROTOCOLS: dict[str, type[Mtpo]] = {
    "mtpo": Mtpo,
    "serial": Serial,
    "naive": Naive,
    "2pl": Locking,
    "occ": Optimistic,
}
"""The protocols by name."""
