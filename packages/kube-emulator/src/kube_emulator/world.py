"""What the controllers share: the store, the clock, the drawn ids, and the small writes they make."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from kube_emulator.podstates import Registry
from kube_emulator.resources import Catalogue
from kube_emulator.store import Key, Store
from kube_emulator.webhooks import Webhook

Json = dict[str, Any]
Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The present time; the clock used unless another is given."""
    return datetime.now(UTC)


class World:
    """The state of one emulator and everything that is drawn or measured in it.

    Args:
        registry: the images that can be pulled.
        clock: the source of all times.
        seed: what all uids are drawn from; equal seeds and equal requests give equal objects.
        history: how many changes watches may look back.
        grace_s: for how many seconds deleted pods and namespaces are still there, terminating.
        webhooks: rules that refuse or change objects.
    """

    def __init__(
        self,
        registry: Registry,
        clock: Clock = utc_now,
        seed: int = 0,
        history: int = 10_000,
        grace_s: float = 0.0,
        webhooks: Iterable[Webhook] = (),
    ) -> None:
        self.grace_s = grace_s
        self.webhooks = tuple(webhooks)
        self.store = Store(history)
        self.catalogue = Catalogue()
        self.registry = registry
        self.clock = clock
        self._random = random.Random(seed)
        self._made: dict[str, int] = {}

    def now(self) -> str:
        """The time as written in objects."""
        return self.clock().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def new_uid(self) -> str:
        """The next uid."""
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def next_name(self, owner: Json) -> str:
        """A text that no other object of this owner was named after."""
        path = f"{owner['kind']}/{owner['metadata'].get('namespace')}/{owner['metadata']['name']}"
        self._made[path] = self._made.get(path, -1) + 1
        return f"{path}/{self._made[path]}"

    def stamp(self, obj: Json) -> None:
        """Gives a new object its uid and time of creation, in place."""
        obj["metadata"].setdefault("uid", self.new_uid())
        obj["metadata"].setdefault("creationTimestamp", self.now())

    def put_status(self, kind: Key, obj: Json, status: Json) -> None:
        """Writes an object's status if it differs from the one it has."""
        held = self.store.get(kind, obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
        if held is not None and held.get("status") != status:
            self.store.put(kind, dict(held, status=status))

    def remove(self, kind: Key, obj: Json) -> None:
        """Removes an object; what it owns goes with it in the next round of the controllers."""
        self.store.remove(kind, obj["metadata"].get("namespace", ""), obj["metadata"]["name"])


def owner_reference(owner: Json) -> Json:
    """The reference by which a controlled object names its controller."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def controlled(obj: Json, uid: str) -> bool:
    """Whether the owner with this uid controls an object."""
    references = obj["metadata"].get("ownerReferences") or []
    return any(one["uid"] == uid and one.get("controller") for one in references)


def condition(obj: Json, kind: str, status: str, reason: str, message: str, now: str) -> Json:
    """A condition of an object's status; an unchanged one keeps its times."""
    updated = {"lastUpdateTime": now} if obj["kind"] == "Deployment" else {}
    for one in (obj.get("status") or {}).get("conditions") or []:
        if one["type"] == kind and one["status"] == status:
            if (one.get("reason"), one.get("message")) == (reason, message):
                return dict(one)
            return dict(one, reason=reason, message=message, **updated)
    made = {"type": kind, "status": status, "reason": reason, "message": message}
    return {**made, **updated, "lastTransitionTime": now}
