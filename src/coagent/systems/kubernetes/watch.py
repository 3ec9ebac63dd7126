"""What changes in a cluster, heard from watches: one stream for each kind (and namespace) in use.

Each stream has a thread of its own. It lists the kind once, then goes on from that resource version, also
after the connection was lost; where the server has forgotten that version (410), it lists again and compares.
Events come some milliseconds late, so writes rest on resource versions and never on this. Source: Kubernetes
API concepts, "Efficient detection of changes".
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple, TypeAlias

from coagent.errors import TargetError, TargetUnavailable
from coagent.protocol.keys import Key
from coagent.protocol.values import Value
from coagent.systems.kubernetes.kinds import CLUSTER, Kind
from coagent.systems.kubernetes.objects import terminating, tracked_part
from coagent.systems.kubernetes.server import Gone, Server, Stream, list_collection

WatchedRange: TypeAlias = tuple[Kind, str | None]
"""A kind, and a namespace or None for all."""
_WATCH_S = 240
_BACK_OFF_S_MIN, _BACK_OFF_S_MAX, _REFUSED_S = 0.05, 10.0, 60.0
_CATCH_UP_S = 0.5


class KnownState(NamedTuple):
    """An object as its stream knows it.

    Args:
        version: Its resource version.
        number: Something else when its value is; None for what a controller makes and remakes.
    """

    version: str
    number: int | None


class Heard(NamedTuple):
    """An object is there, has changed or has gone.

    Args:
        key: The object.
        version: Its resource version.
        value: Its value; None where it has gone.
        before: As its stream knew it.
        now: As it knows it from now on; None where it has gone.
    """

    key: Key
    version: str
    value: Value
    before: KnownState | None
    now: KnownState | None


class Scope:
    """The objects of one kind, in one namespace or all, as a watch tells of them.

    Args:
        server: The API server.
        place: What is watched.
        heard: Called with each object, in this one's thread, under `lock`.
        listed: Called when all that is there has been heard, in the same way.
        lock: Guards what is known.
    """

    def __init__(
        self,
        server: Server,
        place: WatchedRange,
        heard: Callable[[Heard], None],
        listed: Callable[[Scope], None],
        lock: threading.RLock,
    ) -> None:
        self._server = server
        self._kind, self._namespace = place
        self._heard = heard
        self._all_heard = listed
        self._lock = lock
        self.known: dict[Key, KnownState] = {}
        """The objects that are there."""
        self.version = ""
        """How far the stream has come; empty before it is there."""
        self.failure: TargetError | None = None
        """Why it is not there."""
        self._compares = False
        self._healthy_from = float("inf")
        self._listed = threading.Event()
        self._stop = threading.Event()
        self._stream: Stream | None = None
        self._thread = threading.Thread(target=self._run, name=f"watch {self._kind.key}", daemon=True)

    @property
    def healthy(self) -> bool:
        """Whether whatever happened is known, but for the last milliseconds."""
        return time.monotonic() >= self._healthy_from

    def start(self, items: Collection[dict[str, Any]] | None = None) -> None:
        """Begin to watch.

        Args:
            items: What was there a moment ago, where somebody knows; what is there now is compared with it.
        """
        self._compares = items is not None
        living = [item for item in items or () if not terminating(item)]
        self.known = {
            self.key(item["metadata"]): self._known_state(item, self._value(item)) for item in living
        }
        self._thread.start()

    def wait(self, seconds_max: float) -> None:
        """Wait until it is known what is there, or that it cannot be known."""
        self._listed.wait(seconds_max)

    def stop(self) -> None:
        """Watch no longer."""
        self._stop.set()
        self._healthy_from = float("inf")
        stream = self._stream
        if stream is not None:
            stream.close()

    def join(self, seconds_max: float) -> None:
        """Wait for the end of its thread, after `stop`."""
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(seconds_max)

    def covers(self, key: Key) -> bool:
        """Tell whether an object is among those that are watched."""
        place = (self._namespace or "") if self._kind.namespaced else CLUSTER
        return key.startswith(f"k8s:{place}/{self._kind.key}/")

    def key(self, metadata: Mapping[str, Any]) -> Key:
        """Return the key of an object."""
        place = metadata.get("namespace", CLUSTER) if self._kind.namespaced else CLUSTER
        return Key(f"k8s:{place}/{self._kind.key}/{metadata['name']}")

    # ---- the thread ----------------------------------------------------------------------------------------

    def _run(self) -> None:
        back_off_s = _BACK_OFF_S_MIN
        while not self._stop.is_set():
            pause_s = back_off_s
            try:
                fresh = not self.version
                if fresh:
                    self._list()
                self._follow(fresh)
                back_off_s = _BACK_OFF_S_MIN
                continue  # the server ends each watch after a while
            except Gone:
                self.version, pause_s = "", 0.0
            except TargetUnavailable as failure:
                self.failure = failure
            except TargetError as failure:  # not allowed, or the kind has gone
                self.failure, pause_s = failure, _REFUSED_S
            except Exception as failure:  # the connection broke in the middle of a line
                self.failure = TargetUnavailable(f"the watch of {self._kind.plural} broke: {failure}")
            finally:
                self._healthy_from = float("inf")
            if pause_s:
                self._listed.set()
                self._stop.wait(pause_s * random.uniform(0.8, 1.2))
                back_off_s = min(back_off_s * 2, _BACK_OFF_S_MAX)

    def _list(self) -> None:
        items, version = list_collection(self._server, self._kind.collection(self._namespace))
        with self._lock:
            gone = set(self.known)
            for item in items:
                gone.discard(self.key(item["metadata"]))
                self._take(item, deleted=False)
            for key in gone:
                self._hear(key, version, None, None)
            self.version = version
            self._compares = True
            self._all_heard(self)

    def _follow(self, fresh: bool) -> None:
        """Take in events until the stream ends.

        Args:
            fresh: Whether everything was listed just now.
        """
        place = self._kind.collection(self._namespace)
        stream = self._stream = self._server.watch(place, self.version, _WATCH_S)
        try:
            if self._stop.is_set():
                return
            # After an interruption the server first sends what was missed, without saying when that is over.
            late = not fresh and self.failure is not None
            self._healthy_from = time.monotonic() + _CATCH_UP_S if late else 0.0
            self.failure = None
            self._listed.set()
            for event in stream:
                self._take_event(event)
        finally:
            self._stream = None
            stream.release()

    def _take_event(self, event: dict[str, Any]) -> None:
        item = event.get("object") or {}
        if event.get("type") == "ERROR":
            if item.get("code") == 410:
                raise Gone("the API server has forgotten where the watch was")
            raise TargetUnavailable(f"the watch of {self._kind.plural} broke: {item.get('message')}")
        with self._lock:
            if event.get("type") != "BOOKMARK":
                self._take(item, deleted=event.get("type") == "DELETED")
            self.version = item["metadata"]["resourceVersion"]

    def _take(self, item: dict[str, Any], *, deleted: bool) -> None:
        key = self.key(item["metadata"])
        version = str(item["metadata"]["resourceVersion"])
        if deleted or terminating(item):
            self._hear(key, version, None, None)
        else:
            value = self._value(item)
            self._hear(key, version, value, self._known_state(item, value))

    def _hear(self, key: Key, version: str, value: Value, known: KnownState | None) -> None:
        before = self.known.get(key) if self._compares else known
        self._heard(Heard(key, version, value, before, known))
        if known is None:
            self.known.pop(key, None)
        else:
            self.known[key] = known

    def _value(self, item: dict[str, Any]) -> Value:
        return tracked_part({"apiVersion": self._kind.api_version, "kind": self._kind.name, **item})

    def _known_state(self, item: dict[str, Any], value: Value) -> KnownState:
        metadata = item["metadata"]
        controlled = any(owner.get("controller") for owner in metadata.get("ownerReferences", ()))
        return KnownState(metadata["resourceVersion"], None if controlled else number_of(value))


def number_of(value: Value) -> int:
    """Return a number that is something else when the value is."""
    return hash(json.dumps(value, sort_keys=True))


def newer(version: str, than: str) -> bool:
    """Tell whether one resource version is later than another; yes where that cannot be known.

    They are numbers that grow, though only newer servers promise that.
    """
    if version.isdigit() and than.isdigit():
        return int(version) > int(than)
    return version != than
