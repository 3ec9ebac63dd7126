"""What others change in a cluster is heard from watches, also through interruptions."""

from __future__ import annotations

import contextlib
import gc
import json
import socket
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import anyio
import pytest
from clusters import config_map, deployment

from coagent.errors import TargetError, TargetUnavailable
from coagent.protocol.keys import Key
from coagent.systems.kubernetes import change_tracker
from coagent.systems.kubernetes import watch as kubernetes_watch
from coagent.systems.kubernetes.server import Unsure
from coagent.targets import Kubernetes
from coagent.targets.base import GuardFailed
from kube_emulator import Emulator

SETTINGS = "k8s:default/configmaps/settings"
GEO = "k8s:default/deployments/geo"
MAPS = "k8s:default/configmaps/"
_S_MAX = 20.0


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    initial = [config_map(color="red"), deployment()]
    with Emulator(port, initial=initial, token="", tls=False, history=20) as emulator:
        yield emulator


@pytest.fixture
def target(emulator: Emulator, tmp_path: Path) -> Iterator[Kubernetes]:
    target = Kubernetes(emulator.write_kubeconfig(tmp_path / "config"), timeout_s=5)
    yield target
    anyio.run(target.close)


def eventually(holds: Callable[[], Any]) -> None:
    """Wait for a watch, which is a thread and a stream."""
    deadline = monotonic() + _S_MAX
    while not holds():
        assert monotonic() < deadline, "it never came to be"
        threading.Event().wait(0.005)


def got(target: Kubernetes, key: str) -> Any:
    return anyio.run(target.get, key)


def put(target: Kubernetes, key: str, value: Any, *expected: Any) -> None:
    async def main() -> None:
        await target.put(key, value, expected=expected)

    anyio.run(main)


def changed(target: Kubernetes, *keys: str, prefixes: tuple[str, ...] = ()) -> set[str]:
    return set(anyio.run(target.changed, keys, prefixes))


def person(emulator: Emulator, color: str, **annotations: str) -> str:
    """Change the settings as somebody would who knows nothing of the target; returns their version."""
    live = next(
        item for item in emulator.objects("configmaps", "default") if item["metadata"]["name"] == "settings"
    )
    metadata = {**live["metadata"], "annotations": annotations}
    body = json.dumps({**live, "metadata": metadata, "data": {"color": color}}).encode()
    url = f"{emulator.url}/api/v1/namespaces/default/configmaps/settings"
    headers = {"Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, body, headers, method="PUT")) as answer:
        return str(json.load(answer)["metadata"]["resourceVersion"])


def watchers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("watch ")]


# ---- objects -----------------------------------------------------------------------------------------------


def test_an_object_is_known_to_stand_without_a_request(emulator: Emulator, target: Kubernetes) -> None:
    got(target, SETTINGS)
    eventually(lambda: target.unchanged(SETTINGS))
    requests = len(emulator.requests)
    for _ in range(10):
        assert target.unchanged(SETTINGS)
    assert changed(target, SETTINGS) == set()
    assert len(emulator.requests) == requests


def test_what_somebody_does_is_heard(emulator: Emulator, target: Kubernetes) -> None:
    got(target, SETTINGS)
    eventually(lambda: target.unchanged(SETTINGS))
    person(emulator, "green")
    eventually(lambda: not target.unchanged(SETTINGS))
    assert changed(target, SETTINGS) == {SETTINGS}
    assert got(target, SETTINGS)["data"] == {"color": "green"}
    assert target.unchanged(SETTINGS)
    emulator.delete("configmap", "settings")
    eventually(lambda: not target.unchanged(SETTINGS))
    assert got(target, SETTINGS) is None
    emulator.create(config_map(color="blue"))
    eventually(lambda: not target.unchanged(SETTINGS))
    assert got(target, SETTINGS)["data"] == {"color": "blue"}


def test_what_is_put_back_is_unchanged_again(emulator: Emulator, target: Kubernetes) -> None:
    got(target, SETTINGS)
    eventually(lambda: target.unchanged(SETTINGS))
    person(emulator, "green")
    eventually(lambda: not target.unchanged(SETTINGS))
    person(emulator, "red")
    eventually(lambda: target.unchanged(SETTINGS))


def test_own_writes_are_no_news(target: Kubernetes) -> None:
    value = got(target, SETTINGS)
    eventually(lambda: target.unchanged(SETTINGS))
    for color in ("green", "blue"):
        new = {**value, "data": {"color": color}}
        put(target, SETTINGS, new, value)
        assert target.unchanged(SETTINGS)
        value = new
    put(target, SETTINGS, None, value)
    eventually(lambda: target.unchanged(SETTINGS))
    assert got(target, SETTINGS) is None
    put(target, SETTINGS, value, None)
    eventually(lambda: target.unchanged(SETTINGS))


def test_what_the_cluster_notes_for_itself_is_no_change(emulator: Emulator, target: Kubernetes) -> None:
    got(target, SETTINGS)
    eventually(lambda: target.unchanged(SETTINGS))
    revision = {"deployment.kubernetes.io/revision": "2"}
    version = person(emulator, "red", **revision)
    (scope,) = target._changes._scopes.values()
    eventually(lambda: scope.version == version)
    assert target.unchanged(SETTINGS)
    assert changed(target, SETTINGS) == set()


def test_status_is_never_sure_and_never_named(target: Kubernetes) -> None:
    status = "k8s-status:default/deployments/geo"
    got(target, status)
    assert not target.unchanged(status)
    assert changed(target, status) == set()


@pytest.mark.parametrize("act", ["deleted", "changed"])
def test_what_happens_between_a_read_and_the_watch_is_noticed(
    emulator: Emulator, target: Kubernetes, act: str
) -> None:
    got(target, SETTINGS)
    if act == "deleted":
        emulator.delete("configmap", "settings")
    else:
        person(emulator, "green")
    assert changed(target, SETTINGS) == {SETTINGS}
    assert not target.unchanged(SETTINGS)
    got(target, SETTINGS)
    eventually(lambda: target.unchanged(SETTINGS))


# ---- ranges ------------------------------------------------------------------------------------------------


def test_what_comes_and_goes_between_listing_and_watch_is_named(
    emulator: Emulator, target: Kubernetes, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = kubernetes_watch.Scope.start

    def later(self: kubernetes_watch.Scope, items: Any = None) -> None:
        emulator.create(config_map("new"))
        emulator.delete("configmap", "settings")
        start(self, items)

    monkeypatch.setattr(kubernetes_watch.Scope, "start", later)
    changed(target)
    assert SETTINGS in anyio.run(target.list, MAPS)
    assert changed(target, prefixes=(MAPS,)) == {SETTINGS, f"{MAPS}new"}
    assert changed(target, prefixes=(MAPS,)) == set()


def test_what_controllers_make_is_not_named(emulator: Emulator, target: Kubernetes) -> None:
    changed(target)
    prefix = "k8s:default/pods/"
    anyio.run(target.list, prefix)
    pods = len(emulator.objects("pods", "default"))
    value = got(target, GEO)
    put(target, GEO, {**value, "spec": {**value["spec"], "replicas": 4}}, value)
    eventually(lambda: len(emulator.objects("pods", "default")) > pods)
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "own"}}
    emulator.create({**pod, "spec": {"containers": [{"name": "c", "image": "i"}]}})
    named: set[str] = set()
    eventually(lambda: named.update(changed(target, prefixes=(prefix,))) or f"{prefix}own" in named)
    assert named == {f"{prefix}own"}


# ---- interruptions -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [1, 100])
def test_a_watch_goes_on_after_an_interruption(emulator: Emulator, target: Kubernetes, changes: int) -> None:
    """After few changes from where it was; after many, the server has forgotten that and it lists again."""
    changed(target)
    anyio.run(target.list, MAPS)
    got(target, SETTINGS)
    eventually(lambda: target.unchanged(SETTINGS))
    emulator.stop()
    eventually(lambda: not target.unchanged(SETTINGS))
    with pytest.raises(TargetUnavailable, match="cannot be reached"):
        changed(target, SETTINGS)
    for number in range(changes):
        emulator.create(config_map(f"new{number}"))
    emulator.delete("configmap", "settings")
    emulator.start()
    named: set[str] = set()

    def look() -> bool:
        with contextlib.suppress(TargetUnavailable):
            named.update(changed(target, prefixes=(MAPS,)))
        return len(named) >= changes + 1

    eventually(look)
    assert named == {SETTINGS, *(f"{MAPS}new{number}" for number in range(changes))}
    assert not target.unchanged(SETTINGS)
    assert got(target, SETTINGS) is None
    eventually(lambda: target.unchanged(SETTINGS))
    listings = [path for method, path in emulator.requests if path.endswith("/configmaps")]
    assert listings


def test_what_may_not_be_watched_is_read_now_and_then(emulator: Emulator, target: Kubernetes) -> None:
    emulator.faults.forbid("list", "configmaps")
    emulator.faults.forbid("watch", "configmaps")
    got(target, SETTINGS)
    named = [changed(target, SETTINGS) for _ in range(20)]
    assert not target.unchanged(SETTINGS)
    assert 1 <= named.count({SETTINGS}) <= 4


def test_no_more_is_watched_than_there_is_room_for(
    emulator: Emulator, target: Kubernetes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change_tracker, "SCOPES_MAX", 1)
    got(target, SETTINGS)
    got(target, GEO)
    eventually(lambda: target.unchanged(SETTINGS))
    assert not target.unchanged(GEO)
    assert len(watchers()) == 1
    monkeypatch.setattr(change_tracker, "_IDLE_S", 0.0)
    eventually(lambda: target.unchanged(GEO))
    eventually(lambda: len(watchers()) == 1)


def test_a_target_that_nobody_has_any_more_watches_nothing(emulator: Emulator, tmp_path: Path) -> None:
    def watch() -> None:
        target = Kubernetes(emulator.write_kubeconfig(tmp_path / "other"))
        got(target, SETTINGS)
        eventually(lambda: target.unchanged(SETTINGS))
        assert watchers()

    watch()
    gc.collect()
    eventually(lambda: not watchers())


# ---- refusals ----------------------------------------------------------------------------------------------


def test_what_finalizers_hold_is_refused_and_what_only_needs_time_passes(
    emulator: Emulator, target: Kubernetes, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = got(target, SETTINGS)
    held = {**value, "metadata": {**value["metadata"], "finalizers": ["example.com/wait"]}}
    put(target, SETTINGS, held, value)
    put(target, SETTINGS, None, held)
    for _ in range(2):
        with pytest.raises(TargetError, match=r"example\.com/wait") as caught:
            put(target, SETTINGS, value, None)
        assert not isinstance(caught.value, TargetUnavailable)
        assert "finalizers" in caught.value.cure
    get = target._get

    def without(key: str) -> Any:
        live = get(key)
        assert live is not None
        return {**live, "metadata": {**live["metadata"], "finalizers": []}}

    monkeypatch.setattr(target, "_get", without)
    with pytest.raises(TargetUnavailable, match="still being deleted"):
        put(target, SETTINGS, value, None)


def test_what_is_immutable_is_refused_beforehand(target: Kubernetes) -> None:
    value = got(target, SETTINGS)
    marked = {**value, "immutable": True}
    put(target, SETTINGS, marked, value)
    with pytest.raises(TargetError, match="immutable") as caught:
        anyio.run(target.admit, SETTINGS, {**marked, "data": {"color": "blue"}})
    assert not isinstance(caught.value, TargetUnavailable)
    assert "deleted and created again" in caught.value.cure
    assert got(target, SETTINGS) == marked


def test_a_mark_that_cannot_be_taken_back_is_taken_back_with_the_object(
    emulator: Emulator, target: Kubernetes
) -> None:
    value = got(target, SETTINGS)
    marked = {**value, "immutable": True}
    put(target, SETTINGS, marked, value)
    before = emulator.objects("configmaps", "default")
    put(target, SETTINGS, value, marked)
    assert got(target, SETTINGS) == value
    assert {one["metadata"]["uid"] for one in before} != {
        one["metadata"]["uid"] for one in emulator.objects("configmaps", "default")
    }


def test_what_holds_data_is_never_deleted_to_be_created_again(emulator: Emulator, target: Kubernetes) -> None:
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data", "namespace": "default"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    emulator.create(claim)
    key = Key("k8s:default/persistentvolumeclaims/data")
    value = got(target, key)
    uid = emulator.objects("pvc", "default")[0]["metadata"]["uid"]
    with pytest.raises(TargetError, match="immutable"):
        put(target, key, {**value, "spec": {**value["spec"], "accessModes": ["ReadOnlyMany"]}}, value)
    assert emulator.objects("pvc", "default")[0]["metadata"]["uid"] == uid


def test_an_answer_that_is_lost_while_an_object_is_created_again_loses_nothing(
    emulator: Emulator, target: Kubernetes, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = got(target, SETTINGS)
    marked = {**value, "immutable": True}
    put(target, SETTINGS, marked, value)
    request = target._server.request
    lost: list[str] = []

    def losing(method: str, path: str, **options: Any) -> Any:
        if method == "POST" and not options.get("query") and not lost:
            lost.append(path)
            raise Unsure("no answer")
        return request(method, path, **options)

    monkeypatch.setattr(target._server, "request", losing)
    put(target, SETTINGS, value, marked)
    assert lost
    assert got(target, SETTINGS) == value


def test_an_object_that_is_not_to_be_created_again_any_more_is_somebody_elses_to_delete(
    emulator: Emulator, target: Kubernetes, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = got(target, SETTINGS)
    marked = {**value, "immutable": True}
    put(target, SETTINGS, marked, value)
    request = target._server.request

    def away(method: str, path: str, **options: Any) -> Any:
        if method == "POST" and not options.get("query"):
            raise TargetUnavailable("away")
        return request(method, path, **options)

    with monkeypatch.context() as patched:
        patched.setattr(target._server, "request", away)
        with pytest.raises(TargetUnavailable):
            put(target, SETTINGS, value, marked)
    put(target, SETTINGS, None, value)
    put(target, SETTINGS, value, None)
    emulator.delete("cm", "settings")
    with pytest.raises(GuardFailed):
        put(target, SETTINGS, {**value, "data": {}}, value)


def test_credentials_that_were_good_may_be_so_again(tmp_path: Path) -> None:
    with Emulator(initial=[config_map()], token="first", tls=False) as emulator:
        path = emulator.write_kubeconfig(tmp_path / "config")
        target = Kubernetes(path)
        got(target, SETTINGS)
        emulator.app._token = "second"
        with pytest.raises(TargetUnavailable, match=r"\(401\).*log in again"):
            got(target, SETTINGS)
        never = Kubernetes(path)
        with pytest.raises(TargetError) as caught:
            got(never, SETTINGS)
        assert not isinstance(caught.value, TargetUnavailable)
        anyio.run(target.close)
        anyio.run(never.close)
