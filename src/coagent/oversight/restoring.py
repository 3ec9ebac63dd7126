"""Bringing back what an object has been, as if a person had written it with an editor."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from coagent.errors import TargetError
from coagent.oversight.people import person
from coagent.protocol.values import Value, same
from coagent.runtime.domain import Domain
from coagent.runtime.versions import Version


async def there(domain: Domain, key: str) -> Value:
    """Return what there is of an object, without opening the domain; its targets are closed after that.

    Raises:
        TargetError: It cannot be read.
    """
    found = (await all_there(domain, [key]))[key]
    if isinstance(found, TargetError):
        raise found
    return found


async def all_there(domain: Domain, keys: Iterable[str]) -> dict[str, Value | TargetError]:
    """Return what there is of some objects, or why it cannot be read; else as `there`."""
    targets = domain.targets
    found: dict[str, Value | TargetError] = {}
    try:
        for key in keys:
            try:
                target = targets.of(key)
                found[key] = await target.get(target.canonical(key))
            except TargetError as error:
                found[key] = error
    finally:
        for opened in targets.all:
            await opened.close()
    return found


async def put_back(domain: Domain, key: str, versions: Sequence[Version], chosen: Version) -> Value:
    """Write a version, and have it on record as what a person has put there; returns what was there before.

    What is there is recorded first if it is in no record, so that it can be brought back as well.

    Args:
        domain: The open domain.
        key: The object.
        versions: All that the log holds of it.
        chosen: One of them.

    Raises:
        TargetError: The target will not take the version, or has got another value meanwhile.
    """
    target = domain.targets.of(key)
    canonical = target.canonical(key)
    await domain.look(key)  # what somebody has changed in an object that agents have touched is logged now
    found = await target.get(canonical)
    kernel = domain.kernel
    held = [version.value for version in versions]
    if kernel.base_known(canonical):
        held += [*kernel.may_hold(canonical), *(edit.found for edit in kernel.edits(canonical))]
    if not any(same(found, value) for value in held):
        found = await domain.claim(key)
    if not same(found, chosen.value):
        await target.put(canonical, chosen.value, expected=[found])
        await domain.claim(key, person())
        await domain.settle()
    return found
