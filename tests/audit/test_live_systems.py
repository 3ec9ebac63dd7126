"""The live state of every kind of system is compared with what the log says was written there."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest
from clusters import config_map, deployment
from commands import coagent
from test_restore import DOCUMENTS, KUBERNETES, SQL, domain_file

from coagent.config.domain_file import configured
from coagent.protocol.keys import Key
from coagent.systems.kubernetes.target import Kubernetes
from kube_emulator import Emulator


def called(folder: Path, config: str, *calls: tuple[str, dict[str, Any]]) -> None:
    """Have an agent make calls and commit."""

    async def work() -> None:
        async with configured(domain_file(folder, config)).domain as domain:
            agent = await domain.join("A")
            for tool, arguments in calls:
                await agent.call(tool, **arguments)
            await agent.finish(wait=True)

    anyio.run(work)


def wrong(folder: Path, code: int = 1) -> list[str]:
    """Return the keys of live objects that are otherwise than the log says."""
    done = coagent("check", "--json", cwd=folder)
    assert done.returncode == code, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["live_compared"]
    assert not report["unreachable"]
    return [one["key"] for one in report["findings"] if one["class"] == "ungoverned writer"]


def test_a_cluster(tmp_path: Path) -> None:
    with Emulator(initial=[config_map(color="red"), deployment()], token="", tls=False) as emulator:
        emulator.write_kubeconfig(tmp_path / "kubeconfig")
        patched = {"kind": "ConfigMap", "name": "settings", "patch": {"data": {"color": "blue"}}}
        scaled = {"kind": "Deployment", "name": "geo", "patch": {"spec": {"replicas": 2}}}
        called(tmp_path, KUBERNETES, ("kube_patch", patched), ("kube_patch", scaled))
        assert wrong(tmp_path, 0) == []

        async def edited() -> None:
            cluster = Kubernetes(kubeconfig=str(tmp_path / "kubeconfig"))
            there: Any = await cluster.get(Key("k8s:default/configmaps/settings"))
            changed = {**there, "data": {"color": "green"}}
            await cluster.put(Key("k8s:default/configmaps/settings"), changed, expected=[there])
            await cluster.close()

        anyio.run(edited)
        assert wrong(tmp_path) == ["k8s:default/configmaps/settings"]
    done = coagent("check", "--json", cwd=tmp_path)  # the cluster is away
    assert done.returncode == 1
    assert json.loads(done.stdout)["unreachable"]
    said = coagent("check", cwd=tmp_path).stdout
    assert "cannot be reached" in said
    assert "What was looked at is the serial state; not all was." in said


def test_a_database(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "shop.db")) as connection:
        connection.execute("create table orders (id integer primary key, state text)")
        connection.execute("insert into orders values (1, 'new'), (2, 'new')")
        connection.commit()
    called(tmp_path, SQL, ("sql_execute", {"statement": "update orders set state = 'paid' where id = 1"}))
    assert wrong(tmp_path, 0) == []
    with closing(sqlite3.connect(tmp_path / "shop.db")) as connection:
        connection.execute("update orders set state = 'lost' where id = 1")
        connection.commit()
    assert wrong(tmp_path) == ["sql:orders/1"]


def test_a_document(tmp_path: Path) -> None:
    (tmp_path / "plan.md").write_text("# Plan\n\n## Goals\n\none\n\n## Risks\n\nfew\n")
    called(
        tmp_path,
        DOCUMENTS,
        ("doc_replace_section", {"path": "plan.md", "heading": "Goals", "content": "two\n"}),
    )
    assert wrong(tmp_path, 0) == []
    (tmp_path / "plan.md").write_text("# Plan\n\n## Goals\n\nthree\n\n## Risks\n\nfew\n")
    assert wrong(tmp_path) == ["doc:plan.md#Plan/Goals"]


@pytest.mark.parametrize("content", ["", "é\n", "no end"])
def test_files_as_they_are(tmp_path: Path, content: str) -> None:
    called(
        tmp_path,
        '[[targets]]\nkind = "files"\nroot = ".."\n',
        ("write_file", {"path": "a.txt", "content": content}),
    )
    assert wrong(tmp_path, 0) == []


@pytest.mark.parametrize("price", [2, 9])
def test_a_query_depends_on_who_has_written_what_it_shows_or_would_have_shown(
    tmp_path: Path, price: int
) -> None:
    with closing(sqlite3.connect(tmp_path / "shop.db")) as connection, connection:
        connection.execute("create table items (id integer primary key, price integer)")
        connection.execute("insert into items values (1, 3)")

    async def work() -> None:
        async with configured(domain_file(tmp_path, SQL)).domain as domain:
            a, b = await domain.join("A"), await domain.join("B")
            await a.call("sql_execute", statement=f"update items set price = {price} where id = 1")
            await b.call("sql_query", query="select id from items where price < 5")
            await a.finish()
            await b.finish(wait=True)

    anyio.run(work)
    report = json.loads(coagent("check", "--json", cwd=tmp_path).stdout)
    assert report["serial"]
    assert report["counts"]["edges"] >= 1
