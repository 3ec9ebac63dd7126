"""A second opinion: what the emulator and kmock, written by somebody else, both say of an API server.

kmock 0.8 has no resource versions, no dry runs (it creates the object), no paging and no PUT, and answers 500
for what is missing or conflicts. So agents cannot write through it; what can be compared is here.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import kmock
import pytest
import yaml
from emulated import config_map

from coagent.systems.kubernetes.target import Kubernetes
from kube_emulator import Emulator

Json = dict[str, Any]
Story = Callable[[httpx.AsyncClient], Awaitable[None]]
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
MERGE = {"Content-Type": "application/merge-patch+json"}
VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"]


@asynccontextmanager
async def emulated() -> AsyncIterator[str]:
    emulator = Emulator(token="", tls=False)
    emulator.delete("cm", "kube-root-ca.crt")
    emulator.start()
    try:
        yield emulator.url
    finally:
        await anyio.to_thread.run_sync(emulator.stop)


@asynccontextmanager
async def mocked() -> AsyncIterator[str]:
    async with kmock.Server(kmock.KubernetesEmulator()) as server:
        server.handler.resources["v1/configmaps"] = {"kind": "ConfigMap", "namespaced": True, "verbs": VERBS}
        yield str(server.url)


@pytest.fixture(params=[emulated, mocked])
def tell(request: pytest.FixtureRequest) -> Callable[[Story], None]:
    """Let a story happen at one of the servers."""

    async def told(story: Story) -> None:
        async with request.param() as url, httpx.AsyncClient(base_url=url) as client:
            with anyio.fail_after(20):
                await story(client)

    return lambda story: anyio.run(told, story)


def held(name: str = "settings", **data: str) -> Json:
    made = config_map(name, **data)
    metadata = {**made["metadata"], "namespace": "default", "finalizers": ["example.com/wait"]}
    return {**made, "metadata": metadata}


async def names(client: httpx.AsyncClient) -> list[str]:
    return [one["metadata"]["name"] for one in (await client.get(CONFIG_MAPS)).json()["items"]]


def test_kinds_are_discovered(tell: Callable[[Story], None]) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        listed = (await client.get("/api/v1")).json()
        found = next(one for one in listed["resources"] if one["name"] == "configmaps")
        assert (found["kind"], found["namespaced"]) == ("ConfigMap", True)
        assert set(VERBS) <= set(found["verbs"])
        assert (await client.get("/apis")).json()["kind"] == "APIGroupList"

    tell(story)


def test_objects_are_created_patched_and_deleted(tell: Callable[[Story], None]) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        made = config_map(a="1")
        made["metadata"]["namespace"] = "default"
        assert (await client.post(CONFIG_MAPS, json=made)).is_success
        change = json.dumps({"data": {"b": "2"}})
        await client.patch(f"{CONFIG_MAPS}/settings", content=change, headers=MERGE)
        assert (await client.get(f"{CONFIG_MAPS}/settings")).json()["data"] == {"a": "1", "b": "2"}
        assert await names(client) == ["settings"]
        assert (await client.delete(f"{CONFIG_MAPS}/settings")).is_success
        assert await names(client) == []

    tell(story)


def test_what_finalizers_hold_goes_with_the_last_of_them(tell: Callable[[Story], None]) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        path = f"{CONFIG_MAPS}/settings"
        await client.post(CONFIG_MAPS, json=held(a="1"))
        await client.delete(path)
        marked = (await client.get(path)).json()["metadata"]
        assert marked["deletionTimestamp"]
        await client.delete(path)
        assert (await client.get(path)).json()["metadata"]["deletionTimestamp"] == marked["deletionTimestamp"]
        await client.patch(path, content=json.dumps({"metadata": {"finalizers": []}}), headers=MERGE)
        assert await names(client) == []

    tell(story)


def test_a_watch_tells_what_happens(tell: Callable[[Story], None]) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        async with client.stream("GET", CONFIG_MAPS, params={"watch": "true"}) as stream:
            made = config_map(a="1")
            made["metadata"]["namespace"] = "default"
            await client.post(CONFIG_MAPS, json=made)
            change = json.dumps({"data": {"b": "2"}})
            await client.patch(f"{CONFIG_MAPS}/settings", content=change, headers=MERGE)
            await client.delete(f"{CONFIG_MAPS}/settings")
            heard = []
            async for line in stream.aiter_lines():
                event = json.loads(line)
                heard.append((event["type"], event["object"]["data"]))
                if event["type"] == "DELETED":
                    break
        both = {"a": "1", "b": "2"}
        assert heard == [("ADDED", {"a": "1"}), ("MODIFIED", both), ("DELETED", both)]

    tell(story)


def test_the_target_reads_the_same_from_both(tell: Callable[[Story], None], tmp_path: Path) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        made = config_map("kept", a="1")
        made["metadata"]["namespace"] = "default"
        for one in (made, held("going", a="1")):
            await client.post(CONFIG_MAPS, json=one)
        await client.delete(f"{CONFIG_MAPS}/going")
        cluster = {"name": "c", "cluster": {"server": str(client.base_url).rstrip("/")}}
        context = {"name": "c", "context": {"cluster": "c", "user": "c"}}
        config = {"clusters": [cluster], "users": [{"name": "c", "user": {}}], "contexts": [context]}
        path = tmp_path / "config"
        path.write_text(yaml.safe_dump({**config, "current-context": "c", "kind": "Config"}))
        target = Kubernetes(path)
        prefix = "k8s:default/configmaps/"
        found = await anyio.to_thread.run_sync(target.snapshot, prefix)
        assert found == {f"{prefix}kept": made}
        assert target.canonical("k8s:default/ConfigMap/kept") == f"{prefix}kept"
        await target.close()

    tell(story)
