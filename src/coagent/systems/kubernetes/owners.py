"""Who owns an object: by name in what agents see, by uid in what the server takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from coagent.errors import TargetError
from coagent.systems.kubernetes.kinds import Kinds

_NOBODY = "00000000-0000-0000-0000-000000000000"


class Owners:
    """Finds the uids of owners.

    Args:
        kinds: The kinds of the cluster.
        get: Returns the object at a path, None where there is none.
    """

    def __init__(self, kinds: Kinds, get: Callable[[str], dict[str, Any] | None]) -> None:
        self._kinds = kinds
        self._get = get

    def fill_uids(
        self, body: dict[str, Any], live: dict[str, Any] | None, *, missing_ok: bool = False
    ) -> dict[str, Any]:
        """Return a manifest with the uids of its owners.

        Args:
            body: The manifest.
            live: The object as it is, whose owners are known; None where there is none.
            missing_ok: Whether an owner may be still to come, as where nothing is written yet.

        Raises:
            TargetError: An owner is not there: the cluster would delete the object at once.
        """
        references = body["metadata"].get("ownerReferences") or []
        if not isinstance(references, list) or not all(
            isinstance(reference, dict) for reference in references
        ):
            return body  # the server says what is wrong with it
        if not references:
            return body
        known = {
            _name(reference): reference["uid"]
            for reference in ((live or {}).get("metadata") or {}).get("ownerReferences") or ()
        }
        namespace = str(body["metadata"].get("namespace", ""))
        filled = []
        for reference in references:
            uid = known.get(_name(reference)) or self._uid(reference, namespace)
            if uid is None and not missing_ok:
                raise TargetError(
                    f"the owner {reference.get('kind')} {reference.get('name')!r} is not there",
                    "Create the owner first, or leave ownerReferences out.",
                )
            filled.append({**reference, "uid": uid or _NOBODY})
        return {**body, "metadata": {**body["metadata"], "ownerReferences": filled}}

    def _uid(self, reference: dict[str, Any], namespace: str) -> str | None:
        group = str(reference.get("apiVersion", "")).rpartition("/")[0]
        try:
            kind = self._kinds.find_kind(f"{reference.get('kind')}.{group}")
        except TargetError:
            return None
        owner = self._get(kind.path(namespace, str(reference.get("name", ""))))
        return None if owner is None else str(owner["metadata"]["uid"])


def _name(reference: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(reference.get(part) for part in ("apiVersion", "kind", "name"))
