"""What an agent may do to a cluster is judged at its own place in the order, not by what later agents did."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest
import yaml
from clusters import Json, config_map, custom, deployment

import coagent
from coagent.systems.kubernetes.tools import KUBERNETES_TOOLS
from coagent.targets import Kubernetes
from kube_emulator import Emulator

Step = tuple[int, str, dict[str, Any]]
A, B = 0, 1
OTHER_SELECTOR = copy.deepcopy(deployment("web", "web:v1"))
OTHER_SELECTOR["spec"]["selector"] = {"matchLabels": {"x": "y"}}
OTHER_SELECTOR["spec"]["template"]["metadata"]["labels"] = {"x": "y"}
CLAIM: Json = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "data", "namespace": "default", "finalizers": ["kubernetes.io/pvc-protection"]},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}
MARK: Step = (B, "kube_patch", {"kind": "cm", "name": "settings", "patch": {"immutable": True}})


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator(token="", tls=False) as emulator:
        yield emulator


def play(emulator: Emulator, folder: Path, steps: Sequence[Step]) -> list[Any]:
    """Let agents do something one after another; return what came of each step, errors as text."""
    told: list[Any] = []

    async def main() -> None:
        target = Kubernetes(emulator.write_kubeconfig(folder / "config"), namespace="default")
        async with coagent.open_domain("memory:", targets=[target], tools=[KUBERNETES_TOOLS]) as domain:
            sessions = [await domain.join(name) for name in "ABC"]
            for who, tool, arguments in steps:
                try:
                    if tool == "abort":
                        told.append(await sessions[who].abort())
                    else:
                        told.append((await sessions[who].call(tool, **arguments)).value)
                except coagent.CoAgentError as error:
                    told.append(f"error: {error}")
            for session in sessions:
                while session.state not in ("committed", "aborted"):
                    await session.finish(wait=True)

    anyio.run(_within, main)
    return told


async def _within(main: Any) -> None:
    with anyio.fail_after(30):
        await main()


def live(emulator: Emulator, kind: str, name: str) -> Json | None:
    return next((one for one in emulator.objects(kind) if one["metadata"]["name"] == name), None)


def data_of(emulator: Emulator, name: str) -> Json:
    found = live(emulator, "configmaps", name)
    assert found is not None
    return dict(found["data"])


# ---- immutable ---------------------------------------------------------------------------------------------


def test_what_comes_before_a_mark_is_done_before_it(emulator: Emulator, tmp_path: Path) -> None:
    emulator.create(config_map(a="1"))
    change = {"kind": "cm", "name": "settings", "patch": {"data": {"b": "2"}}}
    assert "error" not in str(play(emulator, tmp_path, [MARK, (A, "kube_patch", change)]))
    found = live(emulator, "configmaps", "settings")
    assert found is not None
    assert (found["data"], found["immutable"]) == ({"a": "1", "b": "2"}, True)


def test_a_mark_goes_with_its_agent(emulator: Emulator, tmp_path: Path) -> None:
    emulator.create(config_map(a="1"))
    play(emulator, tmp_path, [MARK, (B, "abort", {})])
    found = live(emulator, "configmaps", "settings")
    assert found is not None
    assert "immutable" not in found


def test_what_comes_after_a_mark_is_refused_before_anything_is_written(
    emulator: Emulator, tmp_path: Path
) -> None:
    emulator.create(config_map(a="1"))
    delete: Step = (2, "kube_delete", {"kind": "cm", "name": "settings"})
    change = {"kind": "cm", "name": "settings", "patch": {"data": {"b": "2"}}}
    told = play(emulator, tmp_path, [MARK, delete, (B, "kube_patch", change)])
    assert "data: field is immutable" in told[2]
    assert live(emulator, "configmaps", "settings") is None


@pytest.mark.parametrize(
    ("kind", "initial", "patch"),
    [
        (
            "service",
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": "web"},
                "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]},
            },
            {"spec": {"clusterIP": "10.1.2.3"}},
        ),
        ("deployment", deployment("web"), {"spec": {"selector": {"matchLabels": {"app": "geo"}}}}),
        (
            "job",
            {
                "apiVersion": "batch/v1",
                "kind": "Job",
                "metadata": {"name": "web"},
                "spec": {
                    "template": {
                        "spec": {"restartPolicy": "Never", "containers": [{"name": "web", "image": "web:v1"}]}
                    }
                },
            },
            {"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "web:v2"}]}}}},
        ),
    ],
)
@pytest.mark.parametrize("deleted", [False, True])
def test_what_nobody_may_change_is_refused_whatever_later_agents_did(
    emulator: Emulator, tmp_path: Path, kind: str, initial: Json, patch: Json, deleted: bool
) -> None:
    emulator.create(initial)
    first: list[Step] = [(B, "kube_delete", {"kind": kind, "name": "web"})] if deleted else []
    told = play(
        emulator, tmp_path, [*first, (A, "kube_patch", {"kind": kind, "name": "web", "patch": patch})]
    )
    assert told[-1].startswith("error")
    assert "immutable" in told[-1] or "may not change" in told[-1] or "selector" in told[-1]
    assert (live(emulator, kind, "web") is None) is deleted


def test_a_job_may_be_labelled_though_a_later_agent_has_deleted_it(
    emulator: Emulator, tmp_path: Path
) -> None:
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "web"},
        "spec": {
            "template": {
                "spec": {"restartPolicy": "Never", "containers": [{"name": "web", "image": "web:v1"}]}
            }
        },
    }
    emulator.create(job)
    label = {"kind": "job", "name": "web", "patch": {"metadata": {"labels": {"team": "a"}}}}
    delete: Step = (B, "kube_delete", {"kind": "job", "name": "web"})
    told = play(emulator, tmp_path, [delete, (A, "kube_patch", label), (B, "abort", {})])
    assert "error" not in str(told)
    found = live(emulator, "jobs", "web")
    assert found is not None
    assert found["metadata"]["labels"]["team"] == "a"


def test_who_comes_first_creates_it_as_it_says(emulator: Emulator, tmp_path: Path) -> None:
    create = (deployment("web", "web:v2"), OTHER_SELECTOR)
    told = play(
        emulator,
        tmp_path,
        [(B, "kube_create", {"manifest": create[0]}), (A, "kube_create", {"manifest": create[1]})],
    )
    assert "error" not in str(told)
    found = live(emulator, "deployments", "web")
    assert found is not None
    assert found["spec"]["selector"] == {"matchLabels": {"x": "y"}}


def test_what_was_created_anew_is_as_before_where_its_agent_gives_up(
    emulator: Emulator, tmp_path: Path
) -> None:
    emulator.create(deployment("web", "web:v2"))
    steps: list[Step] = [
        (B, "kube_delete", {"kind": "deploy", "name": "web"}),
        (B, "kube_create", {"manifest": OTHER_SELECTOR}),
        (B, "abort", {}),
    ]
    play(emulator, tmp_path, steps)
    found = live(emulator, "deployments", "web")
    assert found is not None
    assert found["spec"]["selector"] == {"matchLabels": {"app": "web"}}


# ---- finalizers --------------------------------------------------------------------------------------------


def test_an_earlier_agent_changes_what_a_later_one_has_deleted_and_finalizers_hold(
    emulator: Emulator, tmp_path: Path
) -> None:
    emulator.create(CLAIM)
    label = {"kind": "pvc", "name": "data", "patch": {"metadata": {"labels": {"team": "a"}}}}
    told = play(
        emulator,
        tmp_path,
        [(B, "kube_delete", {"kind": "pvc", "name": "data"}), (A, "kube_patch", label)],
    )
    assert "error" not in str(told)


def test_a_deletion_that_hangs_stops_nobody_else(emulator: Emulator, tmp_path: Path) -> None:
    emulator.create(CLAIM)
    emulator.create(config_map(a="1"))
    change = {"kind": "cm", "name": "settings", "patch": {"data": {"b": "2"}}}
    told = play(
        emulator,
        tmp_path,
        [(B, "kube_delete", {"kind": "pvc", "name": "data"}), (B, "abort", {}), (A, "kube_patch", change)],
    )
    assert "error" not in str(told[2])
    assert data_of(emulator, "settings") == {"a": "1", "b": "2"}


# ---- names, kinds, namespaces, owners ----------------------------------------------------------------------


def test_a_generated_name_stays_when_its_call_runs_again(emulator: Emulator, tmp_path: Path) -> None:
    emulator.create(config_map("base", a="1"))
    generated = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "run-"}, "data": {}}
    told = play(
        emulator,
        tmp_path,
        [
            (B, "kube_create", {"manifest": generated}),
            (B, "kube_create", {"manifest": generated}),
            (A, "kube_create", {"manifest": config_map("first", a="1")}),
            (B, "kube_patch", {"kind": "cm", "name": "base", "patch": {"data": {"b": "2"}}}),
            (A, "kube_patch", {"kind": "cm", "name": "base", "patch": {"data": {"c": "3"}}}),
        ],
    )
    names = [one["metadata"]["name"] for one in emulator.objects("configmaps", "default")]
    made = sorted(name for name in names if name.startswith("run-"))
    assert len(made) == 2
    assert sorted(text.split('"')[1] for text in (*told[0], *told[1])) == made


def test_a_generated_name_is_another_where_one_is_taken(emulator: Emulator, tmp_path: Path) -> None:
    generated = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "run-"}, "data": {}}
    for folder in (tmp_path / "1", tmp_path / "2"):
        folder.mkdir()
        assert "error" not in str(play(emulator, folder, [(A, "kube_create", {"manifest": generated})]))
    names = [one["metadata"]["name"] for one in emulator.objects("configmaps", "default")]
    assert len([name for name in names if name.startswith("run-")]) == 2


def test_what_is_applied_has_a_name(emulator: Emulator, tmp_path: Path) -> None:
    generated = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "run-"}}
    told = play(emulator, tmp_path, [(A, "kube_apply", {"manifest": generated})])
    assert "metadata.name" in told[0]


@pytest.mark.parametrize("namespaced", [True, False])
@pytest.mark.parametrize("turned", [False, True])
def test_a_kind_and_its_object_come_and_go_in_one_call(
    emulator: Emulator, tmp_path: Path, namespaced: bool, turned: bool
) -> None:
    both = [
        custom("Apple", "example.com", namespaced=namespaced),
        {"apiVersion": "example.com/v1", "kind": "Apple", "metadata": {"name": "w"}, "spec": {"size": 1}},
    ]
    text = yaml.safe_dump_all(both[::-1] if turned else both)
    look = {"kind": "apple", "name": "w", "path": "/spec/size"}
    told = play(emulator, tmp_path, [(A, "kube_apply", {"manifest": text}), (B, "kube_get", look)])
    assert told[1] == 1
    (tmp_path / "again").mkdir()
    emulator.delete("apples", "w", "default")
    emulator.delete("crd", "apples.example.com", "")
    steps: list[Step] = [(A, "kube_apply", {"manifest": text}), (B, "kube_get", look), (A, "abort", {})]
    assert play(emulator, tmp_path / "again", steps)[1] == 1
    assert live(emulator, "crd", "apples.example.com") is None


def test_a_namespace_and_what_is_in_it_come_and_go_in_one_call(emulator: Emulator, tmp_path: Path) -> None:
    text = yaml.safe_dump_all(
        [
            config_map("c", "1team", a="1"),
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "1team"}},
        ]
    )
    assert "error" not in str(play(emulator, tmp_path, [(A, "kube_apply", {"manifest": text})]))
    assert data_of(emulator, "c") == {"a": "1"}
    emulator.delete("ns", "1team", "")
    (tmp_path / "again").mkdir()
    play(emulator, tmp_path / "again", [(A, "kube_apply", {"manifest": text}), (A, "abort", {})])
    assert live(emulator, "ns", "1team") is None


def test_an_owner_goes_by_its_name(emulator: Emulator, tmp_path: Path) -> None:
    emulator.create(config_map("parent", a="1"))
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "parent"}
    child = config_map("child", a="1")
    child["metadata"]["ownerReferences"] = [owner]
    steps: list[Step] = [
        (A, "kube_create", {"manifest": child}),
        (B, "kube_delete", {"kind": "cm", "name": "child"}),
        (B, "kube_delete", {"kind": "cm", "name": "parent"}),
        (B, "abort", {}),
    ]
    assert "error" not in str(play(emulator, tmp_path, steps))
    parent, found = live(emulator, "configmaps", "parent"), live(emulator, "configmaps", "child")
    assert parent is not None
    assert found is not None
    assert found["metadata"]["ownerReferences"][0]["uid"] == parent["metadata"]["uid"]


def test_an_object_without_its_owner_is_refused(emulator: Emulator, tmp_path: Path) -> None:
    child = config_map("child", a="1")
    child["metadata"]["ownerReferences"] = [{"apiVersion": "v1", "kind": "ConfigMap", "name": "nobody"}]
    told = play(emulator, tmp_path, [(A, "kube_create", {"manifest": child})])
    assert "'nobody' is not there" in told[0]
    assert live(emulator, "configmaps", "child") is None
