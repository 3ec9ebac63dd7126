"""The Kubernetes tools in a domain: alone, by two agents at one cluster, beside kubectl, in failure."""

from __future__ import annotations

import copy
import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
import yaml
from clusters import Json, Kubectl, config_map, custom, deployment

import coagent
from coagent.systems.kubernetes.strategic_merge import merge, merge_strategically
from coagent.systems.kubernetes.tools import KUBERNETES_TOOLS
from coagent.targets import Kubernetes
from kube_emulator import Emulator

Session = Any
Story = Callable[[Session, Session], Awaitable[None]]


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    initial = [
        config_map(color="red"),
        deployment(tier="api"),
        deployment("web", "web:v1", tier="web", track="canary"),
    ]
    with Emulator(initial=initial, token="", tls=False) as emulator:
        yield emulator


def tell(emulator: Emulator, folder: Path, story: Story, **options: Any) -> None:
    """Let a story happen to A, who comes first in the order, and B; both are finished at its end."""

    async def main() -> None:
        target = Kubernetes(emulator.write_kubeconfig(folder / "config"), namespace="default")
        given: dict[str, Any] = {"targets": [target], "tools": [KUBERNETES_TOOLS], **options}
        async with coagent.open_domain("memory:", **given) as domain:
            a, b = await domain.join("A"), await domain.join("B")
            await story(a, b)
            for session in (a, b):
                while session.state not in ("committed", "aborted"):
                    await session.finish(wait=True)

    anyio.run(main)


async def value(session: Session, tool: str, /, **arguments: Any) -> Any:
    outcome = await session.call(tool, **arguments)
    assert outcome.notifications == []
    return outcome.value


async def fails(session: Session, tool: str, /, **arguments: Any) -> str:
    with pytest.raises(coagent.CoAgentError) as caught:
        await session.call(tool, **arguments)
    said = str(caught.value)
    assert caught.value.cure or said.startswith("the target refused"), said
    return said


def live(emulator: Emulator, kind: str, name: str, namespace: str = "default") -> Json:
    return next(one for one in emulator.objects(kind, namespace) if one["metadata"]["name"] == name)


def image(emulator: Emulator, name: str = "geo") -> str:
    found = live(emulator, "deployments", name)["spec"]["template"]["spec"]["containers"][0]["image"]
    return str(found)


# ---- one agent ---------------------------------------------------------------------------------------------


def test_objects_are_read(emulator: Emulator, tmp_path: Path) -> None:
    async def story(a: Session, b: Session) -> None:
        geo = await value(a, "kube_get", kind="deploy", name="geo")
        assert geo["spec"]["replicas"] == 1
        assert "status" not in geo
        with_status = await value(a, "kube_get", kind="deploy", name="geo", include_status=True)
        assert with_status["status"]["readyReplicas"] == 1
        assert await value(a, "kube_get", kind="deploy", name="geo", path="/spec/replicas") == 1
        assert await value(a, "kube_get", kind="deploy", name="geo", path="/spec/paused") is None
        assert (await value(a, "kube_get", kind="node", name="node-1"))["kind"] == "Node"
        assert await value(a, "kube_list", kind="pods") == []
        (pod,) = await value(a, "kube_list", kind="pods", include_status=True, label_selector="app=geo")
        assert pod["status"]["phase"] == "Running"
        assert pod["spec"]["containers"][0]["image"] == "geo:v1"
        assert len(await value(a, "kube_list", kind="nodes")) == 2

    tell(emulator, tmp_path, story)


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("", ["geo", "web"]),
        ("app=geo", ["geo"]),
        ("app==geo", ["geo"]),
        ("app!=geo", ["web"]),
        ("track!=canary", ["geo"]),
        ("track", ["web"]),
        ("!track", ["geo"]),
        ("tier in (web, api)", ["geo", "web"]),
        ("tier in (web),app", ["web"]),
        ("tier notin (web)", ["geo"]),
        ("track notin(canary)", ["geo"]),
        ("app in(geo,web), tier!=api", ["web"]),
        ("nothing=x", []),
    ],
)
def test_label_selectors_choose(emulator: Emulator, tmp_path: Path, selector: str, names: list[str]) -> None:
    async def story(a: Session, b: Session) -> None:
        found = await value(a, "kube_list", kind="deployments", label_selector=selector)
        assert [one["metadata"]["name"] for one in found] == names

    tell(emulator, tmp_path, story)
    shown = Kubectl(emulator, tmp_path)("get", "deployments", "-l", selector, "-o", "name").split()
    assert shown == [f"deployment.apps/{name}" for name in names]


def test_manifests_are_applied(emulator: Emulator, tmp_path: Path) -> None:
    text = f"""
# several documents
---
{yaml.safe_dump(config_map("one", a="1"))}
---
---
apiVersion: v1
kind: List
items: [{json.dumps(config_map("two", b="2"))}, {json.dumps(deployment("geo", "geo:v2"))}]
---
apiVersion: v1
kind: Namespace
metadata: {{name: shop}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: three, namespace: shop, annotations: {{since: "2024-01-01"}}}}
data: {{8080: "port", c: '3'}}
"""

    async def story(a: Session, b: Session) -> None:
        assert await value(a, "kube_apply", manifest=text) == [
            'configmaps "one" created',
            'configmaps "two" created',
            'deployments "geo" configured',
            'namespaces "shop" created',
            'configmaps "three" created',
        ]
        assert await value(a, "kube_apply", manifest=config_map("one", a="2", d="4"))
        four = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "four"}, "data": {"e": "5"}}
        assert await value(a, "kube_apply", manifest=four, namespace="shop")
        assert await value(a, "kube_create", manifest=json.dumps(config_map("five")))

    before = emulator.snapshot()
    tell(emulator, tmp_path, story)
    assert live(emulator, "configmaps", "one")["data"] == {"a": "2", "d": "4"}
    assert live(emulator, "configmaps", "three", "shop")["data"] == {"8080": "port", "c": "3"}
    assert live(emulator, "configmaps", "four", "shop")["data"] == {"e": "5"}
    assert image(emulator) == "geo:v2"
    assert live(emulator, "deployments", "geo")["metadata"]["labels"] == {"app": "geo", "tier": "api"}

    async def take_back(a: Session, b: Session) -> None:
        for name in ("one", "two", "five"):
            await value(a, "kube_delete", kind="cm", name=name)
        said = await fails(a, "kube_delete", kind="ns", name="shop")
        assert 'would delete 2 objects with it, such as configmaps "four"' in said
        for name in ("three", "four"):
            await value(a, "kube_delete", kind="cm", name=name, namespace="shop")
        await value(a, "kube_delete", kind="ns", name="shop")
        await value(a, "kube_set_image", name="geo", image="geo:v1")

    tell(emulator, tmp_path, take_back)
    assert emulator.snapshot() == before


def test_dates_in_yaml_are_text(emulator: Emulator, tmp_path: Path) -> None:
    text = "{apiVersion: v1, kind: ConfigMap, metadata: {name: dated}, data: {since: 2024-01-01}}"

    async def story(a: Session, b: Session) -> None:
        await value(a, "kube_apply", manifest=text)

    tell(emulator, tmp_path, story)
    assert live(emulator, "configmaps", "dated")["data"] == {"since": "2024-01-01"}


def test_a_manifest_is_of_the_kind_that_its_version_says(emulator: Emulator, tmp_path: Path) -> None:
    emulator.create(custom("Service", "serving.example.com"))
    emulator.create(custom("Thing", "shop.example.com", namespaced=False))
    service = {
        "apiVersion": "serving.example.com/v1",
        "kind": "Service",
        "metadata": {"name": "x"},
        "size": 1,
    }
    thing = {"apiVersion": "shop.example.com/v1", "kind": "Thing", "metadata": {"name": "y"}, "size": 1}

    async def story(a: Session, b: Session) -> None:
        created = ['services.serving.example.com "x" created']
        assert await value(a, "kube_apply", manifest=service) == created
        assert await value(a, "kube_create", manifest=thing) == ['things.shop.example.com "y" created']
        assert (await value(a, "kube_get", kind="thing", name="y"))["size"] == 1
        name = "things.shop.example.com"
        assert "would delete 1 objects" in await fails(a, "kube_delete", kind="crd", name=name)
        wrong = {**deployment("old"), "apiVersion": "apps/v1beta1"}
        assert "not in apps/v1beta1" in await fails(a, "kube_apply", manifest=wrong)
        assert "no kind 'Pod.apps'" in await fails(
            a, "kube_apply", manifest={"apiVersion": "apps/v1", "kind": "Pod", "metadata": {"name": "p"}}
        )

    tell(emulator, tmp_path, story)
    assert live(emulator, "services.serving.example.com", "x")["size"] == 1


def test_objects_are_patched(emulator: Emulator, tmp_path: Path) -> None:
    side = {"spec": {"template": {"spec": {"containers": [{"name": "side", "image": "side:v1"}]}}}}

    async def story(a: Session, b: Session) -> None:
        patch = {"kind": "deploy", "name": "geo"}
        assert await value(a, "kube_patch", patch=side, **patch) == 'deployments "geo" patched'
        assert await value(a, "kube_patch", patch="{spec: {replicas: 3}}", type="merge", **patch)
        operations = [
            {"op": "test", "path": "/spec/replicas", "value": 3},
            {"op": "replace", "path": "/spec/replicas", "value": 2},
            {"op": "add", "path": "/metadata/labels/a~1b", "value": "c"},
        ]
        assert await value(a, "kube_patch", patch=operations, type="json", **patch)
        assert await value(a, "kube_patch", patch=json.dumps(operations[2:]), type="json", **patch)
        assert await value(a, "kube_set_image", name="geo", container="side", image="side:v2")
        assert await value(a, "kube_scale", name="geo", replicas=0) == 'deployments "geo" scaled'

    tell(emulator, tmp_path, story)
    geo = live(emulator, "deployments", "geo")
    containers = geo["spec"]["template"]["spec"]["containers"]
    assert {one["name"]: one["image"] for one in containers} == {"geo": "geo:v1", "side": "side:v2"}
    assert geo["spec"]["replicas"] == 0
    assert geo["metadata"]["labels"]["a/b"] == "c"


def test_images_of_pods_and_cron_jobs_are_set(emulator: Emulator, tmp_path: Path) -> None:
    pod = {"containers": [{"name": "c", "image": "c:v1"}], "restartPolicy": "Never"}
    schedule = {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": {"spec": pod}}}}
    emulator.create({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": pod})
    emulator.create(
        {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "j"}, "spec": schedule}
    )

    async def story(a: Session, b: Session) -> None:
        await value(a, "kube_set_image", kind="pod", name="p", image="c:v2")
        await value(a, "kube_set_image", kind="cronjob", name="j", image="c:v2")

    tell(emulator, tmp_path, story)
    assert live(emulator, "pods", "p")["spec"]["containers"][0]["image"] == "c:v2"
    template = live(emulator, "cronjobs", "j")["spec"]["jobTemplate"]["spec"]["template"]
    assert template["spec"]["containers"][0]["image"] == "c:v2"


# ---- patches -----------------------------------------------------------------------------------------------

ENV = [{"name": "X", "value": "1"}]
FIRST = {"name": "a", "image": "a:1", "env": ENV}
OTHER = {"name": "b", "image": "b:1"}
POD = {"containers": [FIRST], "hostNetwork": True}
NEW_ENV = [{"name": "X", "value": "2"}, {"name": "Y", "value": "3"}]
VOLUMES = [{"name": "v", "emptyDir": None}, {"name": "w", "$patch": "delete"}]


@pytest.mark.parametrize(
    ("patch", "result"),
    [
        ({"hostNetwork": None}, {"containers": [FIRST]}),
        ({"containers": [OTHER]}, {**POD, "containers": [FIRST, OTHER]}),
        ({"containers": [{"name": "a", "$patch": "delete"}]}, {**POD, "containers": []}),
        ({"containers": [{"$patch": "replace"}, OTHER]}, {**POD, "containers": [OTHER]}),
        ({"$patch": "replace", "hostPID": True}, {"hostPID": True}),
        ({"$retainKeys": ["hostPID"], "hostPID": True}, {"hostPID": True}),
        ({"volumes": VOLUMES}, {**POD, "volumes": [{"name": "v"}]}),
        ({"tolerations": [{"key": "k"}]}, {**POD, "tolerations": [{"key": "k"}]}),
        ({"containers": [{"name": "a", "env": NEW_ENV}]}, {**POD, "containers": [{**FIRST, "env": NEW_ENV}]}),
    ],
)
def test_strategic_patches_merge_by_name(patch: Json, result: Json) -> None:
    before = copy.deepcopy(POD)
    assert merge_strategically(POD, patch) == result
    assert before == POD


def test_merge_patches_are_those_of_rfc_7386() -> None:
    for current, patch, result in (
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ):
        assert merge(current, patch) == result


# ---- failures ----------------------------------------------------------------------------------------------


GEO = {"kind": "deploy", "name": "geo"}
TEST = [{"op": "test", "path": "/spec/replicas", "value": 9}]


@pytest.mark.parametrize(
    ("tool", "arguments", "says"),
    [
        ("kube_get", {"kind": "deploy", "name": "gep"}, "Did you mean 'geo'?"),
        ("kube_get", {"kind": "deploy", "name": "gep", "path": "/spec"}, "Did you mean 'geo'?"),
        ("kube_get", {"kind": "secret", "name": "x"}, 'secrets "x" not found. There are: none.'),
        ("kube_get", {"kind": "deploments", "name": "geo"}, "Did you mean 'deployments'?"),
        ("kube_get", {**GEO, "path": "spec.replicas"}, "Write it like /spec/replicas"),
        ("kube_create", {"manifest": config_map()}, "already exists. Use kube_apply"),
        ("kube_create", {"manifest": [1]}, "manifest"),
        ("kube_apply", {"manifest": "kind: [x"}, "neither YAML nor JSON"),
        ("kube_apply", {"manifest": "# nothing\n---\n"}, "the manifest is empty"),
        ("kube_apply", {"manifest": "just text"}, "lacks kind or metadata.name"),
        ("kube_apply", {"manifest": {"kind": "Pod", "metadata": ["x"]}}, "lacks kind or metadata.name"),
        ("kube_apply", {"manifest": config_map("n", "nowhere")}, 'namespaces "nowhere" not found'),
        ("kube_apply", {"manifest": config_map("Not_A_Name")}, "(422)"),
        ("kube_patch", {**GEO, "patch": {"spec": {"replica": 1}}}, "unknown field"),
        ("kube_patch", {**GEO, "patch": {"metadata": {"name": "b"}}}, "would rename"),
        ("kube_patch", {**GEO, "patch": [1], "type": "json"}, "does not apply"),
        ("kube_patch", {**GEO, "patch": {"a": 1}, "type": "json"}, "is a list"),
        ("kube_patch", {**GEO, "patch": [1], "type": "merge"}, "is a mapping"),
        ("kube_patch", {**GEO, "patch": "a: 1\n---\nb: 1"}, "is one document"),
        (
            "kube_patch",
            {**GEO, "type": "json", "patch": TEST},
            "does not apply",
        ),
        ("kube_set_image", {"name": "geo", "image": "x", "container": "y"}, "Its containers are: geo."),
        ("kube_set_image", {"name": "settings", "image": "x", "kind": "cm"}, "has no containers"),
        ("kube_scale", {"name": "geo", "replicas": -1}, "Pass 0 or more"),
        ("kube_scale", {"name": "settings", "replicas": 1, "kind": "cm"}, "unknown field"),
        ("kube_delete", {"kind": "deploy", "name": "gep"}, "Did you mean 'geo'?"),
        ("kube_delete", {"kind": "ns", "name": "default"}, "would delete"),
    ],
)
def test_failures_name_cause_and_cure_and_change_nothing(
    emulator: Emulator, tmp_path: Path, tool: str, arguments: Json, says: str
) -> None:
    before = emulator.snapshot(derived=True)

    async def story(a: Session, b: Session) -> None:
        assert says in await fails(a, tool, **arguments)
        assert emulator.snapshot(derived=True) == before

    tell(emulator, tmp_path, story)
    assert emulator.snapshot(derived=True) == before


def test_a_write_refused_at_the_end_takes_the_others_back(emulator: Emulator, tmp_path: Path) -> None:
    before = emulator.snapshot()
    documents = [config_map("a"), deployment("geo", "geo:v9"), config_map("z", "nowhere")]

    async def story(a: Session, b: Session) -> None:
        said = await fails(a, "kube_apply", manifest="---\n".join(yaml.safe_dump(one) for one in documents))
        assert 'namespaces "nowhere" not found' in said
        assert emulator.snapshot() == before
        await value(a, "kube_scale", name="geo", replicas=2)

    tell(emulator, tmp_path, story)
    assert live(emulator, "deployments", "geo")["spec"]["replicas"] == 2


@pytest.mark.parametrize("after", [False, True])
def test_a_lost_answer_costs_nothing(
    emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    request, lost = Kubernetes._request, []

    def lossy(self: Kubernetes, method: str, path: str, **rest: Any) -> Any:
        if method == "PUT" and not rest.get("query") and not lost:
            lost.append(path)
            emulator.faults.fail_next(1, 503, after)
        return request(self, method, path, **rest)

    monkeypatch.setattr(Kubernetes, "_request", lossy)

    async def story(a: Session, b: Session) -> None:
        assert await value(a, "kube_scale", name="geo", replicas=4)
        await b.call("kube_get", kind="deploy", name="geo")

    tell(emulator, tmp_path, story)
    assert lost
    assert live(emulator, "deployments", "geo")["spec"]["replicas"] == 4


def test_a_server_in_trouble_fails_the_call_and_the_next_one_goes_through(
    emulator: Emulator, tmp_path: Path
) -> None:
    before = emulator.snapshot()

    async def story(a: Session, b: Session) -> None:
        await value(a, "kube_get", kind="deploy", name="geo")
        emulator.faults.fail_next(100, 503)
        assert "(503)" in await fails(a, "kube_scale", name="geo", replicas=4)
        emulator.faults.clear()
        assert emulator.snapshot() == before
        assert await value(a, "kube_scale", name="geo", replicas=4)

    tell(emulator, tmp_path, story, patience_s=0.5)
    assert live(emulator, "deployments", "geo")["spec"]["replicas"] == 4


# ---- two agents --------------------------------------------------------------------------------------------


def test_only_what_was_read_is_news(emulator: Emulator, tmp_path: Path) -> None:
    async def story(a: Session, b: Session) -> None:
        await value(b, "kube_get", kind="deploy", name="geo", path="/spec/replicas")
        await value(a, "kube_set_image", name="geo", image="geo:v2")
        assert not b.notified
        await value(a, "kube_scale", name="geo", replicas=3)
        (notice,) = (await b.finish()).notifications
        assert (notice.part, notice.before, notice.after) == ("/spec/replicas", 1, 3)

    tell(emulator, tmp_path, story)


def test_objects_that_appear_are_news_to_who_has_listed_them(emulator: Emulator, tmp_path: Path) -> None:
    async def story(a: Session, b: Session) -> None:
        assert len(await value(b, "kube_list", kind="deploy", label_selector="app=geo")) == 1
        await value(a, "kube_create", manifest=config_map("other"))
        await value(a, "kube_create", manifest=deployment("new"))
        assert not b.notified  # what it chose is the same
        made = deployment("geo2")
        made["metadata"]["labels"] = {"app": "geo"}
        await value(a, "kube_create", manifest=made)
        assert b.notified

    tell(emulator, tmp_path, story)


def test_changes_of_one_object_come_together(emulator: Emulator, tmp_path: Path) -> None:
    async def story(a: Session, b: Session) -> None:
        await value(b, "kube_set_image", name="geo", image="geo:v2")
        await value(a, "kube_scale", name="geo", replicas=4)
        assert not b.notified

    tell(emulator, tmp_path, story)
    assert image(emulator) == "geo:v2"
    assert live(emulator, "deployments", "geo")["spec"]["replicas"] == 4


def test_a_person_with_kubectl_is_heard(emulator: Emulator, tmp_path: Path) -> None:
    kubectl = Kubectl(emulator, tmp_path)

    async def story(a: Session, b: Session) -> None:
        await value(a, "kube_scale", name="geo", replicas=2)
        await value(b, "kube_get", kind="deploy", name="geo", path="/spec/template/spec/containers/0/image")
        await anyio.to_thread.run_sync(kubectl, "set", "image", "deployment/geo", "geo=geo:v7")
        await value(a, "kube_scale", name="geo", replicas=3)
        (notice,) = (await b.finish()).notifications
        assert (notice.before, notice.after) == ("geo:v1", "geo:v7")

    tell(emulator, tmp_path, story)
    assert image(emulator) == "geo:v7"
    assert live(emulator, "deployments", "geo")["spec"]["replicas"] == 3


def test_kubectl_at_work_all_the_while_disturbs_nobody(emulator: Emulator, tmp_path: Path) -> None:
    kubectl = Kubectl(emulator, tmp_path)

    async def story(a: Session, b: Session) -> None:
        async def person() -> None:
            for number in range(5):
                note = f"note={number}"
                await anyio.to_thread.run_sync(kubectl, "annotate", "deployment/geo", note, "--overwrite")

        async with anyio.create_task_group() as group:
            group.start_soon(person)
            for number in range(15):
                await a.call("kube_scale", name="geo", replicas=number % 3)
                await b.call("kube_set_image", name="geo", image=f"geo:v{number}")

    tell(emulator, tmp_path, story)
    geo = live(emulator, "deployments", "geo")
    assert image(emulator) == "geo:v14"
    assert geo["spec"]["replicas"] == 2
    assert geo["metadata"]["annotations"]["note"] == "4"


@pytest.mark.parametrize("protocol_order", ["A first", "B first"])
def test_a_copy_of_what_is_being_repaired_is_repaired_too(
    emulator: Emulator, tmp_path: Path, protocol_order: str
) -> None:
    async def story(a: Session, b: Session) -> None:
        async def repair() -> None:
            await value(a, "kube_set_image", name="geo", image="geo:v1.3")

        if protocol_order == "A first":
            await repair()
        geo = await value(b, "kube_get", kind="deploy", name="geo")
        canary = deployment("geo-canary", geo["spec"]["template"]["spec"]["containers"][0]["image"])
        outcome = await b.call("kube_create", manifest=canary)
        if protocol_order == "B first":
            await repair()
            (notice,) = (await b.finish()).notifications
            assert "geo:v1.3" in notice.text
            assert notice.dependents == [outcome.call_id]
            canary["spec"]["template"]["spec"]["containers"][0]["image"] = "geo:v1.3"
            await b.amend(outcome.call_id, manifest=canary)
        assert not b.notified

    tell(emulator, tmp_path, story)
    assert image(emulator, "geo") == image(emulator, "geo-canary") == "geo:v1.3"


# ---- undo --------------------------------------------------------------------------------------------------


def test_undo_and_abort_restore_the_cluster(emulator: Emulator, tmp_path: Path) -> None:
    Kubectl(emulator, tmp_path)("apply", "-f", "-", stdin=json.dumps(config_map("applied", x="1")))
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "front"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]},
    }
    emulator.create(service)
    before = emulator.snapshot()

    async def story(a: Session, b: Session) -> None:
        for tool, arguments in (
            ("kube_scale", {"name": "geo", "replicas": 5}),
            ("kube_delete", {"kind": "deploy", "name": "web"}),
            ("kube_delete", {"kind": "svc", "name": "front"}),
            ("kube_create", {"manifest": deployment("new")}),
            ("kube_patch", {"kind": "cm", "name": "settings", "patch": {"data": None}}),
            ("kube_apply", {"manifest": config_map("applied", x="2")}),
            (
                "kube_apply",
                {"manifest": {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}},
            ),
        ):
            outcome = await b.call(tool, **arguments)
            assert emulator.snapshot() != before
            await b.undo(outcome.call_id)
            assert emulator.snapshot() == before, tool
            await b.call(tool, **arguments)
            await b.undo(f"B.{int(outcome.call_id.rpartition('.')[2]) + 1}")
        await b.call("kube_delete", kind="deploy", name="geo")
        await b.call("kube_create", manifest=deployment("geo", "other:v1"))
        await b.call("kube_create", manifest={**service, "metadata": {"name": "back"}})
        await b.call("kube_delete", kind="cm", name="settings")
        await b.abort()

    tell(emulator, tmp_path, story)
    assert emulator.snapshot() == before
