"""The state at one position: from the kernel where the object is tracked, else from its target."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from coagent.errors import FootprintViolation
from coagent.protocol.calls import Position
from coagent.protocol.keys import Key, scheme_of
from coagent.protocol.values import UNLOADED, Value

if TYPE_CHECKING:
    from coagent.protocol.kernel import Kernel
    from coagent.targets.base import Target


class Targets:
    """The targets of a domain, by scheme.

    Args:
        targets: Each scheme may belong to one of them only.

    Raises:
        FootprintViolation: Two targets own one scheme.
    """

    def __init__(self, targets: list[Target]) -> None:
        self.all = targets
        self.volatile: frozenset[str] = frozenset(
            scheme for target in targets for scheme in getattr(target, "volatile", ())
        )
        self._by_scheme: dict[str, Target] = {}
        for target in targets:
            self.extend(target, target.schemes)

    def extend(self, target: Target, schemes: Iterable[str]) -> None:
        """Let a target own further schemes.

        Raises:
            FootprintViolation: Another target owns one of them.
        """
        for scheme in schemes:
            if self._by_scheme.setdefault(scheme, target) is not target:
                raise FootprintViolation(
                    f"two targets own the scheme {scheme!r}",
                    "Give each its own schemes, or open two domains.",
                )

    def of(self, key: Key) -> Target:
        """Return the target that owns a key or prefix.

        Raises:
            FootprintViolation: No target does, or it is no key.
        """
        target = self._by_scheme.get(key[: key.find(":")]) if isinstance(key, str) else None
        if target is None:
            raise self._unowned(key)
        return target

    def _unowned(self, key: Key) -> FootprintViolation:
        known = ", ".join(f"{scheme}:" for scheme in sorted(self._by_scheme)) or "none"
        try:
            scheme_of(key)
        except (ValueError, AttributeError) as error:
            return FootprintViolation(str(error), f"The domain's schemes are {known}.")
        return FootprintViolation(
            f"no target of the domain owns {key!r}", f"The domain's schemes are {known}."
        )


class PositionReader:
    """Reads for one run of a tool. Whether what it read still holds is checked when the run is recorded.

    Each read for itself is right: what a target held while an object came to be or ceased to be
    tracked may be neither the old value nor the new one, so it is asked again. Irreversible tools rest on
    that, as they run once.
    """

    __slots__ = ("_kernel", "_targets", "position", "volatile")

    def __init__(self, kernel: Kernel, targets: Targets, position: Position) -> None:
        self._kernel = kernel
        self._targets = targets
        self.position = position
        self.volatile = targets.volatile

    def canonical(self, key: Key) -> Key:
        return self._targets.of(key).canonical(key)

    def literal(self, key: Key) -> Key:
        return self._targets.of(key).literal(key)

    async def read(self, key: Key) -> Value:
        value = self._kernel.lookup(key, self.position)
        while value is UNLOADED:
            forgotten = self._kernel.forgotten
            found = await self._targets.of(key).get(key)
            value = self._kernel.lookup(key, self.position)
            if value is UNLOADED and self._kernel.forgotten == forgotten:
                return found
        return value

    async def keys(self, prefix: str) -> Mapping[Key, Value]:
        while True:
            forgotten = self._kernel.forgotten
            listing = dict(await self._targets.of(prefix).list(prefix))
            if self._kernel.forgotten == forgotten:
                break
        for key, value in self._kernel.written_under(prefix, self.position):
            if value is None:
                listing.pop(key, None)
            else:
                listing[key] = value
        return listing

    def written(self, prefix: str) -> Mapping[Key, Value]:
        return dict(self._kernel.written_under(prefix, self.position))

    def own(self, *prefixes: str) -> frozenset[Key]:
        rank = self.position[0]
        return frozenset(
            key
            for agent in self._kernel.agents.values()
            for call in agent.calls.values()
            if call.writes and call.position[0] == rank and call.position < self.position
            for key in call.writes
            if key.startswith(prefixes)
        )

    async def load(self, keys: list[Key]) -> Mapping[Key, Value]:
        while True:
            forgotten = self._kernel.forgotten
            found = {key: self._kernel.lookup(key, self.position) for key in keys}
            missing = [key for key, value in found.items() if value is UNLOADED]
            if not missing:
                return found
            found.update(await self._targets.of(missing[0]).get_many(missing))
            for key in missing:
                tracked = self._kernel.lookup(key, self.position)
                if tracked is not UNLOADED:
                    found[key] = tracked
            if self._kernel.forgotten == forgotten:
                return found
