"""Objects of a Kubernetes cluster, through the official client and a kubeconfig.

A key is `k8s:NAMESPACE/PLURAL/NAME`; cluster-scoped objects stand under the namespace `_cluster`. The value
is the object without what the cluster owns: status and the metadata that the server writes. Status is read,
never tracked, under `k8s-status:` with the same path.

Every put is a compare-and-set by `resourceVersion` (Kubernetes API concepts, "resource versions").
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

import anyio.to_thread
from kubernetes import config
from kubernetes.client import Configuration

from coagent.errors import TargetError, TargetUnavailable
from coagent.protocol.keys import Key
from coagent.protocol.values import Value, same
from coagent.systems.kubernetes.admission import Admission
from coagent.systems.kubernetes.change_tracker import ChangeTracker
from coagent.systems.kubernetes.kinds import CLUSTER, Kind, Kinds, NoKind, is_whole
from coagent.systems.kubernetes.objects import holds, terminating, tracked_part, with_server_fields
from coagent.systems.kubernetes.order import DEFINITIONS as _DEFINITIONS
from coagent.systems.kubernetes.order import precedence
from coagent.systems.kubernetes.owners import Owners
from coagent.systems.kubernetes.server import Invalid, Missing, Raced, Server, Unsure, list_collection
from coagent.systems.kubernetes.watch import WatchedRange
from coagent.targets.base import Before, GuardFailed, Target, require_wanted

T = TypeVar("T")
Objects: TypeAlias = list[dict[str, Any]]
_ATTEMPTS = 8
# Objects that controllers make and remake; they are status in all but name.
_ENVIRONMENT = ("events", "endpoints", "endpointslices", "leases", "controllerrevisions")


class Kubernetes(Target):
    """A cluster.

    Its identity is the address of its API server, whatever the kubeconfig calls it. Opening it asks nobody.
    Watches of the kinds and namespaces in use say what others change (`changes.py`).

    Args:
        kubeconfig: The path of a kubeconfig; by default $KUBECONFIG or ~/.kube/config, as kubectl has it.
        context: A context of it; the current one by default.
        namespace: What `snapshot` shows by default; all namespaces if None.
        timeout_s: How long the server may take for one request.

    Raises:
        TargetError: The kubeconfig cannot be read, or has no such context.
    """

    schemes = ("k8s", "k8s-status")
    asks_last = True
    volatile = ("k8s-status",)
    admits = True

    def __init__(
        self,
        kubeconfig: str | os.PathLike[str] | None = None,
        *,
        context: str | None = None,
        namespace: str | None = None,
        timeout_s: float = 10.0,
    ) -> None:
        settings = Configuration()
        path = None if kubeconfig is None else os.path.expanduser(os.fspath(kubeconfig))
        try:
            config.load_kube_config(  # type: ignore[no-untyped-call]
                path, context=context, client_configuration=settings
            )
        except Exception as error:  # the client raises anything from TypeError to yaml errors here
            where = path or os.environ.get("KUBECONFIG") or "~/.kube/config"
            said = str(error).splitlines()[0] if str(error) else repr(error)
            raise TargetError(
                f"kubeconfig {where!r} cannot be used: {said}",
                "Name an existing kubeconfig and one of its contexts (kubectl config get-contexts).",
            ) from None
        self._server = Server(settings, timeout_s)
        self._namespace = namespace
        self._stored: dict[Key, tuple[Value, Value]] = {}
        """What was written last without its defaults, and what the server made of it."""
        self._replaced: dict[Key, dict[str, Any]] = {}
        """Objects that were deleted to be created again, as they were."""
        self._replacing = threading.Lock()
        self._kinds = Kinds(lambda path: self._request("GET", path))
        self._owners = Owners(self._kinds, lambda path: self._maybe(lambda: self._request("GET", path)))
        self._admission = Admission(self._request)
        self._changes = ChangeTracker(self._server)
        weakref.finalize(self, self._changes.close).atexit = False

    @property
    def identity(self) -> str:
        return f"kubernetes:{self._server.url}"

    # ---- names ---------------------------------------------------------------------------------------------

    def canonical(self, key: str) -> Key:
        scheme, _, path = key.partition(":")
        namespace, slash, rest = path.partition("/")
        kind_name, _, name = rest.partition("/")
        if not path or (not rest and slash):
            return Key(key)
        if not namespace or not kind_name or "/" in name or not {namespace, name}.isdisjoint((".", "..")):
            raise TargetError(
                f"{key!r} names no object",
                f"Write {scheme}:NAMESPACE/KIND/NAME, as k8s:default/deployments/geo.",
            )
        try:
            kind = self._kinds.find_kind(kind_name)
        except NoKind:
            if is_whole(kind_name):  # it may be defined by the time it is written
                return Key(key)
            raise
        if not kind.namespaced:
            namespace = CLUSTER
        elif namespace == CLUSTER:
            raise TargetError(
                f"{kind.plural} are namespaced, which {key!r} has otherwise",
                f"Name a namespace in place of {CLUSTER!r}.",
            )
        return Key(f"{scheme}:{namespace}/{kind.key}/{name}")

    def _place(self, key: Key) -> tuple[Kind, str, str]:
        _, _, path = key.partition(":")
        namespace, kind_name, name = path.split("/")
        return self._kinds.find_kind(kind_name), namespace, name

    def _place_to_watch(self, prefix: str) -> WatchedRange | None:
        """Return the kind and namespace of a key or prefix, as far as it names them; this asks nobody."""
        scheme, _, path = prefix.partition(":")
        namespace, _, rest = path.partition("/")
        kind_name, slash, _ = rest.partition("/")
        kind = self._kinds.cached(kind_name) if scheme == "k8s" and slash else None
        if kind is None or not kind.listable:
            return None
        return kind, namespace if kind.namespaced else None

    # ---- reading -------------------------------------------------------------------------------------------

    async def get(self, key: Key) -> Value:
        return await anyio.to_thread.run_sync(self._read, key)

    async def get_many(self, keys: Sequence[Key]) -> Mapping[Key, Value]:
        return await anyio.to_thread.run_sync(lambda: {key: self._read(key) for key in keys})

    async def list(self, prefix: str) -> dict[Key, Value]:
        return await anyio.to_thread.run_sync(self._list, prefix)

    def snapshot(self, prefix: str = "") -> dict[str, Value]:
        chosen = prefix or (f"k8s:{self._namespace}/" if self._namespace else "k8s:")
        return dict(sorted(self._list(chosen).items()))

    def _read(self, key: Key) -> Value:
        if key in self._replaced:
            with self._replacing:  # it is there again in a moment
                pass
        return self._note(key, self._get(key))

    def _note(self, key: Key, live: dict[str, Any] | None) -> Value:
        """Return of an object what the key names, and take note of it."""
        value, place = _part(key, live), self._place_to_watch(key)
        if place is None:
            return value
        version = None if live is None or value is None else live["metadata"]["resourceVersion"]
        return self._changes.note(key, place, version, value)

    def _get(self, key: Key) -> dict[str, Any] | None:
        try:
            kind, namespace, name = self._place(key)
        except NoKind:  # what the cluster does not serve is not there
            return None
        return self._maybe(lambda: self._request("GET", kind.path(namespace, name)))

    def _list(self, prefix: str) -> dict[Key, Value]:
        scheme, _, path = prefix.partition(":")
        namespace, _, rest = path.partition("/")
        kind_name, slash, _ = rest.partition("/")
        if slash or (kind_name and self._kinds.has_kind(kind_name)):
            kinds = self._kinds_named(kind_name)
        else:
            kinds = [kind for kind in self._kinds.all() if kind.listable and kind.plural not in _ENVIRONMENT]
        found: dict[Key, Value] = {}
        for kind in kinds:
            if path and "/" in path and kind.namespaced == (namespace == CLUSTER):
                continue
            within = namespace if "/" in path and kind.namespaced else None
            items = self._list_kind(kind, within)
            if (kind, within) == self._place_to_watch(prefix):
                self._changes.note_listing((kind, within), items)
            for item in items:
                metadata = item["metadata"]
                owners = metadata.get("ownerReferences", ())
                if scheme == "k8s" and any(owner.get("controller") for owner in owners):
                    continue  # its controller remakes it from the owner's spec
                place = metadata.get("namespace", CLUSTER) if kind.namespaced else CLUSTER
                key = Key(f"{scheme}:{place}/{kind.key}/{metadata['name']}")
                value = _part(key, {"apiVersion": kind.api_version, "kind": kind.name, **item})
                if value is not None and key.startswith(prefix):
                    found[key] = value
        return found

    def _kinds_named(self, name: str) -> Sequence[Kind]:
        try:
            return [self._kinds.find_kind(name)]
        except NoKind:
            if is_whole(name):  # what the cluster does not serve, or no more, has no objects
                return []
            raise

    def _list_kind(self, kind: Kind, namespace: str | None) -> Objects:
        try:
            return list_collection(self._server, kind.collection(namespace))[0]
        except Missing:  # the kind has gone since it was asked for
            return []

    # ---- what others change --------------------------------------------------------------------------------

    def unchanged(self, key: Key) -> bool:
        place = self._place_to_watch(key)
        return place is not None and self._changes.unchanged(key, place)

    async def changed(self, keys: Collection[Key], prefixes: Collection[str]) -> Collection[Key]:
        return await anyio.to_thread.run_sync(self._changed, list(keys), list(prefixes))

    def _changed(self, keys: Sequence[Key], prefixes: Sequence[str]) -> Collection[Key]:
        self._kinds.all()
        places = {key: self._place_to_watch(key) for key in keys if not key.startswith("k8s-status:")}
        watched = {key: place for key, place in places.items() if place is not None}
        ranges = {prefix: self._place_to_watch(prefix) for prefix in prefixes if prefix.startswith("k8s:")}
        return self._changes.changed(watched, ranges) | (places.keys() - watched.keys())

    # ---- writing -------------------------------------------------------------------------------------------

    async def put(self, key: Key, value: Value, *, expected: Sequence[Value]) -> None:
        await anyio.to_thread.run_sync(self._put, key, value, expected)

    def precedence(self, key: Key, value: Value) -> int:
        return precedence(key, value)

    async def admit(self, key: Key, value: Value, before: Before | None = None) -> Value:
        if value is None:
            self._check_writable(key, value)
            return None
        held = None if before is None else await before()
        apart = before is not None
        return await anyio.to_thread.run_sync(lambda: self._admit(key, value, held, apart=apart))

    def _put(self, key: Key, value: Value, expected: Sequence[Value]) -> None:
        self._check_writable(key, value)
        self._changes.forget(key)
        failure: TargetError | None = None
        for attempt in range(_ATTEMPTS):
            if attempt:
                time.sleep(min(0.01 * 2**attempt, 1.0))
            try:
                if self._put_once(key, value, expected):
                    return
                failure = None
            except Unsure as error:  # it may have been done all the same: look again
                failure = error
        raise failure or TargetUnavailable(
            f"{key!r} is changed faster than it can be written",
            "Find out which controller keeps changing it.",
        )

    def _put_once(self, key: Key, value: Value, expected: Sequence[Value]) -> bool:
        """Write once, unless it is there already; False where it has to be judged anew."""
        live = self._get(key)
        now = _part(key, live)
        # To give a Job another template it is deleted and created again. Where that ends in between, since
        # the server is away, the next try finds nothing: what none would expect of a Job that it is to
        # change. That it is missing through this target alone is what `_replaced` remembers.
        if live is not None or value is None:
            self._replaced.pop(key, None)  # created again, by whomever, or not wanted any more
        if same(now, value):
            self._note(key, live)
            return True
        ours = live is None and key in self._replaced  # deleted by this target, to be created again
        if not ours and not any(self._holds(key, allowed, now) for allowed in expected):
            if self._holds(key, value, now):
                self._note(key, live)
                return True
            raise GuardFailed(key, now)
        if live is not None and terminating(live):
            raise _still_there(key, live)
        require_wanted(in_thread=True)
        return self._attempt(key, live, value)

    def _holds(self, key: Key, value: Value, now: Value) -> bool:
        written, stored = self._stored.get(key, (None, None))
        return holds(value, now) or (written is not None and same(written, value) and holds(stored, now))

    def _attempt(self, key: Key, live: dict[str, Any] | None, value: Value) -> bool:
        """Write once; False where somebody else came in between."""
        made: dict[str, Any] | None = None
        try:
            kind, namespace, name = self._place(key)
            if value is None:
                assert live is not None, "what is not there is not deleted"
                self._delete(kind, namespace, name, live)
            else:
                body = self._owners.fill_uids(self._complete(kind, namespace, name, value), live)
                if live is None:
                    made = self._request("POST", kind.collection(namespace), body=body)
                else:
                    made = self._update(key, kind, body, live)
        except Raced:
            return False
        except (Missing, NoKind):
            if live is not None:
                return False
            if self._is_defined(key):
                raise TargetUnavailable(
                    f"the cluster does not serve {key!r} yet, though its kind is defined",
                    "Look at the conditions of its CustomResourceDefinition.",
                ) from None
            raise  # its namespace is missing, or its kind
        self._replaced.pop(key, None)
        if key.startswith(_DEFINITIONS):
            self._kinds.forget()
        if made is not None:
            self._remember(key, value, made)
        self._note(key, made)
        return True

    def _delete(self, kind: Kind, namespace: str, name: str, live: dict[str, Any]) -> None:
        guard = {name: live["metadata"][name] for name in ("uid", "resourceVersion")}
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": guard}
        self._request("DELETE", kind.path(namespace, name), body=options)

    def _update(self, key: Key, kind: Kind, body: dict[str, Any], live: dict[str, Any]) -> dict[str, Any]:
        """Replace what an object holds; where nobody may change it so, the object itself.

        An agent can only have made it so by deleting it and creating another one, or by a mark that cannot be
        taken back. What is done here undoes that, or does it over: by hand it would have been the same.
        """
        namespace, name = body["metadata"].get("namespace", CLUSTER), body["metadata"]["name"]
        try:
            return self._request("PUT", kind.path(namespace, name), body=with_server_fields(body, live))
        except Invalid:
            if not self._admission.replaceable(kind, body, live):
                raise
        with self._replacing:
            self._replaced[key] = live
            self._delete(kind, namespace, name, live)
            try:
                return self._request("POST", kind.collection(namespace), body=body)
            except TargetUnavailable:
                raise  # tried again: what is missing then is known to be so
            except TargetError:
                former = self._owners.fill_uids(tracked_part(live), live)
                self._request("POST", kind.collection(namespace), body=former)
                self._replaced.pop(key, None)
                raise

    def _is_defined(self, key: Key) -> bool:
        kind = key.split("/")[1]
        if "." not in kind:
            return False
        return self._get(Key(f"{_DEFINITIONS}{kind}")) is not None

    def _remember(self, key: Key, value: Value, made: dict[str, Any]) -> None:
        stored = tracked_part(made)
        if holds(value, stored):
            self._stored.pop(key, None)
        else:
            self._stored[key] = (value, stored)

    def _admit(self, key: Key, value: Value, held: Value, *, apart: bool) -> Value:
        self._check_writable(key, value)
        try:
            kind, namespace, name = self._place(key)
        except NoKind:  # the same call, or an earlier one, may define it
            return tracked_part(self._with_name(key, value))
        whole = self._complete(kind, namespace, name, value)
        for _ in range(_ATTEMPTS):
            live = self._get(key)
            elsewhere = apart and not self._holds(key, held, _part(key, live))
            if not elsewhere and live is not None and terminating(live):
                raise _still_there(key, live)
            body = self._owners.fill_uids(whole, live, missing_ok=True)
            try:
                made = self._admission.dry_run(kind, body, live, held, apart=elsewhere)
            except Raced:
                continue
            return tracked_part(body if made is None else made)
        return tracked_part(whole)

    def _check_writable(self, key: Key, value: Value) -> None:
        if key.startswith("k8s-status:"):
            raise TargetError(f"{key!r} is the cluster's own", "Change the object's spec instead.")
        if key.count("/") != 2 or key.endswith("/"):
            raise TargetError(f"{key!r} names no object", "Give it a name.")
        if value is not None and not (
            isinstance(value, dict) and isinstance(value.get("metadata") or {}, dict)
        ):
            raise TargetError(f"{key!r} cannot hold {type(value).__name__}", "An object is a JSON mapping.")

    def _with_name(self, key: Key, value: dict[str, Any]) -> dict[str, Any]:
        """Return the value of an object whose kind is not served yet, with its name and namespace."""
        namespace, _, name = key.partition(":")[2].split("/")
        place = {} if namespace == CLUSTER else {"namespace": namespace}
        return {**value, "metadata": {**(value.get("metadata") or {}), "name": name, **place}}

    def _complete(self, kind: Kind, namespace: str, name: str, value: dict[str, Any]) -> dict[str, Any]:
        """Return the value as a manifest, with the parts of it that the key says."""
        if value.get("apiVersion", kind.api_version) != kind.api_version:
            raise TargetError(
                f"the cluster prefers {kind.name} in {kind.api_version}, not in {value['apiVersion']}",
                "Write the object in that version.",
            )
        metadata = {**(value.get("metadata") or {}), "name": name}
        if kind.namespaced:
            metadata["namespace"] = namespace
        return {**value, "apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata}

    # ---- requests ------------------------------------------------------------------------------------------

    def _maybe(self, request: Callable[[], T]) -> T | None:
        try:
            return request()
        except Missing:
            return None

    def _request(
        self, method: str, path: str, *, body: Any = None, query: Sequence[tuple[str, str]] = ()
    ) -> dict[str, Any]:
        return self._server.request(method, path, body=body, query=query)

    async def close(self) -> None:
        await anyio.to_thread.run_sync(self._changes.close)
        self._server.close()


def _part(key: Key, live: dict[str, Any] | None) -> Value:
    """Return of an object what the key names; None where it is as good as deleted."""
    if live is None or terminating(live):
        return None
    return live.get("status") if key.startswith("k8s-status:") else tracked_part(live)


def _still_there(key: Key, live: dict[str, Any]) -> TargetError:
    """Return the error for an object that is deleted already, and whose name is still taken."""
    cause = f"the former object {key!r} is still being deleted"
    waits = live["metadata"].get("finalizers")
    if waits:
        return TargetError(
            f"{cause}: its finalizers ({', '.join(waits)}) wait for something",
            "See that what they wait for is done; look at its metadata.finalizers.",
        )
    return TargetUnavailable(cause, "Wait until its grace period is over.")
