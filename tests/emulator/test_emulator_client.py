"""The official Python client, its dynamic part included, does not notice that it talks to an emulator."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from emulated import config_map, deployment

from kube_emulator import Emulator

kubernetes = pytest.importorskip("kubernetes", reason="the official client is not installed")


@pytest.fixture
def client(emulator: Emulator, tmp_path: Path) -> Iterator[Any]:
    config = emulator.write_kubeconfig(tmp_path / "kubeconfig")
    with kubernetes.config.new_client_from_config(str(config)) as made:
        yield made


@pytest.fixture
def dynamic(client: Any, tmp_path: Path) -> Any:
    return kubernetes.dynamic.DynamicClient(client, cache_file=str(tmp_path / "cache"))


def test_typed_objects_are_read_and_written(client: Any) -> None:
    apps = kubernetes.client.AppsV1Api(client)
    apps.create_namespaced_deployment("default", deployment())
    got = apps.read_namespaced_deployment("web", "default")
    assert (got.spec.replicas, got.status.ready_replicas) == (2, 2)
    apps.patch_namespaced_deployment("web", "default", {"spec": {"replicas": 3}})
    pods = kubernetes.client.CoreV1Api(client).list_namespaced_pod("default", label_selector="app=web")
    assert len(pods.items) == 3
    apps.delete_namespaced_deployment("web", "default")
    assert apps.list_namespaced_deployment("default").items == []


def test_a_replacement_of_an_old_version_conflicts(client: Any) -> None:
    core = kubernetes.client.CoreV1Api(client)
    seen = core.create_namespaced_config_map("default", config_map(a="1"))
    core.patch_namespaced_config_map("settings", "default", {"data": {"a": "2"}})
    with pytest.raises(kubernetes.client.ApiException) as caught:
        core.replace_namespaced_config_map("settings", "default", seen)
    assert caught.value.status == 409
    assert '"reason":"Conflict"' in caught.value.body


def test_the_dynamic_client_finds_kinds_and_applies(dynamic: Any) -> None:
    deployments = dynamic.resources.get(api_version="apps/v1", kind="Deployment")
    made = deployments.create(body=deployment(), namespace="default")
    assert made.metadata.generation == 1
    done = deployments.server_side_apply(
        body=deployment(image="nginx:1.26"), namespace="default", field_manager="test", force_conflicts=True
    )
    assert done.spec.template.spec.containers[0].image == "nginx:1.26"
    maps = dynamic.resources.get(api_version="v1", kind="ConfigMap")
    assert [one.metadata.name for one in maps.get(namespace="default").items] == ["kube-root-ca.crt"]


def test_a_watch_starts_where_the_list_ended(client: Any) -> None:
    core = kubernetes.client.CoreV1Api(client)
    start = core.list_namespaced_config_map("default").metadata.resource_version
    core.create_namespaced_config_map("default", config_map(a="1"))
    core.patch_namespaced_config_map("settings", "default", {"data": {"a": "2"}})
    core.delete_namespaced_config_map("settings", "default")
    events = []
    watch = kubernetes.watch.Watch()
    for event in watch.stream(core.list_namespaced_config_map, "default", resource_version=start):
        events.append((event["type"], event["object"].data["a"]))
        if event["type"] == "DELETED":
            watch.stop()
    assert events == [("ADDED", "1"), ("MODIFIED", "2"), ("DELETED", "2")]
