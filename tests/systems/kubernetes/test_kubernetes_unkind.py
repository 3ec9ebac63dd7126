"""Agents at a cluster that is unkind in every way at once, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
import yaml
from clusters import Json, config_map, deployment

import coagent
from coagent.systems.kubernetes import server as kubernetes_server
from coagent.systems.kubernetes.tools import KUBERNETES_TOOLS
from coagent.targets import Kubernetes
from kube_emulator import Emulator

POD: Json = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "one", "namespace": "default"},
    "spec": {"containers": [{"name": "one", "image": "one:v1"}]},
}
RULES = [
    {
        "name": "team.example.com",
        "plural": "configmaps",
        "operations": ["CREATE"],
        "merge": {"metadata": {"labels": {"team": "x"}}},
    },
    {
        "name": "small.example.com",
        "plural": "deployments",
        "where": {"spec": {"replicas": 9}},
        "refuse": "at most 8 replicas",
    },
]


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Path]:
    """The kubeconfig of an emulator in a process of its own."""
    rules, manifests, config = tmp_path / "rules.yaml", tmp_path / "all.yaml", tmp_path / "config"
    rules.write_text(yaml.safe_dump_all(RULES))
    initial = [config_map(a="1"), deployment(), POD, *(config_map(f"c{number}") for number in range(8))]
    manifests.write_text(yaml.safe_dump_all(initial))
    command = [sys.executable, "-m", "kube_emulator", "--kubeconfig", str(config), "-f", str(manifests)]
    command += ["--grace", "0.4", "--history", "4", "--throttle", "5", "--retry-after", "0"]
    command += ["--conflict", "2", "--webhook", str(rules)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.readline()
        yield config
        process.terminate()
        process.wait(timeout=10)


async def refused(session: Any, tool: str, **arguments: Any) -> str:
    with pytest.raises(coagent.CoAgentError) as caught:
        await session.call(tool, **arguments)
    return str(caught.value)


async def at_work(config: Path) -> None:
    target = Kubernetes(config, namespace="default")
    async with coagent.open_domain("memory:", targets=[target], tools=[KUBERNETES_TOOLS]) as domain:
        a, b, c = [await domain.join(name) for name in "ABC"]
        settings = {"kind": "cm", "name": "settings"}
        for number in range(4):
            await b.call("kube_patch", **settings, patch={"data": {f"b{number}": "1"}})
            await a.call("kube_patch", **settings, patch={"data": {f"a{number}": "1"}})
            await c.call("kube_create", manifest=config_map(f"new{number}"))
        assert "at most 8 replicas" in await refused(a, "kube_scale", name="geo", replicas=9)
        await a.call("kube_scale", name="geo", replicas=8)
        await c.call("kube_delete", kind="pod", name="one")
        await c.abort()  # so the pod has to come back, whose name is taken for a while
        await b.call("kube_delete", kind="pod", name="one")
        await b.call(
            "kube_create", manifest={**POD, "spec": {"containers": [{"name": "one", "image": "two"}]}}
        )
        for session in (a, b):
            while session.state != "committed":
                await session.finish(wait=True)
    found = target.snapshot()
    names = {f"{who}{number}" for who in "ab" for number in range(4)}
    assert found["k8s:default/configmaps/settings"]["data"].keys() == {"a", *names}
    assert found["k8s:default/configmaps/settings"]["metadata"]["labels"] == {"team": "x"}
    assert found["k8s:default/deployments/geo"]["spec"]["replicas"] == 8
    assert found["k8s:default/pods/one"]["spec"]["containers"][0]["image"] == "two"
    assert not any("/new" in key for key in found)
    await target.close()


def test_agents_end_as_one_after_another_at_a_cluster_that_is_unkind(config: Path) -> None:
    async def story() -> None:
        with anyio.fail_after(60):
            await at_work(config)

    anyio.run(story)


def test_a_list_whose_pages_are_forgotten_is_read_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubernetes_server, "_PAGE", 2)
    initial = [config_map(f"c{number}", a="1") for number in range(4)]
    with Emulator(initial=initial, history=2, token="", tls=False) as emulator:
        target = Kubernetes(emulator.write_kubeconfig(tmp_path / "config"), namespace="default")
        request, pages = target._server.request, []

        def busy(method: str, path: str, **options: Any) -> Json:
            if any(name == "continue" for name, _ in options.get("query", ())):
                pages.append(path)
                for number in range(4):
                    emulator.create(config_map(f"later{number}{len(pages)}", a="1"))
            return request(method, path, **options)

        monkeypatch.setattr(target._server, "request", busy)
        found = target.snapshot("k8s:default/configmaps/")
        assert len(pages) == 1
        assert {f"k8s:default/configmaps/later{number}1" for number in range(4)} < found.keys()
        anyio.run(target.close)


def test_a_server_with_too_much_to_do_is_asked_again_when_it_says(tmp_path: Path) -> None:
    with Emulator(initial=[config_map(a="1")], token="", tls=False) as emulator:
        target = Kubernetes(emulator.write_kubeconfig(tmp_path / "config"))
        target.canonical("k8s:default/configmaps/settings")
        emulator.faults.retry_after_s = 0
        emulator.faults.fail_next(20, 429)
        assert target.snapshot("k8s:default/configmaps/settings")
        anyio.run(target.close)
