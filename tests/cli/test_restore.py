"""`coagent restore`: what a person wrote is in the log, and comes back."""

from __future__ import annotations

import getpass
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest
from clusters import config_map, deployment
from commands import coagent

from coagent.config.domain_file import configured
from coagent.log import sqlite as sqlite_log
from coagent.log.archive import Archive
from coagent.protocol.keys import Key
from coagent.systems.kubernetes.target import Kubernetes
from kube_emulator import Emulator

FILES = '[[targets]]\nkind = "files"\nroot = ".."\n'
DOCUMENTS = '[[targets]]\nkind = "documents"\nroot = ".."\n'
KUBERNETES = '[[targets]]\nkind = "kubernetes"\nkubeconfig = "../kubeconfig"\n'
SQL = '[[targets]]\nkind = "sql"\nurl = "sqlite:///../shop.db"\n'


def domain_file(folder: Path, text: str) -> Path:
    (folder / ".coagent").mkdir(exist_ok=True)
    path = folder / ".coagent" / "config.toml"
    path.write_text(text)
    return path


async def overwritten(folder: Path, config: str = FILES) -> None:
    """Have a person add a line to what an agent wrote, and a second agent write over all of it."""
    async with configured(domain_file(folder, config)).domain as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await a.call("edit_file", path="a.txt", old_string="one", new_string="ONE")
        (folder / "a.txt").write_text("ONE\ntwo\nof a person\n")
        await b.call("read_file", path="a.txt")
        await b.call("write_file", path="a.txt", content="all new\n")
        for agent in (a, b):
            await agent.finish()


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    (tmp_path / "a.txt").write_text("one\ntwo\n")
    anyio.run(overwritten, tmp_path)
    return tmp_path


def versions(folder: Path, key: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(coagent("restore", key, "--json", cwd=folder).stdout)["versions"]
    return found


def of_a_person(folder: Path, key: str) -> str:
    return str(next(one["number"] for one in versions(folder, key) if one["how"] == "outside"))


def test_what_somebody_outside_changed_is_listed(workspace: Path) -> None:
    listed = json.loads(coagent("restore", "--json", cwd=workspace).stdout)["objects"]
    assert [(one["key"], one["times"]) for one in listed] == [("file:a.txt", 1)]
    assert "file:a.txt  changed outside once" in coagent("restore", cwd=workspace).stdout


def test_all_versions_of_an_object_are_listed_and_which_is_there_now(workspace: Path) -> None:
    found = versions(workspace, "file:a.txt")
    assert [(one["how"], one["agent"], one["value"], one["there"]) for one in found] == [
        ("found", "A", "one\ntwo\n", False),
        ("wrote", "A", "ONE\ntwo\n", False),
        ("outside", None, "ONE\ntwo\nof a person\n", False),
        ("wrote", "B", "all new\n", True),
    ]
    said = coagent("restore", "file:a.txt", cwd=workspace).stdout
    assert "somebody outside wrote it    3 lines: ONE" in said
    assert said.count("<- is there now") == 1


def test_a_version_is_shown_before_it_is_written(workspace: Path) -> None:
    number = of_a_person(workspace, "file:a.txt")
    said = coagent("restore", "file:a.txt", "--to", number, cwd=workspace)
    assert said.returncode == 0
    assert "+of a person" in said.stdout
    assert "Nothing was written" in said.stdout
    assert (workspace / "a.txt").read_text() == "all new\n"


def test_a_version_is_written_when_it_is_wanted(workspace: Path) -> None:
    number = of_a_person(workspace, "file:a.txt")
    done = json.loads(
        coagent("restore", "file:a.txt", "--to", number, "--yes", "--json", cwd=workspace).stdout
    )
    assert done["written"]
    assert (workspace / "a.txt").read_text() == "ONE\ntwo\nof a person\n"
    again = coagent("restore", "file:a.txt", "--to", number, "--yes", cwd=workspace)
    assert "there is nothing to do" in again.stdout


def test_what_no_record_holds_is_recorded_before_it_is_written_over(workspace: Path) -> None:
    number = of_a_person(workspace, "file:a.txt")
    (workspace / "a.txt").write_text("newer work\n")
    listed = json.loads(coagent("restore", "--json", cwd=workspace).stdout)["objects"]
    assert [(one["key"], one["unrecorded"]) for one in listed] == [("file:a.txt", True)]
    assert "changed outside, and in no record yet" in coagent("restore", cwd=workspace).stdout
    said = coagent("restore", "file:a.txt", "--to", number, "--yes", cwd=workspace)
    assert said.returncode == 0, said.stderr
    assert (workspace / "a.txt").read_text() == "ONE\ntwo\nof a person\n"
    newer = next(one for one in versions(workspace, "file:a.txt") if one["value"] == "newer work\n")
    assert newer["person"] is None  # nobody has said that it is theirs
    coagent("restore", "file:a.txt", "--to", str(newer["number"]), "--yes", cwd=workspace)
    assert (workspace / "a.txt").read_text() == "newer work\n"


def test_a_check_knows_who_has_brought_something_back_that_nobody_at_work_has_touched(
    workspace: Path,
) -> None:
    number = of_a_person(workspace, "file:a.txt")
    coagent("restore", "file:a.txt", "--to", number, "--yes", cwd=workspace)
    done = coagent("check", cwd=workspace)
    assert done.returncode == 0, done.stdout
    assert "The state is the serial one." in done.stdout
    assert f"{getpass.getuser()} (a person) changed file:a.txt" in coagent("log", cwd=workspace).stdout
    assert versions(workspace, "file:a.txt")[-1]["person"] == getpass.getuser()
    (workspace / "a.txt").write_text("by hand\n")
    assert f"as {getpass.getuser()} had left it" in coagent("check", cwd=workspace).stdout


def test_what_a_call_wrote_that_was_taken_back_can_be_brought_back(tmp_path: Path) -> None:
    async def work() -> None:
        async with configured(domain_file(tmp_path, FILES)).domain as domain:
            cy = await domain.join("cy")
            made = await cy.call("write_file", path="new.txt", content="new\n")
            await cy.undo(made.call_id)
            await cy.finish(wait=True)

    anyio.run(work)
    number = next(one["number"] for one in versions(tmp_path, "file:new.txt") if one["how"] == "wrote")
    (tmp_path / "new.txt").write_text("by hand\n")
    said = coagent("check", cwd=tmp_path).stdout
    assert "by the log it is nothing, as it was before cy.1, which was taken back" in said
    assert "before cy.1 ──was──▶ nothing" in said
    coagent("restore", "file:new.txt", "--to", str(number), "--yes", cwd=tmp_path)
    assert (tmp_path / "new.txt").read_text() == "new\n"
    assert coagent("check", cwd=tmp_path).returncode == 0


def test_agents_at_work_are_told_of_what_is_brought_back(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\ntwo\n")

    async def work() -> None:
        await overwritten(tmp_path)
        async with configured(tmp_path / ".coagent" / "config.toml").domain as domain:
            c = await domain.join("C")
            await c.call("read_file", path="a.txt")
            number = of_a_person(tmp_path, "file:a.txt")
            coagent("restore", "file:a.txt", "--to", number, "--yes", cwd=tmp_path)
            notices = await c.notifications()
            assert [(one.key, one.cause.agent) for one in notices] == [("file:a.txt", "outside")]
            assert "of a person" in notices[0].diff

    anyio.run(work)


def test_what_was_deleted_comes_back(workspace: Path) -> None:
    async def delete() -> None:
        async with configured(workspace / ".coagent" / "config.toml").domain as domain:
            c = await domain.join("C")
            await c.call("delete_file", path="a.txt")
            await c.finish()

    anyio.run(delete)
    assert not (workspace / "a.txt").exists()
    number = of_a_person(workspace, "file:a.txt")
    assert coagent("restore", "file:a.txt", "--to", number, "--yes", cwd=workspace).returncode == 0
    assert (workspace / "a.txt").read_text() == "ONE\ntwo\nof a person\n"


def test_archived_versions_are_versions_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_log, "_CHECKPOINTS_APART", 100)
    (tmp_path / "a.txt").write_text("one\ntwo\n")

    async def more() -> None:
        async with configured(tmp_path / ".coagent" / "config.toml").domain as domain:
            c = await domain.join("C")
            for number in range(150):
                await c.call("write_file", path="b.txt", content=f"{number}\n")
            await c.finish()

    async def all_of_it() -> None:
        await overwritten(tmp_path)
        for _ in range(2):
            await more()

    anyio.run(all_of_it)
    assert Archive(tmp_path / ".coagent" / "log.db", kept_bytes=0).fill() > 0
    assert [one["how"] for one in versions(tmp_path, "file:a.txt")] == ["found", "wrote", "outside", "wrote"]


def test_rows_come_back(tmp_path: Path) -> None:
    def run(statement: str) -> Any:
        with closing(sqlite3.connect(tmp_path / "shop.db")) as connection, connection:
            return connection.execute(statement).fetchall()

    run("create table items (id integer primary key, name text, price integer)")
    run("insert into items values (1, 'pen', 3)")

    async def work() -> None:
        async with configured(domain_file(tmp_path, SQL)).domain as domain:
            a = await domain.join("A")
            await a.call("sql_execute", statement="update items set price = 4 where id = 1")
            run("update items set name = 'pen of a person' where id = 1")
            await a.call("sql_query", query="select * from items where id = 1")
            await a.call("sql_execute", statement="update items set name = 'new', price = 5 where id = 1")
            await a.finish()

    anyio.run(work)
    number = of_a_person(tmp_path, "sql:items/1")
    said = coagent("restore", "sql:items/1", "--to", number, "--yes", cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    assert run("select * from items") == [(1, "pen of a person", 4)]


def test_bad_usage_is_refused_with_what_there_is(workspace: Path) -> None:
    for arguments, cause in (
        (("--yes",), "Choose one"),
        (("file:a.tx",), "Did you mean 'file:a.txt'?"),
        (("file:a.txt", "--to", "999"), "There are: "),
    ):
        said = coagent("restore", *arguments, cwd=workspace)
        assert said.returncode == 2
        assert cause in said.stderr


def each_comes_back(folder: Path, key: str) -> list[Any]:
    """Bring back every version of an object, and see that it is there then; returns their values."""
    found = versions(folder, key)
    for one in found:
        said = coagent("restore", key, "--to", str(one["number"]), "--yes", cwd=folder)
        assert said.returncode == 0, said.stderr
        assert [there["value"] for there in versions(folder, key) if there["there"]] == [one["value"]]
    return [one["value"] for one in found]


@pytest.mark.long
def test_every_version_can_be_chosen_also_what_was_found_by_the_call_that_wrote(workspace: Path) -> None:
    numbers = [one["number"] for one in versions(workspace, "file:a.txt")]
    assert len(set(numbers)) == len(numbers)
    assert len(each_comes_back(workspace, "file:a.txt")) == 4


def test_sections_of_documents_come_back(tmp_path: Path) -> None:
    plan = tmp_path / "plan.md"
    plan.write_text("# Plan\n\n## Goals\n\none\n\n## Risks\n\nfew\n")

    async def work() -> None:
        async with configured(domain_file(tmp_path, DOCUMENTS)).domain as domain:
            a, b = await domain.join("A"), await domain.join("B")
            await a.call("doc_replace_section", path="plan.md", heading="Goals", content="ONE\n")
            plan.write_text(plan.read_text().replace("ONE\n", "ONE\nof a person\n"))
            await b.call("doc_read_section", path="plan.md", heading="Goals")
            await b.call("doc_replace_section", path="plan.md", heading="Goals", content="all new\n")
            for agent in (a, b):
                await agent.finish()

    anyio.run(work)
    values = each_comes_back(tmp_path, "doc:plan.md#Plan/Goals")
    assert values == ["\none\n", "\nONE\n", "\nONE\nof a person\n", "\nall new\n"]
    number = of_a_person(tmp_path, "doc:plan.md#Plan/Goals")
    coagent("restore", "doc:plan.md#Plan/Goals", "--to", number, "--yes", cwd=tmp_path)
    assert plan.read_text() == "# Plan\n\n## Goals\n\nONE\nof a person\n\n## Risks\n\nfew\n"


def test_objects_of_a_cluster_come_back(tmp_path: Path) -> None:
    settings, geo = Key("k8s:default/configmaps/settings"), Key("k8s:default/deployments/geo")

    async def work() -> None:
        cluster = Kubernetes(kubeconfig=str(tmp_path / "kubeconfig"))
        async with configured(domain_file(tmp_path, KUBERNETES)).domain as domain:
            a, b = await domain.join("A"), await domain.join("B")
            await a.call("kube_patch", kind="ConfigMap", name="settings", patch={"data": {"color": "blue"}})
            there: Any = await cluster.get(settings)
            edited = {**there, "data": {**there["data"], "person": "yes"}}
            await cluster.put(settings, edited, expected=[there])
            await b.call("kube_get", kind="ConfigMap", name="settings")
            await b.call(
                "kube_patch",
                kind="ConfigMap",
                name="settings",
                patch={"data": {"person": None, "color": "green"}},
            )
            await b.call("kube_delete", kind="Deployment", name="geo")
            for agent in (a, b):
                await agent.finish()
        await cluster.close()

    with Emulator(initial=[config_map(color="red"), deployment()], token="", tls=False) as emulator:
        emulator.write_kubeconfig(tmp_path / "kubeconfig")
        anyio.run(work)
        kept = [value["data"] for value in each_comes_back(tmp_path, settings)]
        assert kept == [
            {"color": "red"},
            {"color": "blue"},
            {"color": "blue", "person": "yes"},
            {"color": "green"},
        ]
        values = each_comes_back(tmp_path, geo)
        assert [None if value is None else value["metadata"]["name"] for value in values] == ["geo", None]
