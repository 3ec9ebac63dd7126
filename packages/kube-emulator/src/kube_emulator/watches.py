"""Watches: the changes of a kind as a stream of lines, from a resource version on.

Source: Kubernetes API concepts, section "Efficient detection of changes".
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from kube_emulator.api import Api
from kube_emulator.requests import Target
from kube_emulator.selectors import field_test, label_test
from kube_emulator.statuses import ApiError
from kube_emulator.store import Change

Json = dict[str, Any]
_BOOKMARK_SECONDS = 60.0


class Watch:
    """One watch of the objects of a kind.

    Args:
        api: where the objects are.
        target: the kind and namespace.
        query: the request's query parameters.
        form: turns an object into what the client wants to be shown, e.g. a table of one row.
        closing: set when the server shuts down.

    Raises:
        ApiError: 400 for a selector or resource version that cannot be read.
    """

    def __init__(
        self,
        api: Api,
        target: Target,
        query: dict[str, str],
        form: Callable[[Json], Json],
        closing: Callable[[], bool],
    ) -> None:
        self._api = api
        self._target = target
        self._form = form
        self._closing = closing
        labels, fields = query.get("labelSelector", ""), query.get("fieldSelector", "")
        self._labels = label_test(labels) if labels else None
        self._fields = field_test(fields, target.resource.plural) if fields else None
        self._start = query.get("resourceVersion", "")
        self._bookmarks = query.get("allowWatchBookmarks", "") in ("true", "1")
        self._initial = query.get("sendInitialEvents", "") in ("true", "1")
        self._seconds = float(query.get("timeoutSeconds", "3600") or 3600)

    async def lines(self) -> AsyncIterator[bytes]:
        """The events, each one line of JSON, until the time is over or the client is gone."""
        loop = asyncio.get_running_loop()
        wake = asyncio.Event()

        def notify() -> None:
            # When the loop has ended, nobody reads this watch any more.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(wake.set)

        self._api.store.listen(notify)
        try:
            async for line in self._stream(wake):
                yield line
        finally:
            self._api.store.forget(notify)

    async def _stream(self, wake: asyncio.Event) -> AsyncIterator[bytes]:
        seen, first = self._first()
        for line in first:
            yield line
        deadline = time.monotonic() + self._seconds
        while not self._closing():
            wake.clear()
            try:
                changes = self._api.store.since(seen)
            except ApiError as error:
                yield _line("ERROR", error.status)
                return
            for change in changes:
                seen = change.version
                event = self._event(change)
                if event:
                    yield event
            left = deadline - time.monotonic()
            if left <= 0:
                return
            try:
                await asyncio.wait_for(wake.wait(), min(left, _BOOKMARK_SECONDS))
            except TimeoutError:
                if self._bookmarks:
                    yield self._bookmark(seen)

    def _first(self) -> tuple[int, list[bytes]]:
        """Where the watch starts, and the events of the objects that are there already."""
        with self._api.store.lock:
            version = self._api.store.version
            if self._start not in ("", "0") and not self._initial:
                return int(self._start), []
            held = self._api.select(self._target.resource, self._target.namespace)
            lines = [_line("ADDED", self._form(obj)) for obj in held if self._chosen(obj)]
            if self._initial:
                lines.append(self._bookmark(version, {"k8s.io/initial-events-end": "true"}))
            return version, lines

    def _bookmark(self, version: int, annotations: Json | None = None) -> bytes:
        metadata: Json = {"resourceVersion": str(version), "creationTimestamp": None}
        if annotations:
            metadata["annotations"] = annotations
        resource = self._target.resource
        mark = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
        return _line("BOOKMARK", mark)

    def _chosen(self, obj: Json | None) -> bool:
        if obj is None:
            return False
        namespace = self._target.namespace
        if namespace and obj["metadata"].get("namespace") != namespace:
            return False
        if self._target.name and obj["metadata"]["name"] != self._target.name:
            return False
        if self._labels and not self._labels(obj["metadata"].get("labels") or {}):
            return False
        return not self._fields or self._fields(obj)

    def _event(self, change: Change) -> bytes | None:
        """What this watch sees of a change: an object may also enter or leave what its selectors choose."""
        if change.kind != self._target.resource.key:
            return None
        before, now = self._chosen(change.before), change.type != "DELETED" and self._chosen(change.object)
        if not before and not now:
            return None
        kind = "MODIFIED" if before and now else "ADDED" if now else "DELETED"
        return _line(kind, self._form(self._api.in_version(self._target.resource, change.object)))


def _line(kind: str, obj: Json) -> bytes:
    return json.dumps({"type": kind, "object": obj}, separators=(",", ":")).encode() + b"\n"
