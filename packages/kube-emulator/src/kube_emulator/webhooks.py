"""Admission webhooks: rules that refuse or change objects before they are stored.

Source: Kubernetes documentation, "Dynamic Admission Control".
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Any

from kube_emulator import patches
from kube_emulator.resources import Resource
from kube_emulator.statuses import ApiError

Json = dict[str, Any]
_OPERATIONS = ("CREATE", "UPDATE", "DELETE")


@dataclass(frozen=True)
class Webhook:
    """One rule.

    Attributes:
        name: how the webhook is called in refusals.
        plural: the kind, e.g. ``deployments``; ``*`` for all.
        operations: ``CREATE``, ``UPDATE``, ``DELETE``.
        where: a JSON merge patch that would change nothing in the objects concerned; empty for all objects.
        refuse: why they are refused; empty if they are not.
        merge: a JSON merge patch that is applied to them, before anything is checked.
    """

    name: str
    plural: str = "*"
    operations: tuple[str, ...] = _OPERATIONS
    where: Json = field(default_factory=dict)
    refuse: str = ""
    merge: Json = field(default_factory=dict)

    @classmethod
    def read(cls, written: Json) -> Webhook:
        """The rule that a YAML document describes, with the names of the attributes.

        Raises:
            ValueError: if it holds anything else.
        """
        known = [one.name for one in fields(cls)]
        unknown = set(written) - set(known)
        if unknown or not written.get("name"):
            raise ValueError(f"a webhook has a name and any of {', '.join(known)}, not {written}")
        given = {**written, "operations": tuple(written.get("operations", _OPERATIONS))}
        return cls(**given)

    def concerns(self, resource: Resource, operation: str, obj: Json) -> bool:
        """Whether the rule applies to what is done to an object."""
        if operation not in self.operations or self.plural not in ("*", resource.plural):
            return False
        return bool(patches.merge_patch(obj, copy.deepcopy(self.where)) == obj)


def mutated(webhooks: Iterable[Webhook], resource: Resource, operation: str, obj: Json) -> Json:
    """The object as the webhooks that change objects leave it."""
    for one in webhooks:
        if one.merge and one.concerns(resource, operation, obj):
            obj = patches.merge_patch(obj, copy.deepcopy(one.merge))
    return obj


def check(webhooks: Iterable[Webhook], resource: Resource, operation: str, obj: Json) -> None:
    """Refuses what a webhook does not allow.

    Raises:
        ApiError: 403, with the webhook's own words.
    """
    for one in webhooks:
        if one.refuse and one.concerns(resource, operation, obj):
            message = f'admission webhook "{one.name}" denied the request: {one.refuse}'
            raise ApiError(403, "Forbidden", message, {})
