"""Somebody who knows nothing of the domain, and changes its objects all the same (rule 9)."""

from __future__ import annotations

import random
from typing import Any

from coagent.runtime.domain import Domain
from coagent_lab.sim.ledger import Ledger
from coagent_lab.sim.targets import Witnessed
from coagent_lab.sim.tools import HEAD
from coagent_lab.sim.world import World, keys_of

_FIRST_NUMBER = 1000


class Outsider:
    """Changes objects at random, in ways that mean the same whatever stands below them.

    What it writes is like nothing that agents write, so it is clear what it has changed.

    Args:
        rng: Says what it does.
        world: Whose objects it changes.
        domain: May be asked to look.
        target: Where it writes.
        ledger: Where that is noted.
        looking: How likely somebody looks at once.
    """

    def __init__(
        self,
        rng: random.Random,
        world: World,
        domain: Domain,
        target: Witnessed,
        ledger: Ledger,
        looking: float,
    ) -> None:
        self._rng = rng
        self._keys = keys_of(world)
        self._domain = domain
        self._target = target
        self._ledger = ledger
        self._looking = looking
        self._count = _FIRST_NUMBER

    async def act(self) -> None:
        """Change one object, unless an agent has done what no news of it could change any more."""
        if self._ledger.may_pay:
            return
        key = self._rng.choice(self._keys)
        before = self._target.held(key)
        if before is None:
            await self._domain.look(key)
        after = self._changed(key, before)
        self._target.outside(key, after)
        # Who makes and deletes objects is seen at once: met later, half of it could be taken for an agent's.
        if before is None or after is None or self._rng.random() < self._looking:
            if self._rng.random() < 0.5:
                await self._domain.look(key)
            else:
                await self._domain.look_around()

    def _changed(self, key: str, now: Any) -> Any:
        rng = self._rng
        self._count += 1
        chance = rng.random()
        if chance < 0.1:
            return now
        if chance < 0.25:
            return None
        if key.startswith("kv:"):
            found = {} if now is None or chance < 0.4 else dict(now)
            some = rng.choice((("n",), ("m",), ("o",), ("n", "m")))
            names = some if found else ("n", "m", "o") if "o" in (now or {}) else ("n", "m")
            return found | {name: self._count + 1000 * index for index, name in enumerate(names)}
        line = f"outside {self._count}\n"
        if isinstance(now, str):
            above, below = now.split(HEAD, 1)
            return f"{above}{line}{HEAD}{below}"
        return f"{line}{HEAD}elm\n"
