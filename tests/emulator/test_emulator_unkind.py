"""The emulator can be as unkind as a cluster: each way by itself, and all where it is started."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
import yaml
from emulated import config_map, in_process

from kube_emulator import Emulator, Webhook
from kube_emulator.__main__ import main

Json = dict[str, Any]
PODS, CONFIG_MAPS = "/api/v1/namespaces/default/pods", "/api/v1/namespaces/default/configmaps"
POD: Json = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "one", "namespace": "default"},
    "spec": {"containers": [{"name": "one", "image": "one:v1"}]},
}


async def until_gone(client: httpx.AsyncClient, path: str) -> None:
    with anyio.fail_after(10):
        while (await client.get(path)).status_code != 404:
            await anyio.sleep(0.02)


def test_a_deleted_pod_terminates_until_its_grace_period_is_over() -> None:
    async def story() -> None:
        async with in_process(Emulator(initial=[POD], grace_s=0.2)) as client:
            deleted = (await client.delete(f"{PODS}/one")).json()
            assert deleted["metadata"]["deletionTimestamp"]
            again = (await client.delete(f"{PODS}/one")).json()
            assert again["metadata"]["deletionTimestamp"] == deleted["metadata"]["deletionTimestamp"]
            assert (await client.post(PODS, json=POD)).status_code == 409
            await until_gone(client, f"{PODS}/one")
            assert (await client.post(PODS, json=POD)).status_code == 201
            at_once = {"gracePeriodSeconds": 0}
            await client.request("DELETE", f"{PODS}/one", json=at_once)
            assert (await client.get(f"{PODS}/one")).status_code == 404

    anyio.run(story)


def test_a_terminating_namespace_takes_nothing_new() -> None:
    team = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}}

    async def story() -> None:
        async with in_process(Emulator(initial=[team], grace_s=0.2)) as client:
            await client.delete("/api/v1/namespaces/team")
            found = (await client.get("/api/v1/namespaces/team")).json()
            assert found["status"]["phase"] == "Terminating"
            made = await client.post("/api/v1/namespaces/team/configmaps", json=config_map(a="1"))
            assert made.status_code == 403
            assert "being terminated" in made.json()["message"]
            await until_gone(client, "/api/v1/namespaces/team")

    anyio.run(story)


def test_webhooks_refuse_and_change() -> None:
    rules = [
        Webhook("small.example.com", "configmaps", ("CREATE", "UPDATE"), {"data": {"a": "9"}}, "too large"),
        Webhook("kept.example.com", "configmaps", ("DELETE",), {"data": {"keep": "yes"}}, "it is needed"),
        Webhook("team.example.com", "configmaps", ("CREATE",), merge={"metadata": {"labels": {"team": "x"}}}),
    ]

    async def story() -> None:
        async with in_process(Emulator(webhooks=rules)) as client:
            refused = await client.post(CONFIG_MAPS, json=config_map(a="9"))
            assert (refused.status_code, refused.json()["message"]) == (
                403,
                'admission webhook "small.example.com" denied the request: too large',
            )
            made = (await client.post(CONFIG_MAPS, json=config_map(a="1", keep="yes"))).json()
            assert made["metadata"]["labels"] == {"team": "x"}
            patch = {"Content-Type": "application/merge-patch+json"}
            path = f"{CONFIG_MAPS}/settings"
            dry = {"dryRun": "All"}
            change = json.dumps({"data": {"a": "9"}})
            assert (await client.patch(path, content=change, headers=patch, params=dry)).status_code == 403
            assert (await client.delete(path)).status_code == 403

    anyio.run(story)


def test_pages_of_a_list_that_is_too_old_are_gone() -> None:
    async def story() -> None:
        emulator = Emulator(initial=[config_map(f"c{number}", a="1") for number in range(4)], history=3)
        async with in_process(emulator) as client:
            page = (await client.get(CONFIG_MAPS, params={"limit": "2"})).json()
            query = {"limit": "2", "continue": page["metadata"]["continue"]}
            assert (await client.get(CONFIG_MAPS, params=query)).status_code == 200
            for number in range(5):
                emulator.create(config_map(f"d{number}", a="1"))
            gone = await client.get(CONFIG_MAPS, params=query)
            assert (gone.status_code, gone.json()["reason"]) == (410, "Expired")
            assert (await client.get(CONFIG_MAPS, params={"continue": "x"})).status_code == 400

    anyio.run(story)


def test_requests_are_throttled_and_updates_conflict() -> None:
    async def story() -> None:
        emulator = Emulator(initial=[config_map(a="1")])
        emulator.faults.throttle_every, emulator.faults.retry_after_s = 3, 7
        async with in_process(emulator) as client:
            answers = [await client.get(CONFIG_MAPS) for _ in range(3)]
            assert [one.status_code for one in answers] == [200, 200, 429]
            assert answers[2].headers["Retry-After"] == "7"
            emulator.faults.clear()
            emulator.faults.conflict_every = 2
            path = f"{CONFIG_MAPS}/settings"
            codes = [(await client.put(path, json=config_map(a=str(n)))).status_code for n in range(4)]
            assert codes == [200, 409, 200, 409]

    anyio.run(story)


def test_all_of_it_is_switched_on_where_it_is_started(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(yaml.safe_dump({"name": "no.example.com", "plural": "secrets", "refuse": "never"}))
    config = tmp_path / "config"
    options = "--grace 5 --history 7 --throttle 2 --retry-after 9 --conflict 3 --webhook"
    command = [
        sys.executable,
        "-m",
        "kube_emulator",
        "--kubeconfig",
        str(config),
        *options.split(),
        str(rules),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        process.stdout.readline()
        token = yaml.safe_load(config.read_text())["users"][0]["user"]["token"]
        headers = {"Authorization": f"Bearer {token}"}
        with httpx.Client(base_url=url, headers=headers, verify=False) as client:
            secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}
            made = client.post("/api/v1/namespaces/default/secrets", json=secret)
            assert "never" in made.json()["message"]
            assert client.get(CONFIG_MAPS).headers["Retry-After"] == "9"
        process.terminate()
        assert process.wait(timeout=10) == 0


def test_a_rule_that_is_none_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(yaml.safe_dump({"name": "no.example.com", "denies": "all"}))
    assert main(["--kubeconfig", str(tmp_path / "config"), "--webhook", str(rules)]) == 1
    assert "a webhook has a name" in capsys.readouterr().err
