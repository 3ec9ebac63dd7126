"""The emulator as tests and demos use it: started, looked into, and pointed at by real clients."""

from __future__ import annotations

import base64
import copy
import random
import socket
import ssl
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import trustme
import uvicorn
import yaml

from kube_emulator import controllers
from kube_emulator.api import Api, Options
from kube_emulator.app import App
from kube_emulator.faults import Faults
from kube_emulator.listening import Listening
from kube_emulator.podstates import Registry
from kube_emulator.resources import Resource
from kube_emulator.webhooks import Webhook
from kube_emulator.world import Clock, World, utc_now

Json = dict[str, Any]
_VOLATILE = {
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "generation",
    "managedFields",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "selfLink",
}
# What controllers write beside the status; it tells of the way, not of what was wanted.
_DERIVED_ANNOTATIONS = {"deployment.kubernetes.io/revision"}
_DERIVED_KINDS = {("", "endpoints"), ("discovery.k8s.io", "endpointslices"), ("", "events")}
_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")


class Seen(NamedTuple):
    """One request that came in."""

    method: str
    path: str


class Emulator:
    """A Kubernetes API server in this process, for tests, demos and benchmarks.

    It answers real ``kubectl`` and the official clients over HTTP on the loopback interface. Namespaces
    ``default`` and those of the system exist, and so do the nodes. Nothing is ever run: what becomes of pods
    follows from their specs at once.

    Args:
        port: the port to listen on; 0 for a free one.
        initial: manifests to be there from the start, in order; ``List`` objects are taken apart.
        images: the images that can be pulled; None for all but those whose tag ends with ``-broken``.
        nodes: the names of the nodes.
        clock: the source of all times.
        seed: what uids and the token are drawn from: equal seeds and requests give equal objects.
        history: how many changes a watch, or a list that is read page by page, may look back before it gets
            410.
        grace_s: for how many seconds deleted pods and namespaces are still there, terminating.
        webhooks: rules that refuse or change objects.
        token: the bearer token clients must send; drawn from the seed by default, none asked for if empty.
        tls: whether to speak HTTPS with a certificate made for this run. ``kubectl`` sends its token over
            HTTPS only, so without it the token must be empty for ``kubectl`` to be let in.

    Raises:
        ApiError: if one of the initial manifests is refused.
    """

    def __init__(
        self,
        port: int = 0,
        initial: Iterable[Json] = (),
        images: Collection[str] | None = None,
        *,
        nodes: Sequence[str] = ("node-1", "node-2"),
        clock: Clock = utc_now,
        seed: int = 0,
        history: int = 10_000,
        token: str | None = None,
        tls: bool = True,
        grace_s: float = 0.0,
        webhooks: Iterable[Webhook] = (),
    ) -> None:
        self._world = World(Registry(images), clock, seed, history, grace_s, webhooks)
        self._api = Api(self._world)
        self._port = port
        self._server: Listening | None = None
        self._thread: threading.Thread | None = None
        self._socket: socket.socket | None = None
        self._authority = trustme.CA() if tls else None
        self.token = f"emulator-{random.Random(seed).getrandbits(64):016x}" if token is None else token
        self.faults = Faults()
        self.requests: list[Seen] = []
        self.app = App(self._api, self.faults, self.token, self._record)
        self._furnish(nodes)
        self._made_by_system = {key: _stable(obj) for key, obj in self._keyed()}
        for manifest in initial:
            self.create(manifest)

    def __enter__(self) -> Emulator:
        """Starts the server; see :meth:`start`."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stops the server."""
        self.stop()

    @property
    def url(self) -> str:
        """Where the server is.

        Raises:
            RuntimeError: if it was not started.
        """
        if self._socket is None:
            raise RuntimeError("the emulator was not started")
        scheme = "http" if self._authority is None else "https"
        return f"{scheme}://127.0.0.1:{self._socket.getsockname()[1]}"

    @property
    def certificate(self) -> str:
        """The certificate authority that clients must trust, in PEM; empty without TLS."""
        return self._authority.cert_pem.bytes().decode() if self._authority else ""

    def start(self) -> None:
        """Listens and serves, on a thread that ends with the process.

        Raises:
            OSError: if the port is taken.
        """
        self.app.closing = False
        self._socket = socket.create_server(("127.0.0.1", self._port), backlog=256)
        # Accepted connections inherit it; without it each answer waits 40 ms for an acknowledgement.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        config = uvicorn.Config(
            self.app,
            log_level="warning",
            access_log=False,
            lifespan="off",
            ws="none",
            http="h11",
            loop="asyncio",
            timeout_graceful_shutdown=1,
            ssl_context_factory=self._tls_context if self._authority else None,
        )
        self._server = Listening(config)
        # The socket listens already, so a client that comes before the thread runs waits in its queue.
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), name="emulator", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Ends the server and all watches; the objects stay to be looked at."""
        self.app.closing = True
        self._world.store.wake()
        if self._server is not None and self._thread is not None:
            self._server.end()
            self._thread.join(timeout=5)
        if self._socket is not None:
            self._socket.close()

    def write_kubeconfig(self, path: str | Path, namespace: str = "default") -> Path:
        """Writes a kubeconfig that points at this server and carries its token.

        Args:
            path: the file to write.
            namespace: the namespace of its context.

        Returns:
            The path.
        """
        name = "emulator"
        cluster = {"server": self.url}
        if self.certificate:
            cluster["certificate-authority-data"] = base64.b64encode(self.certificate.encode()).decode()
        config: Json = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": name,
            "clusters": [{"name": name, "cluster": cluster}],
            "users": [{"name": name, "user": {"token": self.token}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": namespace}}],
        }
        file = Path(path)
        file.touch(mode=0o600)
        file.write_text(yaml.safe_dump(config, sort_keys=False))
        return file

    def create(self, manifest: Json, namespace: str = "default") -> Json:
        """Makes an object (or those of a ``List``) without a request, under the same rules.

        Args:
            manifest: the object; a status in it is kept for nodes only.
            namespace: where it goes if it does not say.

        Returns:
            The object as it is after the controllers were done; the last one of a list.

        Raises:
            ApiError: if a server would refuse it.
            ValueError: if its kind is not served.
        """
        if "items" in manifest and str(manifest.get("kind", "")).endswith("List"):
            made: Json = {}
            for item in manifest["items"]:
                made = self.create(item, namespace)
            return made
        manifest = copy.deepcopy(manifest)
        resource = self._world.catalogue.by_kind(manifest.get("apiVersion", ""), manifest.get("kind", ""))
        if resource is None:
            raise ValueError(f"no such kind: {manifest.get('apiVersion')} {manifest.get('kind')}")
        held = (manifest.get("metadata") or {}).get("namespace") or namespace
        held = held if resource.namespaced else ""
        obj = self._api.create(resource, held, manifest, Options(manager="emulator", validation="Strict"))
        latest = self._world.store.get(resource.key, held, obj["metadata"]["name"])
        return copy.deepcopy(latest or obj)

    def delete(self, kind: str, name: str, namespace: str = "default") -> None:
        """Removes an object without a request.

        Raises:
            ApiError: 404 if there is none.
            ValueError: if the kind is not served.
        """
        resource = self._resource(kind)
        self._api.delete(resource, namespace if resource.namespaced else "", name, {}, False)

    def objects(self, kind: str, namespace: str = "") -> list[Json]:
        """Copies of the objects of a kind, by namespace and name.

        Args:
            kind: a plural, singular or short name, or a kind; with ``.group`` where that is needed.
            namespace: only these; all if empty.

        Raises:
            ValueError: if the kind is not served.
        """
        resource = self._resource(kind)
        held = self._world.store.of_kind(resource.key, namespace if resource.namespaced else "")
        return copy.deepcopy(held)

    def snapshot(self, derived: bool = False) -> dict[str, Json]:
        """What clients asked to be: equal for two emulators that were brought to the same desired state.

        Left out are what the server fills in by itself and what depends on the way taken: statuses, uids,
        versions, times, owners of fields; and, unless asked for, objects that controllers made (pods of
        workloads, ReplicaSets, endpoints) and those that were there from the start and are unchanged.

        Args:
            derived: whether to keep the objects that controllers made.

        Returns:
            The objects by ``namespace/plural/name``; the namespace of cluster-wide kinds is ``-``.
        """
        found = {}
        for key, obj in self._keyed():
            kind = (self._group_of(obj), key.split("/")[1])
            owned = any(one.get("controller") for one in obj["metadata"].get("ownerReferences") or [])
            stable = _stable(obj)
            by_system = self._made_by_system.get(key) == stable or _is_namespace_default(key)
            if derived or not (owned or by_system or kind in _DERIVED_KINDS):
                found[key] = stable
        return found

    def _tls_context(self, config: uvicorn.Config, default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        assert self._authority is not None
        self._authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
        return context

    def _furnish(self, nodes: Sequence[str]) -> None:
        for name in _NAMESPACES:
            self.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        for name in nodes:
            self.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
        port = {"name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443}
        spec = {"clusterIP": "10.96.0.1", "ports": [port]}
        labels = {"component": "apiserver", "provider": "kubernetes"}
        metadata = {"name": "kubernetes", "namespace": "default", "labels": labels}
        self.create({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})
        controllers.settle(self._world)

    def _resource(self, kind: str) -> Resource:
        resource = self._world.catalogue.by_name(kind)
        if resource is None:
            raise ValueError(f"no such kind: {kind}")
        return resource

    def _keyed(self) -> list[tuple[str, Json]]:
        entries = []
        with self._world.store.lock:
            for (_, plural), obj in self._world.store.all():
                metadata = obj["metadata"]
                entries.append((f"{metadata.get('namespace') or '-'}/{plural}/{metadata['name']}", obj))
        return sorted(entries, key=lambda entry: entry[0])

    def _group_of(self, obj: Json) -> str:
        return str(obj["apiVersion"]).rpartition("/")[0]

    def _record(self, method: str, path: str) -> None:
        self.requests.append(Seen(method, path))


def _is_namespace_default(key: str) -> bool:
    return key.endswith(("/serviceaccounts/default", "/configmaps/kube-root-ca.crt"))


def _stable(obj: Json) -> Json:
    metadata = {key: value for key, value in obj["metadata"].items() if key not in _VOLATILE}
    if "annotations" in metadata:
        kept = {key: text for key, text in metadata["annotations"].items() if key not in _DERIVED_ANNOTATIONS}
        metadata["annotations"] = kept
        if not kept:
            del metadata["annotations"]
    plain = {key: value for key, value in obj.items() if key not in ("status", "metadata")}
    return copy.deepcopy({**plain, "metadata": metadata})
