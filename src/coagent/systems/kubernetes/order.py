"""In which order objects come and go: some need others to be there."""

from __future__ import annotations

from typing import Final

from coagent.protocol.keys import Key
from coagent.protocol.values import Value

_NAMESPACES: Final = "k8s:_cluster/namespaces/"
DEFINITIONS: Final = "k8s:_cluster/customresourcedefinitions/"
_NEEDED: Final = (
    "serviceaccounts",
    "priorityclasses",
    "storageclasses",
    "runtimeclasses",
    "ingressclasses",
    "roles",
    "clusterroles",
)


def precedence(key: Key, value: Value) -> int:
    """Return when an object is put, among others: first what others lie in, are defined by, or refer to.

    They go in the opposite order.
    """
    if key.startswith(_NAMESPACES):
        place = 0
    elif key.startswith(DEFINITIONS):
        place = 1
    elif key.split("/")[1] in _NEEDED:
        place = 2
    else:
        owned = isinstance(value, dict) and (value.get("metadata") or {}).get("ownerReferences")
        place = 4 if owned else 3
    return 10 - place if value is None else place
