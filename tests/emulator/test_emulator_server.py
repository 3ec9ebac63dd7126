"""What the server answers, asked without a socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from emulated import Clock, Json, config_map, deployment, in_process, service

from kube_emulator import ApiError, Emulator

MAPS = "/api/v1/namespaces/default/configmaps"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
Steps = Callable[[httpx.AsyncClient], Awaitable[None]]


def asked(emulator: Emulator, steps: Steps) -> None:
    async def run() -> None:
        async with in_process(emulator) as client:
            await steps(client)

    asyncio.run(run())


def one(emulator: Emulator, method: str, path: str, **more: Any) -> httpx.Response:
    found: list[httpx.Response] = []

    async def steps(client: httpx.AsyncClient) -> None:
        found.append(await client.request(method, path, **more))

    asked(emulator, steps)
    return found[0]


def made(**more: Any) -> Emulator:
    return Emulator(clock=Clock(), tls=False, **more)


def test_equal_requests_end_in_equal_objects() -> None:
    def run() -> tuple[Any, Any]:
        emulator = made(initial=[deployment(), service()])
        one(emulator, "PATCH", f"{DEPLOYMENTS}/web", json={"spec": {"replicas": 5}}, headers=merge())
        return emulator.objects("pods"), emulator.objects("deployments")

    assert run() == run()


def merge() -> dict[str, str]:
    return {"Content-Type": "application/merge-patch+json"}


def test_the_snapshot_tells_only_what_was_wanted() -> None:
    emulator = made(initial=[deployment(), service(), config_map(a="1")])
    assert sorted(emulator.snapshot()) == [
        "default/configmaps/settings",
        "default/deployments/web",
        "default/services/web",
    ]
    assert "status" not in emulator.snapshot()["default/deployments/web"]
    assert any("/pods/" in key for key in emulator.snapshot(derived=True))


def test_the_snapshot_does_not_tell_the_way() -> None:
    straight = made(initial=[deployment(image="nginx:1.26"), service()])
    detour = made(initial=[service(), deployment(image="nginx:1.24")])
    container = {"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "nginx:1.26"}]}}}}
    strategic = {"Content-Type": "application/strategic-merge-patch+json"}
    one(detour, "PATCH", f"{DEPLOYMENTS}/web", json=container, headers=strategic)
    assert straight.snapshot() == detour.snapshot()


def test_generation_counts_changes_of_the_spec_only() -> None:
    emulator = made(initial=[deployment()])
    path = f"{DEPLOYMENTS}/web"
    labelled = one(emulator, "PATCH", path, json={"metadata": {"labels": {"a": "b"}}}, headers=merge()).json()
    assert labelled["metadata"]["generation"] == 1
    scaled = one(emulator, "PATCH", path, json={"spec": {"replicas": 1}}, headers=merge()).json()
    assert scaled["metadata"]["generation"] == 2
    latest = one(emulator, "GET", path).json()
    assert int(latest["metadata"]["resourceVersion"]) > int(scaled["metadata"]["resourceVersion"])
    assert (latest["metadata"]["generation"], latest["status"]["observedGeneration"]) == (2, 2)


def test_a_write_that_changes_nothing_keeps_the_version() -> None:
    emulator = made(initial=[config_map(a="1")])
    before = one(emulator, "GET", f"{MAPS}/settings").json()
    after = one(emulator, "PATCH", f"{MAPS}/settings", json={"data": {"a": "1"}}, headers=merge()).json()
    assert after == before


def test_refusals_are_proper_statuses() -> None:
    emulator = made(initial=[config_map(a="1")])
    cases: list[tuple[str, str, dict[str, Any], int, str]] = [
        ("GET", f"{MAPS}/no", {}, 404, "NotFound"),
        ("GET", "/api/v1/nothings", {}, 404, "NotFound"),
        ("POST", MAPS, {"json": config_map(a="1")}, 409, "AlreadyExists"),
        ("POST", MAPS, {"content": b"{", "headers": {"Content-Type": "application/json"}}, 400, "BadRequest"),
        (
            "POST",
            MAPS,
            {"content": b"x", "headers": {"Content-Type": "text/html"}},
            415,
            "UnsupportedMediaType",
        ),
        ("PATCH", f"{MAPS}/settings", {"json": {}}, 415, "UnsupportedMediaType"),
        ("POST", MAPS, {"json": config_map("-")}, 422, "Invalid"),
        ("PUT", MAPS, {"json": {}}, 405, "MethodNotAllowed"),
        ("POST", MAPS, {"json": {"data": {"a": 1}, "metadata": {"name": "x"}}}, 400, "BadRequest"),
        ("POST", "/api/v1/namespaces/no/configmaps", {"json": config_map()}, 404, "NotFound"),
        ("GET", MAPS, {"params": {"fieldSelector": "data=1"}}, 400, "BadRequest"),
        ("GET", MAPS, {"headers": {"Authorization": "Bearer no"}}, 401, "Unauthorized"),
    ]
    for method, path, more, code, reason in cases:
        answer = one(emulator, method, path, **more)
        status = answer.json()
        assert (answer.status_code, status["kind"], status["code"]) == (code, "Status", code), (method, path)
        assert status["reason"] == reason


def test_every_broken_rule_is_a_cause() -> None:
    bad = deployment()
    bad["spec"]["template"]["metadata"]["labels"] = {"app": "other"}
    bad["spec"]["template"]["spec"]["containers"][0].pop("image")
    status = one(made(), "POST", DEPLOYMENTS, json=bad).json()
    assert [cause["field"] for cause in status["details"]["causes"]] == [
        "spec.template.metadata.labels",
        "spec.template.spec.containers[0].image",
    ]


def test_a_missing_selector_is_refused() -> None:
    bad = deployment()
    del bad["spec"]["selector"]
    status = one(made(), "POST", DEPLOYMENTS, json=bad).json()
    assert "spec.selector: Required value" in status["message"]


def test_defaults_are_filled_in() -> None:
    emulator = made(initial=[deployment(), service()])
    spec = emulator.snapshot()["default/deployments/web"]["spec"]
    assert (spec["revisionHistoryLimit"], spec["progressDeadlineSeconds"]) == (10, 600)
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": "25%", "maxUnavailable": "25%"}
    pod = spec["template"]["spec"]
    assert (pod["restartPolicy"], pod["dnsPolicy"], pod["securityContext"]) == ("Always", "ClusterFirst", {})
    assert pod["containers"][0]["imagePullPolicy"] == "IfNotPresent"
    spec = emulator.snapshot()["default/services/web"]["spec"]
    assert (spec["type"], spec["sessionAffinity"]) == ("ClusterIP", "None")
    assert spec["ports"] == [{"port": 80, "protocol": "TCP", "targetPort": 80}]
    assert spec["clusterIP"].startswith("10.9")


def test_pages_make_up_the_whole_list() -> None:
    emulator = made(initial=[config_map(f"c{number}") for number in range(5)])
    names: list[str] = []
    more: dict[str, str] = {"limit": "2"}
    while True:
        page = one(emulator, "GET", MAPS, params=more).json()
        names += [item["metadata"]["name"] for item in page["items"]]
        if "continue" not in page["metadata"]:
            break
        more["continue"] = page["metadata"]["continue"]
    assert names == ["c0", "c1", "c2", "c3", "c4", "kube-root-ca.crt"]


def test_a_watch_from_too_long_ago_is_gone() -> None:
    emulator = made(history=3, initial=[config_map(f"c{number}") for number in range(5)])
    answer = one(emulator, "GET", MAPS, params={"watch": "true", "resourceVersion": "1"})
    event = json.loads(answer.text.splitlines()[0])
    assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 410, "Expired")


def test_an_object_that_leaves_the_selection_is_deleted_for_the_watch() -> None:
    emulator = made()
    start = one(emulator, "GET", MAPS).json()["metadata"]["resourceVersion"]
    labelled = config_map()
    labelled["metadata"]["labels"] = {"a": "b"}
    emulator.create(labelled)
    change = {"metadata": {"labels": {"a": "c"}}}
    one(emulator, "PATCH", f"{MAPS}/settings", json=change, headers=merge())
    query = {"watch": "1", "resourceVersion": start, "labelSelector": "a=b", "timeoutSeconds": "0.01"}
    answer = one(emulator, "GET", MAPS, params=query)
    assert [json.loads(line)["type"] for line in answer.text.splitlines()] == ["ADDED", "DELETED"]


def test_injected_faults_come_and_go() -> None:
    emulator = made(initial=[config_map(a="1")])
    emulator.faults.forbid("patch", "configmaps")
    change = {"json": {"data": {"a": "2"}}, "headers": merge()}
    assert one(emulator, "PATCH", f"{MAPS}/settings", **change).status_code == 403
    assert one(emulator, "GET", f"{MAPS}/settings").status_code == 200
    emulator.faults.clear()
    emulator.faults.fail_next(2, 503)
    codes = [one(emulator, "GET", f"{MAPS}/settings").status_code for _ in range(3)]
    assert codes == [503, 503, 200]


def test_a_lost_reply_follows_a_done_write() -> None:
    emulator = made(initial=[config_map(a="1")])
    emulator.faults.fail_next(1, 504, after=True)
    change = {"json": {"data": {"a": "2"}}, "headers": merge()}
    assert one(emulator, "PATCH", f"{MAPS}/settings", **change).status_code == 504
    assert emulator.snapshot()["default/configmaps/settings"]["data"] == {"a": "2"}


def test_requests_are_recorded() -> None:
    emulator = made()
    one(emulator, "GET", MAPS)
    assert emulator.requests == [("GET", MAPS)]


def test_finalizers_hold_an_object() -> None:
    held = config_map()
    held["metadata"]["finalizers"] = ["example.com/hold"]
    emulator = made(initial=[held])
    one(emulator, "DELETE", f"{MAPS}/settings")
    assert "deletionTimestamp" in one(emulator, "GET", f"{MAPS}/settings").json()["metadata"]
    one(emulator, "PATCH", f"{MAPS}/settings", json={"metadata": {"finalizers": None}}, headers=merge())
    assert one(emulator, "GET", f"{MAPS}/settings").status_code == 404


def test_a_selected_collection_is_deleted() -> None:
    keep, drop = config_map("keep"), config_map("drop")
    drop["metadata"]["labels"] = {"old": "yes"}
    emulator = made(initial=[keep, drop])
    one(emulator, "DELETE", MAPS, params={"labelSelector": "old=yes"})
    assert list(emulator.snapshot()) == ["default/configmaps/keep"]


def test_an_initial_manifest_that_is_wrong_is_refused() -> None:
    with pytest.raises(ApiError) as caught:
        made(initial=[config_map("Bad_Name")])
    assert caught.value.code == 422


def state_of(emulator: Emulator) -> Json:
    pods = emulator.objects("pods", "default")
    states = [next(iter(pod["status"]["containerStatuses"]))["state"] for pod in pods]
    return states[0] if states else {}


def test_the_images_that_exist_can_be_told() -> None:
    emulator = made(images={"nginx:1.25"}, initial=[deployment(replicas=1)])
    assert "running" in state_of(emulator)
    emulator = made(images={"other:1"}, initial=[deployment(replicas=1)])
    assert state_of(emulator)["waiting"]["reason"] == "ImagePullBackOff"
    assert emulator.objects("deployments")[0]["status"]["unavailableReplicas"] == 1


def test_a_rollout_keeps_to_its_limits_at_every_step() -> None:
    emulator = made(initial=[deployment(replicas=4)])
    pods = "/api/v1/namespaces/default/pods"
    listed = one(emulator, "GET", pods).json()
    held = {pod["metadata"]["name"] for pod in listed["items"]}
    strategic = {"Content-Type": "application/strategic-merge-patch+json"}
    change = {"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "nginx:2"}]}}}}
    one(emulator, "PATCH", f"{DEPLOYMENTS}/web", json=change, headers=strategic)
    query = {"watch": "1", "resourceVersion": listed["metadata"]["resourceVersion"], "timeoutSeconds": "0.01"}
    for line in one(emulator, "GET", pods, params=query).text.splitlines():
        event = json.loads(line)
        name = event["object"]["metadata"]["name"]
        held = held - {name} if event["type"] == "DELETED" else held | {name}
        assert 3 <= len(held) <= 5, "25% of 4 may be missing, 25% too many"
    images = {pod["spec"]["containers"][0]["image"] for pod in emulator.objects("pods")}
    assert (len(held), images) == (4, {"nginx:2"})


def test_a_pod_waits_for_what_it_refers_to() -> None:
    manifest = deployment(replicas=1)
    container = manifest["spec"]["template"]["spec"]["containers"][0]
    container["envFrom"] = [{"configMapRef": {"name": "settings"}}]
    emulator = made(initial=[manifest])
    assert state_of(emulator)["waiting"] == {
        "reason": "CreateContainerConfigError",
        "message": 'configmap "settings" not found',
    }
    emulator.create(config_map())
    assert "running" in state_of(emulator)


def test_a_pod_waits_for_its_node() -> None:
    wanted = deployment(replicas=1, nodeSelector={"kubernetes.io/hostname": "node-9"})
    emulator = made(initial=[wanted])
    assert emulator.objects("pods")[0]["status"]["conditions"][0]["reason"] == "Unschedulable"
    emulator.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-9"}})
    assert emulator.objects("pods")[0]["spec"]["nodeName"] == "node-9"


def test_endpoints_follow_the_ready_pods() -> None:
    emulator = made(initial=[service(), deployment(replicas=3)])
    assert len(emulator.objects("endpoints")[0]["subsets"][0]["addresses"]) == 3
    one(emulator, "PATCH", f"{DEPLOYMENTS}/web", json={"spec": {"replicas": 0}}, headers=merge())
    assert "subsets" not in emulator.objects("endpoints")[0]


def test_a_deleted_owner_takes_its_objects_along() -> None:
    emulator = made(initial=[deployment()])
    emulator.delete("deployment", "web")
    assert emulator.objects("pods") == emulator.objects("replicasets") == []


def test_a_namespace_takes_its_objects_along() -> None:
    emulator = made(initial=[{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}])
    emulator.create(deployment(), namespace="shop")
    emulator.delete("namespace", "shop")
    assert emulator.snapshot(derived=True).keys() == made().snapshot(derived=True).keys()


def test_stateful_sets_number_their_pods_and_claims() -> None:
    manifest = deployment("db")
    manifest["kind"] = "StatefulSet"
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    manifest["spec"] |= {
        "serviceName": "db",
        "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim}],
    }
    emulator = made(initial=[manifest])
    assert [pod["metadata"]["name"] for pod in emulator.objects("pods")] == ["db-0", "db-1"]
    assert [one["metadata"]["name"] for one in emulator.objects("pvc")] == ["data-db-0", "data-db-1"]
    assert emulator.objects("statefulsets")[0]["status"]["readyReplicas"] == 2


def test_daemon_sets_have_one_pod_on_each_node() -> None:
    manifest = deployment("agent")
    manifest["kind"] = "DaemonSet"
    del manifest["spec"]["replicas"]
    emulator = made(initial=[manifest], nodes=("a", "b", "c"))
    assert sorted(pod["spec"]["nodeName"] for pod in emulator.objects("pods")) == ["a", "b", "c"]
    assert emulator.objects("daemonsets")[0]["status"]["numberReady"] == 3
