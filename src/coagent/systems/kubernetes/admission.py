"""What the server would say to a write: dry runs, at the place in the order where the agent's call stands.

The server compares a write with what is live. Where later agents have changed that, their work must not make
an earlier agent's call fail: then the object is tried under a name of its own, and what nobody may change is
compared with what the object held at the call's place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from coagent.errors import TargetError, TargetUnavailable
from coagent.protocol.values import Value
from coagent.systems.kubernetes.immutable import REPLACEABLE, fixed_parts
from coagent.systems.kubernetes.kinds import CLUSTER, Kind
from coagent.systems.kubernetes.objects import (
    terminating,
    tracked_part,
    with_assigned_fields,
    with_server_fields,
    without_assigned_fields,
)
from coagent.systems.kubernetes.server import Missing, Raced

_DRY_RUN = [("dryRun", "All"), ("fieldValidation", "Strict")]
_NAME_LENGTH_MAX = 63
_TRIED = "-coagent-tried"


class Admission:
    """Asks a server what it would make of objects.

    Args:
        request: Returns what it answers to a method and a path.
    """

    def __init__(self, request: Callable[..., dict[str, Any]]) -> None:
        self._request = request

    def dry_run(
        self, kind: Kind, body: dict[str, Any], live: dict[str, Any] | None, held: Value, *, apart: bool
    ) -> dict[str, Any] | None:
        """Return an object as the server would store it; None where that cannot be known beforehand.

        Args:
            kind: Its kind.
            body: What is to be written.
            live: The object as it is; None where it is not there.
            held: What it held at the place of the call.
            apart: Whether that is something else than what is live.

        Raises:
            Raced: The object has changed meanwhile.
            TargetError: The server would refuse it at that place.
        """
        if not apart:
            return self._in_place(kind, body, live)
        # A scales Deployment geo. B, which comes later, has created geo anew with another selector. The
        # server would refuse A's geo, which has the old one, as a change of what is immutable; yet in A's
        # view nothing of that has happened. So geo is tried as geo-coagent-tried, and that its selector is
        # the one that A's call held is compared below.
        made = None
        if live is not None and held is not None and not terminating(live):
            try:
                made = self._in_place(kind, body, live)
            except (TargetUnavailable, Raced):
                raise
            except TargetError:
                pass  # that may be due to what comes later
        if made is None:
            made = self._elsewhere(kind, body)
        if kind.own and (fixed := fixed_parts(kind.name, held, tracked_part(made or body))):
            raise TargetError(
                f"{kind.name} {body['metadata']['name']!r} is invalid: {', '.join(fixed)}: "
                "field is immutable",
                "Correct the object and call again; what is immutable changes only if the object is deleted "
                "and created again.",
            )
        return made

    def replaceable(self, kind: Kind, body: dict[str, Any], live: dict[str, Any]) -> bool:
        """Tell whether an object can be deleted and created again as `body`, and only that will do."""
        if not kind.own or kind.name not in REPLACEABLE or live["metadata"].get("finalizers"):
            return False
        if not fixed_parts(kind.name, tracked_part(live), tracked_part(with_server_fields(body, live))):
            return False
        try:
            return self._elsewhere(kind, body) is not None
        except TargetUnavailable:
            raise
        except TargetError:
            return False

    def _in_place(
        self, kind: Kind, body: dict[str, Any], live: dict[str, Any] | None
    ) -> dict[str, Any] | None:
        namespace, name = _place(body)
        try:
            if live is None:
                return self._request("POST", kind.collection(namespace), body=body, query=_DRY_RUN)
            whole = with_server_fields(body, live)
            return self._request("PUT", kind.path(namespace, name), body=whole, query=_DRY_RUN)
        except Missing:
            if live is None:  # the namespace may be about to be made, by the same call
                return None
            return self._in_place(kind, body, None)

    def _elsewhere(self, kind: Kind, body: dict[str, Any]) -> dict[str, Any] | None:
        """Return what the server makes of an object of another name; None where it cannot tell."""
        if kind.plural == "customresourcedefinitions":
            return None  # its name follows from what is in it
        namespace, name = _place(body)
        metadata = {**body["metadata"], "name": f"{name[: _NAME_LENGTH_MAX - len(_TRIED)]}{_TRIED}"}
        tried = {**without_assigned_fields(body), "metadata": metadata}
        try:
            made = self._request("POST", kind.collection(namespace), body=tried, query=_DRY_RUN)
        except (Missing, Raced):
            return None
        except TargetError as refusal:
            if "(403)" in refusal.cause and "admission webhook" not in refusal.cause:
                return None  # who may change an object may not be allowed to create one
            raise
        found = with_assigned_fields(body, made)
        found["metadata"] = {**found["metadata"], "name": name}
        return dict(found)


def _place(body: dict[str, Any]) -> tuple[str, str]:
    return body["metadata"].get("namespace", CLUSTER), body["metadata"]["name"]
