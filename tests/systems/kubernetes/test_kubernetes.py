"""The Kubernetes target against the emulator: names, what is tracked, guarded writes, races, failures."""

from __future__ import annotations

import copy
import gc
import json
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest
from clusters import Json, Kubectl, config_map, custom, deployment

from coagent.errors import TargetError, TargetUnavailable
from coagent.protocol.keys import Key
from coagent.targets import GuardFailed, Kubernetes
from coagent.targets.base import NotWanted, last_word_of
from kube_emulator import Emulator

TOKEN = "secret-token-of-the-tests"
SETTINGS = "k8s:default/configmaps/settings"
GEO = "k8s:default/deployments/geo"
INITIAL = [config_map(color="red"), deployment()]


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator(initial=INITIAL, token="", tls=False) as emulator:  # kubectl sends no token without TLS
        yield emulator


@pytest.fixture
def guarded() -> Iterator[Emulator]:
    """One that asks for a token."""
    with Emulator(initial=INITIAL, token=TOKEN, tls=False) as emulator:
        yield emulator


@pytest.fixture
def target(emulator: Emulator, tmp_path: Path) -> Iterator[Kubernetes]:
    target = Kubernetes(emulator.write_kubeconfig(tmp_path / "config"), timeout_s=5)
    yield target
    anyio.run(target.close)


def put(target: Kubernetes, key: str, value: Any, expected: Sequence[Any]) -> None:
    async def main() -> None:
        await target.put(key, value, expected=expected)

    anyio.run(main)


def got(target: Kubernetes, key: str) -> Any:
    return anyio.run(target.get, key)


def changed(value: Json, **data: str) -> Json:
    return {**copy.deepcopy(value), "data": data}


def written(emulator: Emulator) -> list[str]:
    return [method for method, _ in emulator.requests if method not in ("GET", "HEAD")]


def before_writes(target: Kubernetes, act: Callable[[], Any], times: int = 1) -> None:
    """Let something happen between the target's look at an object and its write."""
    request, left = target._request, [times]

    def slower(method: str, path: str, **rest: Any) -> Any:
        if method != "GET" and left[0]:
            left[0] -= 1
            act()
        return request(method, path, **rest)

    target._request = slower  # type: ignore[method-assign]


# ---- names -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("k8s:default/deployments/geo", GEO),
        ("k8s:default/deployment/geo", GEO),
        ("k8s:default/deploy/geo", GEO),
        ("k8s:default/Deployment/geo", GEO),
        ("k8s:default/deployments.apps/geo", GEO),
        ("k8s:default/Deployment.apps/geo", GEO),
        ("k8s:default/cm/settings", SETTINGS),
        ("k8s:default/ConfigMap./settings", SETTINGS),
        ("k8s:_cluster/no/node-1", "k8s:_cluster/nodes/node-1"),
        ("k8s:default/nodes/node-1", "k8s:_cluster/nodes/node-1"),
        ("k8s:default/ns/", "k8s:_cluster/namespaces/"),
        ("k8s:default/deploy/", "k8s:default/deployments/"),
        ("k8s-status:default/po/x", "k8s-status:default/pods/x"),
        ("k8s:default/roles/system:x", "k8s:default/roles/system:x"),
        ("k8s:default/", "k8s:default/"),
        ("k8s:", "k8s:"),
    ],
)
def test_an_object_has_one_name(target: Kubernetes, given: str, name: str) -> None:
    assert target.canonical(given) == name
    assert target.canonical(name) == name


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("k8s:default/deploments/geo", "Did you mean 'deployments'?"),
        ("k8s:default/frobnicators/x", "no kind 'frobnicators'"),
        ("k8s:_cluster/pods/x", "Name a namespace"),
        ("k8s:default/pods/a/b", "names no object"),
        ("k8s:default/pods/..", "names no object"),
        ("k8s:../pods/x", "names no object"),
        ("k8s:geo", "names no object"),
        ("k8s:/pods/x", "names no object"),
    ],
)
def test_wrong_names_are_told(target: Kubernetes, key: str, says: str) -> None:
    with pytest.raises(TargetError, match=says) as caught:
        target.canonical(key)
    assert caught.value.cure


@pytest.mark.parametrize("name", ["x?dryRun=All", "x%2f..", "x#y", "a b", "Ü", "geo?"])
def test_names_cannot_change_the_request(emulator: Emulator, target: Kubernetes, name: str) -> None:
    before = emulator.snapshot()
    key = target.canonical(f"k8s:default/configmaps/{name}")
    assert got(target, key) is None
    put(target, key, None, [None])
    with pytest.raises(TargetError):
        put(target, key, config_map(name), [None])
    assert emulator.snapshot() == before


def test_kinds_that_come_later_have_names_that_stay(emulator: Emulator, target: Kubernetes) -> None:
    with pytest.raises(TargetError, match="no kind 'widgets'"):
        target.canonical("k8s:default/widgets/x")
    emulator.create(custom("Widget", "shop.example.com"))
    name = "k8s:default/widgets.shop.example.com/x"
    assert target.canonical("k8s:default/widgets/x") == name
    widget = {"apiVersion": "shop.example.com/v1", "kind": "Widget", "metadata": {"name": "x"}, "size": 1}
    put(target, name, widget, [None])
    emulator.create(custom("Widget", "aaa.example.com"))
    emulator.create(custom("Service", "serving.example.com"))
    with pytest.raises(TargetError, match="no kind 'thing'"):
        target.canonical("k8s:default/thing/x")  # so that it asks for all kinds again
    for given in ("widgets.shop.example.com", "Widget.shop.example.com"):
        assert target.canonical(f"k8s:default/{given}/x") == name
    other = "k8s:default/widgets.aaa.example.com/x"
    assert target.canonical("k8s:default/Widget.aaa.example.com/x") == other
    assert target.canonical("k8s:default/svc/x") == "k8s:default/services/x"
    assert target.canonical("k8s:default/Service/x") == "k8s:default/services/x"
    assert target.canonical("k8s:default/Service.serving.example.com/x") == (
        "k8s:default/services.serving.example.com/x"
    )
    assert got(target, name)["size"] == 1
    assert got(target, other) is None
    assert list(anyio.run(target.list, "k8s:default/widgets.shop.example.com/")) == [name]


def test_an_extension_that_is_down_hides_no_other_kind(target: Kubernetes) -> None:
    request = target._request

    def down(method: str, path: str, **rest: Any) -> Any:
        if path.startswith("/apis/batch"):
            raise TargetError("503")
        return request(method, path, **rest)

    target._request = down  # type: ignore[method-assign]
    assert target.canonical("k8s:default/deploy/geo") == GEO
    with pytest.raises(TargetError, match="no kind 'jobs'"):
        target.canonical("k8s:default/jobs/x")
    target._request = request  # type: ignore[method-assign]
    assert target.canonical("k8s:default/jobs/x") == "k8s:default/jobs/x"


# ---- what is tracked ---------------------------------------------------------------------------------------


def test_status_and_what_the_server_writes_are_not_tracked(
    emulator: Emulator, target: Kubernetes, tmp_path: Path
) -> None:
    value = got(target, GEO)
    assert set(value) == {"apiVersion", "kind", "metadata", "spec"}
    assert set(value["metadata"]) == {"name", "namespace", "labels"}
    status = got(target, "k8s-status:default/deployments/geo")
    assert status["readyReplicas"] == 1
    found = anyio.run(target.get_many, [GEO, "k8s-status:default/deployments/geo", f"{GEO}-none"])
    assert found == {GEO: value, "k8s-status:default/deployments/geo": status, f"{GEO}-none": None}
    Kubectl(emulator, tmp_path)("scale", "deployment/geo", "--replicas=3")
    assert got(target, GEO) == {**value, "spec": {**value["spec"], "replicas": 3}}


def test_status_cannot_be_written(emulator: Emulator, target: Kubernetes) -> None:
    for value in ({"phase": "Running"}, None):
        with pytest.raises(TargetError, match="the cluster's own"):
            put(target, "k8s-status:default/deployments/geo", value, [None])
        with pytest.raises(TargetError, match="the cluster's own"):
            anyio.run(target.admit, "k8s-status:default/deployments/geo", value)
    assert written(emulator) == []


def test_what_controllers_make_is_listed_with_the_status_only(target: Kubernetes) -> None:
    assert anyio.run(target.list, "k8s:default/pods/") == {}
    assert anyio.run(target.list, "k8s:default/replicasets/") == {}
    ((key, status),) = anyio.run(target.list, "k8s-status:default/pods/").items()
    assert key.startswith("k8s-status:default/pods/geo-")
    assert status["phase"] == "Running"


def test_listings_go_by_prefix(emulator: Emulator, target: Kubernetes) -> None:
    emulator.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default2"}})
    emulator.create(config_map("other", "default2"))

    def listed(prefix: str) -> set[str]:
        return {key for key in anyio.run(target.list, prefix) if "kube-" not in key}

    assert listed("k8s:default/configmaps/") == {SETTINGS}
    assert listed("k8s:default/configmaps/set") == {SETTINGS}
    assert listed("k8s:default/configmaps/x") == set()
    assert listed("k8s:default/c") == {SETTINGS}
    assert {SETTINGS, GEO} <= listed("k8s:default/")
    assert not any(key.startswith("k8s:default2/") for key in listed("k8s:default/"))
    assert {"k8s:default2/configmaps/other", "k8s:_cluster/namespaces/default2", GEO} <= listed("k8s:")
    assert not any("/events/" in key or "/endpoints" in key for key in listed("k8s:"))
    assert "k8s:_cluster/nodes/node-1" in listed("k8s:_cluster/")
    assert all(key.startswith("k8s:_cluster/") for key in listed("k8s:_cluster/"))


def test_long_lists_come_in_pages(emulator: Emulator, target: Kubernetes) -> None:
    for number in range(1203):
        emulator.create(config_map(f"c{number:04}"))
    assert len(anyio.run(target.list, "k8s:default/configmaps/c")) == 1203


# ---- guarded writes ----------------------------------------------------------------------------------------


def test_defaults_of_the_server_are_no_change(emulator: Emulator, target: Kubernetes) -> None:
    key, manifest = "k8s:default/deployments/new", deployment("new")
    put(target, key, manifest, [None])
    stored = got(target, key)
    assert stored != manifest
    assert stored["spec"]["strategy"]["type"] == "RollingUpdate"
    writes = len(written(emulator))
    put(target, key, manifest, [None])  # it is there but for the defaults
    assert len(written(emulator)) == writes
    put(target, key, {**stored, "spec": {**stored["spec"], "replicas": 2}}, [manifest])
    assert got(target, key)["spec"]["replicas"] == 2


def test_what_the_cluster_assigns_is_no_change(emulator: Emulator, target: Kubernetes) -> None:
    key = "k8s:default/services/front"
    ports = [{"port": 80}]
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "front"},
        "spec": {"type": "NodePort", "ports": ports, "selector": {"app": "geo"}},
    }
    admitted = anyio.run(target.admit, key, service)
    admitted["spec"].pop("clusterIP", None)
    admitted["spec"].pop("clusterIPs", None)
    for port in admitted["spec"]["ports"]:
        port.pop("nodePort", None)
    put(target, key, admitted, [None])
    stored = got(target, key)
    assert stored["spec"]["clusterIP"]
    other = copy.deepcopy(admitted)
    other["spec"]["selector"] = {"app": "web"}
    put(target, key, other, [admitted])
    assert got(target, key)["spec"] == {**stored["spec"], "selector": {"app": "web"}}


@pytest.mark.parametrize(
    "addition",
    [
        {"metadata": {"annotations": {"note": "mine"}}},
        {"metadata": {"labels": {"mine": "yes"}}},
        {"spec": {"paused": True}},
        {"spec": {"template": {"spec": {"nodeSelector": {"disk": "fast"}}}}},
    ],
)
def test_what_others_add_is_a_change(
    emulator: Emulator, target: Kubernetes, tmp_path: Path, addition: Json
) -> None:
    value = got(target, GEO)
    Kubectl(emulator, tmp_path)("patch", "deploy", "geo", "--type=merge", "-p", json.dumps(addition))
    with pytest.raises(GuardFailed):
        put(target, GEO, {**value, "spec": {**value["spec"], "replicas": 5}}, [value])
    with pytest.raises(GuardFailed):
        put(target, GEO, value, [None])


def test_a_list_that_has_grown_is_a_change(target: Kubernetes) -> None:
    value = got(target, GEO)
    more = copy.deepcopy(value)
    more["spec"]["template"]["spec"]["containers"].append({"name": "side", "image": "side:v1"})
    put(target, GEO, more, [value])
    with pytest.raises(GuardFailed) as caught:
        put(target, GEO, {**value, "spec": {**value["spec"], "replicas": 5}}, [value])
    assert len(caught.value.found["spec"]["template"]["spec"]["containers"]) == 2


def test_what_kubectl_applied_last_stays_noted(
    emulator: Emulator, target: Kubernetes, tmp_path: Path
) -> None:
    kubectl = Kubectl(emulator, tmp_path)
    kubectl("apply", "-f", "-", stdin=json.dumps(config_map("applied", color="red")))
    key = "k8s:default/configmaps/applied"
    value = got(target, key)
    assert "annotations" not in value["metadata"]
    put(target, key, changed(value, color="blue"), [value])
    (live,) = [
        one for one in emulator.objects("configmaps", "default") if one["metadata"]["name"] == "applied"
    ]
    assert live["data"] == {"color": "blue"}
    assert "kubectl.kubernetes.io/last-applied-configuration" in live["metadata"]["annotations"]
    kubectl("apply", "-f", "-", stdin=json.dumps(config_map("applied", size="m")))
    assert got(target, key)["data"] == {"size": "m"}


def test_annotations_of_others_come_and_go_by_the_value(emulator: Emulator, target: Kubernetes) -> None:
    value = got(target, SETTINGS)
    noted = {**value, "metadata": {**value["metadata"], "annotations": {"team": "a"}}}
    put(target, SETTINGS, noted, [value])
    assert got(target, SETTINGS) == noted
    put(target, SETTINGS, value, [noted])
    assert got(target, SETTINGS) == value


def test_status_that_is_no_subresource_survives_a_write(emulator: Emulator, target: Kubernetes) -> None:
    emulator.create(custom("Widget", "shop.example.com"))
    key = target.canonical("k8s:default/widgets/x")
    widget = {"apiVersion": "shop.example.com/v1", "kind": "Widget", "metadata": {"name": "x"}, "size": 1}
    target._request(
        "POST",
        "/apis/shop.example.com/v1/namespaces/default/widgets",
        body={**widget, "status": {"made": True}},
    )
    value = got(target, key)
    assert got(target, key.replace("k8s:", "k8s-status:")) == {"made": True}
    put(target, key, {**value, "size": 2}, [value])
    assert got(target, key)["size"] == 2
    assert got(target, key.replace("k8s:", "k8s-status:")) == {"made": True}


def test_what_is_no_object_is_refused(emulator: Emulator, target: Kubernetes) -> None:
    for value in ("text", 5, [1], b"x", {"metadata": "no"}):
        with pytest.raises(TargetError, match="cannot hold"):
            put(target, SETTINGS, value, [got(target, SETTINGS)])
        with pytest.raises(TargetError, match="cannot hold"):
            anyio.run(target.admit, SETTINGS, value)
    with pytest.raises(TargetError, match="names no object"):
        anyio.run(target.admit, "k8s:default/configmaps/", config_map())
    assert written(emulator) == []


def test_an_object_in_another_version_is_refused(target: Kubernetes) -> None:
    with pytest.raises(TargetError, match="prefers Deployment in apps/v1, not in apps/v1beta1"):
        anyio.run(target.admit, GEO, {**deployment(), "apiVersion": "apps/v1beta1"})


# ---- admission ---------------------------------------------------------------------------------------------


def test_admission_says_what_would_be_stored_and_leaves_no_trace(
    emulator: Emulator, target: Kubernetes
) -> None:
    before = emulator.snapshot(derived=True)
    versions = [one["metadata"]["resourceVersion"] for one in emulator.objects("deployments")]
    new = anyio.run(target.admit, "k8s:default/deployments/new", deployment("new"))
    assert new["spec"]["strategy"]["type"] == "RollingUpdate"
    scaled = got(target, GEO)
    scaled["spec"]["replicas"] = 3
    assert anyio.run(target.admit, GEO, scaled) == scaled
    assert anyio.run(target.admit, GEO, None) is None
    assert emulator.snapshot(derived=True) == before
    assert [one["metadata"]["resourceVersion"] for one in emulator.objects("deployments")] == versions
    assert got(target, "k8s:default/deployments/new") is None
    put(target, "k8s:default/deployments/new", new, [None])
    assert got(target, "k8s:default/deployments/new") == new


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"replicas": -1}, "must be greater than or equal to 0"),
        ({"replicas": "three"}, "replicas"),
        ({"replica": 3}, 'unknown field "spec.replica"'),
        ({"selector": {"matchLabels": {"app": "other"}}}, "selector"),
    ],
)
def test_what_the_server_refuses_is_told_before_anything_is_written(
    emulator: Emulator, target: Kubernetes, change: Json, says: str
) -> None:
    before, value = emulator.snapshot(), got(target, GEO)
    with pytest.raises(TargetError, match=says) as caught:
        anyio.run(target.admit, GEO, {**value, "spec": {**value["spec"], **change}})
    assert "Correct the object" in caught.value.cure
    assert emulator.snapshot() == before


def test_a_namespace_may_still_have_to_be_made(target: Kubernetes) -> None:
    key, value = "k8s:later/configmaps/a", config_map("a", "later", x="1")
    assert anyio.run(target.admit, key, value) == value
    with pytest.raises(TargetError, match='namespaces "later" not found'):
        put(target, key, value, [None])
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "later"}}
    put(target, "k8s:_cluster/namespaces/later", namespace, [None])
    put(target, key, value, [None])
    assert got(target, key) == value


# ---- races -------------------------------------------------------------------------------------------------


def test_a_write_in_between_is_found(emulator: Emulator, target: Kubernetes, tmp_path: Path) -> None:
    kubectl, value = Kubectl(emulator, tmp_path), got(target, SETTINGS)
    patch = ["patch", "configmap", "settings", "--type=merge", "-p", '{"data":{"color":"green"}}']
    before_writes(target, lambda: kubectl(*patch))
    with pytest.raises(GuardFailed) as caught:
        put(target, SETTINGS, changed(value, color="blue"), [value])
    assert caught.value.found == changed(value, color="green")
    assert got(target, SETTINGS) == changed(value, color="green")


def test_a_status_that_moves_in_between_is_no_conflict(emulator: Emulator, target: Kubernetes) -> None:
    value = got(target, SETTINGS)

    def touch() -> None:
        live = target._request("GET", "/api/v1/namespaces/default/configmaps/settings")
        live["metadata"]["annotations"] = {"deployment.kubernetes.io/revision": str(len(emulator.requests))}
        emulated("PUT", "/api/v1/namespaces/default/configmaps/settings", body=live)

    emulated = target._request
    before_writes(target, touch, times=3)
    put(target, SETTINGS, changed(value, color="blue"), [value])
    assert got(target, SETTINGS) == changed(value, color="blue")


@pytest.fixture
def soon_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have it tried less often, since it waits longer before each time."""
    monkeypatch.setattr("coagent.systems.kubernetes.target._ATTEMPTS", 4)


@pytest.mark.usefixtures("soon_given_up")
def test_what_changes_all_the_time_is_given_up(emulator: Emulator, target: Kubernetes) -> None:
    value, emulated = got(target, SETTINGS), target._request

    def touch() -> None:
        live = emulated("GET", "/api/v1/namespaces/default/configmaps/settings")
        live["metadata"]["annotations"] = {"deployment.kubernetes.io/revision": str(len(emulator.requests))}
        emulated("PUT", "/api/v1/namespaces/default/configmaps/settings", body=live)

    before_writes(target, touch, times=1000)
    with pytest.raises(TargetUnavailable, match="changed faster than it can be written"):
        put(target, SETTINGS, changed(value, color="blue"), [value])


def test_a_deletion_in_between_is_found(emulator: Emulator, target: Kubernetes) -> None:
    value = got(target, SETTINGS)
    before_writes(target, lambda: emulator.delete("configmap", "settings"))
    with pytest.raises(GuardFailed) as caught:
        put(target, SETTINGS, changed(value, color="blue"), [value])
    assert caught.value.found is None


def test_who_deletes_first_does_not_matter(emulator: Emulator, target: Kubernetes) -> None:
    value = got(target, SETTINGS)
    before_writes(target, lambda: emulator.delete("configmap", "settings"))
    put(target, SETTINGS, None, [value])
    assert got(target, SETTINGS) is None


def test_a_creation_in_between_is_found(emulator: Emulator, target: Kubernetes) -> None:
    key = "k8s:default/configmaps/new"
    before_writes(target, lambda: emulator.create(config_map("new", color="green")))
    with pytest.raises(GuardFailed) as caught:
        put(target, key, config_map("new", color="blue"), [None])
    assert caught.value.found == config_map("new", color="green")


def test_a_deletion_spares_what_was_made_anew(emulator: Emulator, target: Kubernetes) -> None:
    value = got(target, SETTINGS)

    def remake() -> None:
        emulator.delete("configmap", "settings")
        emulator.create(config_map(color="green"))

    before_writes(target, remake)
    with pytest.raises(GuardFailed):
        put(target, SETTINGS, None, [value])
    assert got(target, SETTINGS)["data"] == {"color": "green"}


def test_what_finalizers_hold_is_as_good_as_deleted(
    emulator: Emulator, target: Kubernetes, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = got(target, SETTINGS)
    held = {**value, "metadata": {**value["metadata"], "finalizers": ["example.com/wait"]}}
    put(target, SETTINGS, held, [value])
    put(target, SETTINGS, None, [held])
    assert len(emulator.objects("configmaps", "default")) >= 1
    assert got(target, SETTINGS) is None
    assert SETTINGS not in anyio.run(target.list, "k8s:default/configmaps/")
    put(target, SETTINGS, None, [held])
    for act in (
        lambda: put(target, SETTINGS, value, [None]),
        lambda: anyio.run(target.admit, SETTINGS, value),
    ):
        with pytest.raises(TargetError, match=r"still being deleted.*finalizers"):
            act()


# ---- failures ----------------------------------------------------------------------------------------------


def test_refusals_name_the_cure_and_no_secret(guarded: Emulator, tmp_path: Path) -> None:
    emulator = guarded
    target = Kubernetes(emulator.write_kubeconfig(tmp_path / "config"))
    value = got(target, SETTINGS)
    emulator.faults.forbid("update", "configmaps")
    for act in (
        lambda: put(target, SETTINGS, changed(value, color="blue"), [value]),
        lambda: anyio.run(target.admit, SETTINGS, changed(value, color="blue")),
    ):
        with pytest.raises(TargetError, match=r"\(403\).*kubectl auth can-i") as caught:
            act()
        assert TOKEN not in str(caught.value)
    emulator.faults.forbid("get", "configmaps")
    with pytest.raises(TargetError, match=r"\(403\)"):
        got(target, SETTINGS)
    emulator.faults.clear()
    assert got(target, SETTINGS) == value


def test_wrong_credentials_are_named(guarded: Emulator, tmp_path: Path) -> None:
    path = guarded.write_kubeconfig(tmp_path / "config")
    path.write_text(path.read_text().replace(TOKEN, "another-secret"))
    with pytest.raises(TargetError, match=r"\(401\).*log in again") as caught:
        got(Kubernetes(path), SETTINGS)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("code", [500, 503, 504, 429])
def test_a_server_in_trouble_is_named(emulator: Emulator, target: Kubernetes, code: int) -> None:
    target.canonical(SETTINGS)
    emulator.faults.retry_after_s = 60  # longer than anybody waits
    emulator.faults.fail_next(1, code)
    with pytest.raises(TargetUnavailable, match=rf"\({code}\).*Try again"):
        got(target, SETTINGS)
    assert got(target, SETTINGS)["data"] == {"color": "red"}


@pytest.mark.parametrize("code", [500, 503, 504])
@pytest.mark.parametrize("after", [False, True])
def test_a_write_whose_answer_is_lost_is_looked_after(
    emulator: Emulator, target: Kubernetes, code: int, after: bool
) -> None:
    def troubled(act: Callable[[], None]) -> None:
        before_writes(target, lambda: emulator.faults.fail_next(1, code, after))
        act()

    value, key = got(target, SETTINGS), "k8s:default/configmaps/new"
    troubled(lambda: put(target, SETTINGS, changed(value, color="blue"), [value]))
    assert got(target, SETTINGS) == changed(value, color="blue")
    troubled(lambda: put(target, key, config_map("new", x="1"), [None]))
    assert got(target, key)["data"] == {"x": "1"}
    troubled(lambda: put(target, key, None, [config_map("new", x="1")]))
    assert got(target, key) is None


@pytest.mark.usefixtures("soon_given_up")
def test_a_server_that_stays_in_trouble_is_given_up(emulator: Emulator, target: Kubernetes) -> None:
    value = got(target, SETTINGS)
    emulator.faults.fail_next(100, 503)
    with pytest.raises(TargetUnavailable, match=r"\(503\)"):
        put(target, SETTINGS, changed(value, color="blue"), [value])
    emulator.faults.clear()
    assert got(target, SETTINGS) == value


def test_a_server_that_does_not_answer_is_named(emulator: Emulator, tmp_path: Path) -> None:
    target = Kubernetes(emulator.write_kubeconfig(tmp_path / "config"), timeout_s=0.3)
    target.canonical(SETTINGS)
    emulator.faults.latency = 2
    with pytest.raises(TargetUnavailable, match=r"cannot be reached .*timeout.*Check that it runs"):
        got(target, SETTINGS)
    emulator.faults.clear()


def test_a_server_that_is_not_there_is_named(guarded: Emulator, tmp_path: Path) -> None:
    emulator = guarded
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
    path = emulator.write_kubeconfig(tmp_path / "config")
    path.write_text(path.read_text().replace(emulator.url, address))
    target = Kubernetes(path)
    for act in (lambda: target.canonical(SETTINGS), lambda: target.snapshot()):
        with pytest.raises(TargetUnavailable, match=f"{address} cannot be reached .*refused") as caught:
            act()
        assert TOKEN not in str(caught.value)
        assert "kubeconfig" in caught.value.cure


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # a TLS server leaves sockets
def test_certificates_are_checked(tmp_path: Path) -> None:
    with Emulator(token=TOKEN) as emulator, Emulator(token=TOKEN) as other:
        path = emulator.write_kubeconfig(tmp_path / "config")
        target = Kubernetes(path)
        assert got(target, SETTINGS) is None
        path.write_text(path.read_text().replace(emulator.url, other.url))
        with pytest.raises(TargetError, match=r"cannot be reached .*certificate") as caught:
            Kubernetes(path).snapshot()
        assert TOKEN not in str(caught.value)
        anyio.run(target.close)
    gc.collect()


def test_a_kubeconfig_that_cannot_be_used_is_named(guarded: Emulator, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text("{a: [")
    good = guarded.write_kubeconfig(tmp_path / "config")
    for path, context in ((tmp_path / "none", None), (broken, None), (good, "nowhere")):
        with pytest.raises(TargetError, match=str(path)) as caught:
            Kubernetes(path, context=context)
        assert "kubectl config get-contexts" in caught.value.cure
        assert TOKEN not in str(caught.value)


def test_a_put_whose_object_others_changed_and_changed_back_asks_once_more(
    target: Kubernetes, emulator: Emulator, tmp_path: Path
) -> None:
    red = got(target, SETTINGS)
    other = Kubernetes(emulator.write_kubeconfig(tmp_path / "other"), timeout_s=5)
    asked = []

    class Late:
        """Lets others write the object, and take that back, before it says that the put is wanted."""

        def at_once(self) -> bool | None:
            return None

        async def ask(self) -> bool:
            asked.append(len(written(emulator)))
            if len(asked) > 1:
                return False
            await other.put(Key(SETTINGS), changed(red, color="green"), expected=[red])
            await other.put(Key(SETTINGS), red, expected=[changed(red, color="green")])
            return True

    async def main() -> None:
        with last_word_of(Late()), pytest.raises(NotWanted):
            await target.put(Key(SETTINGS), changed(red, color="blue"), expected=[red])
        await other.close()

    anyio.run(main)
    assert len(asked) == 2
    assert written(emulator) == ["PUT", "PUT", "PUT"], "two of others, and one that came too late"
    assert got(target, SETTINGS) == red
