"""`coagent check`: what it prints, what it exits with, and what it makes of logs that are none."""

from __future__ import annotations

import gzip
import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest
from commands import coagent, environment

from coagent import open_domain, targets
from coagent.config.domain_file import configured
from coagent.log import postgres, postgres_archive
from coagent.log import sqlite as sqlite_log
from coagent.log.archive import Archive
from coagent.log.base import LogSettings
from coagent.log.codec import checksum
from coagent.log.open import open_log
from coagent_lab.sim.tools import TOOLS

FILES = '[[targets]]\nkind = "files"\nroot = ".."\n'
FIXTURES = Path(__file__).parents[1] / "log" / "fixtures"


async def worked_in(folder: Path, *, finished: bool = True) -> None:
    """Have A edit a file that B has read, and B repair."""
    (folder / ".coagent").mkdir(mode=0o700)
    path = folder / ".coagent" / "config.toml"
    path.write_text(FILES)
    (folder / "a.txt").write_text("one\ntwo\n")
    async with configured(path).domain as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await b.call("read_file", path="a.txt")
        made = await b.call("write_file", path="b.txt", content="one\n")
        await a.call("edit_file", path="a.txt", old_string="one", new_string="ONE")
        await a.finish()
        if finished:
            await b.notifications()
            await b.amend(made.call_id, content="ONE\n")
            await b.finish()


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    anyio.run(worked_in, tmp_path)
    return tmp_path


@pytest.fixture
def log(workspace: Path) -> Path:
    return workspace / ".coagent" / "log.db"


def found(*arguments: str, cwd: Path | None = None, code: int = 1) -> dict[str, Any]:
    done = coagent("check", *arguments, "--json", cwd=cwd)
    assert done.returncode == code, done.stdout + done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["serial"] is (code == 0)
    return report


def rewritten(log: Path, **changes: str) -> None:
    """Replace texts in the records, and compute all checksums anew."""
    with closing(sqlite3.connect(log, isolation_level=None)) as connection:
        chain = 0
        for number, text in connection.execute("select number, record from coagent_records").fetchall():
            for old, new in changes.items():
                text = text.replace(old, new)
            chain = checksum(text, chain)
            connection.execute(
                "update coagent_records set record = ?, checksum = ? where number = ?", (text, chain, number)
            )


def changed(log: Path, *statements: str) -> None:
    with closing(sqlite3.connect(log, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


# ---- right, or not -----------------------------------------------------------------------------------------


def test_a_right_domain_is_the_serial_one(workspace: Path) -> None:
    done = coagent("check", cwd=workspace)
    assert (done.returncode, done.stderr) == (0, "")
    assert "The state is the serial one." in done.stdout
    assert "2 objects looked at" in done.stdout
    report = found(str(workspace), code=0)
    assert report["live_compared"] == 2
    assert report["counts"]["notices"] == 1
    assert report["findings"] == []


@pytest.mark.parametrize("form", ["sqlite:{}", "{}"])
def test_of_a_log_alone_only_the_log_is_looked_at(log: Path, form: str) -> None:
    done = coagent("check", form.format(log))
    assert done.returncode == 0
    assert "live     not looked at" in done.stdout
    assert found(form.format(log), code=0)["live_compared"] is None


def test_a_changed_file_is_of_an_ungoverned_writer(workspace: Path) -> None:
    (workspace / "a.txt").write_text("changed by hand\n")
    (one,) = found(cwd=workspace)["findings"]
    assert (one["class"], one["key"], one["calls"]) == ("ungoverned writer", "file:a.txt", ["A.1"])
    done = coagent("check", cwd=workspace)
    assert done.returncode == 1
    assert "live value that no call wrote" in done.stdout
    assert "somebody outside ──wrote──▶ 'changed by hand" in done.stdout
    assert found("--no-live", cwd=workspace, code=0)["live_compared"] is None


def test_a_deleted_file_is_told_too(workspace: Path) -> None:
    (workspace / "b.txt").unlink()
    (one,) = found(cwd=workspace)["findings"]
    assert one["key"] == "file:b.txt"
    assert "is nothing" in one["text"]


def test_a_terminal_without_boxes_gets_plain_letters(workspace: Path) -> None:
    (workspace / "a.txt").write_text("changed by hand\n")
    done = subprocess.run(
        [sys.executable, "-m", "coagent", "check"],
        cwd=workspace,
        env=environment(PYTHONIOENCODING="ascii"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "somebody outside --wrote--> 'changed" in done.stdout
    assert done.stdout.isascii()


def test_a_secret_is_masked_in_what_is_found(workspace: Path) -> None:
    async def written() -> None:
        async with configured(workspace / ".coagent" / "config.toml").domain as domain:
            agent = await domain.join("C")
            await agent.call("write_file", path=".env", content="API_TOKEN=hunter2hunter2hunter2\n")
            await agent.finish(wait=True)

    anyio.run(written)
    (workspace / ".env").write_text("API_TOKEN=swordfishswordfish\n")
    for arguments in ((), ("--json",)):
        done = coagent("check", *arguments, cwd=workspace)
        assert "file:.env" in done.stdout
        assert "hunter2" not in done.stdout
        assert "swordfish" not in done.stdout


def test_agents_at_work_are_named(tmp_path: Path) -> None:
    async def working() -> None:
        await worked_in(tmp_path, finished=False)

    anyio.run(working)
    report = found(cwd=tmp_path, code=0)
    assert report["at_work"] == ["B"]
    assert "as far as agents have come" in coagent("check", cwd=tmp_path).stdout


async def while_others_work(folder: Path) -> dict[str, Any]:
    async with configured(folder / ".coagent" / "config.toml").domain as domain:
        agent = await domain.join("C")
        await agent.call("write_file", path="c.txt", content="c\n")
        report = await anyio.to_thread.run_sync(lambda: found(cwd=folder, code=0))
        await agent.finish(wait=True)
    return report


def test_a_log_may_be_written_meanwhile(workspace: Path) -> None:
    report = anyio.run(while_others_work, workspace)
    assert report["at_work"] == ["C"]
    assert report["live_compared"] == 3


# ---- damaged -----------------------------------------------------------------------------------------------

DAMAGES = {
    "a changed record": "update coagent_records set record = replace(record, 'ONE', 'TWO') "
    "where record like '%ONE%'",
    "a missing one in the middle": "delete from coagent_records where number = 4",
    "a missing one at the end": "delete from coagent_records where number = "
    "(select max(number) from coagent_records)",
    "exchanged ones": "update coagent_records set record = (select record from coagent_records r "
    "where r.number = 11 - coagent_records.number) where number in (5, 6)",
    "a changed checksum": "update coagent_records set checksum = checksum + 1 where number = 7",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_log_is_told(log: Path, damage: str) -> None:
    changed(log, DAMAGES[damage])
    report = found(str(log))
    assert {one["class"] for one in report["findings"]} == {"damaged log"}
    done = coagent("check", str(log))
    assert done.returncode == 1
    assert "The log is damaged, and does not tell whether" in done.stdout


def test_a_log_that_was_rewritten_with_its_checksums_is_found_by_what_it_says(log: Path) -> None:
    rewritten(log, ONE="TWO")
    assert not [
        one for one in found(str(log), code=0)["findings"] if one["failing"]
    ]  # it says the same all over
    workspace = log.parents[1]
    assert {one["key"] for one in found(cwd=workspace)["findings"]} == {"file:a.txt", "file:b.txt"}


def test_one_record_that_was_rewritten_is_found_by_the_others(log: Path) -> None:
    rewritten(log, **{'"file:a.txt",null,"ONE': '"file:a.txt",null,"TWO'})
    report = found(str(log))
    assert [one["class"] for one in report["findings"] if one["failing"]] == ["protocol"]
    assert report["findings"][0]["calls"][0] == "B.1"


def test_a_log_of_a_newer_version_is_refused(log: Path) -> None:
    changed(log, "update coagent_log_meta set value = '99' where name = 'format'")
    done = coagent("check", str(log))
    assert done.returncode == 1
    assert "format 99" in done.stderr
    assert "Install a newer CoAgent" in done.stderr


def test_what_is_no_log_is_refused(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "other.db")) as connection:
        connection.execute("create table t (a)")
    (tmp_path / "other.db").chmod(0o600)
    assert coagent("check", str(tmp_path / "other.db")).returncode == 1
    (tmp_path / "text.txt").write_text("hello\n")
    assert coagent("check", str(tmp_path / "text.txt")).returncode == 2


def test_a_log_that_is_not_there_is_bad_usage_and_an_empty_one_has_nothing_yet(tmp_path: Path) -> None:
    (tmp_path / "log.db").touch(mode=0o600)
    for command in (("check",), ("status", "--domain"), ("log", "--domain")):
        for given in (f"sqlite:{tmp_path / 'none.db'}", str(tmp_path / "none")):
            done = coagent(*command, given)
            assert done.returncode == 2, (command, given)
            assert done.stderr.startswith("error: ")
        for given in (f"sqlite:{tmp_path / 'log.db'}", str(tmp_path / "log.db")):
            done = coagent(*command, given)
            assert done.returncode == 0, (command, given)
            assert "nobody has joined this domain yet" in " ".join(done.stdout.split())


def test_a_log_is_named_by_its_file_everywhere(log: Path) -> None:
    assert coagent("check", str(log)).returncode == 0
    assert json.loads(coagent("status", "--domain", str(log), "--json").stdout)["events"] == 15
    assert "B committed" in " ".join(coagent("log", "--domain", str(log)).stdout.split())
    assert "B.2" in coagent("blame", "b.txt", "--domain", str(log)).stdout
    assert coagent("restore", "--domain", str(log)).returncode == 2


@pytest.mark.parametrize("left", [16, 100, 4096, 9000])
def test_a_log_of_which_only_the_beginning_is_left_is_to_be_restored(log: Path, left: int) -> None:
    with closing(sqlite3.connect(log)) as connection:
        connection.execute("pragma wal_checkpoint(truncate)")
    log.write_bytes(log.read_bytes()[:left])
    for command in (("check",), ("status", "--domain")):
        done = coagent(*command, str(log))
        assert done.returncode == 1
        assert "Restore a copy" in done.stderr + done.stdout
        assert "Traceback" not in done.stderr


def test_what_lies_before_a_damaged_record_is_looked_at(log: Path) -> None:
    changed(log, "update coagent_records set checksum = checksum + 1 where number = 9")
    report = found(cwd=log.parents[1])
    assert (report["read_to"], report["last"], report["counts"]["records"]) == (8, 15, 8)
    assert report["counts"]["joined"] == 2
    said = coagent("check", cwd=log.parents[1]).stdout
    assert "8 records of 15, up to the damaged one" in said
    assert "what there is: the log does not say any more what should be there" in said


def test_nothing_is_said_to_be_right_that_was_not_looked_at(log: Path) -> None:
    workspace = log.parents[1]
    for arguments, why in (
        ((str(log),), "of a log alone, nobody knows its targets"),
        (("--no-live",), "--no-live"),
    ):
        said = coagent("check", *arguments, cwd=workspace).stdout
        assert f"not looked at ({why})" in said
        assert "By its log the state is the serial one; what is there was not looked at." in said
        assert "\nThe state is the serial one" not in said
    (workspace / ".coagent" / "config.toml").write_text('log = "sqlite:log.db"\n')
    report = found(cwd=workspace, code=0)
    assert report["not_looked_at"] == [{"objects": 2, "why": "no target of the domain owns file: any more"}]
    said = coagent("check", cwd=workspace).stdout
    assert "2 objects: no target of the domain owns file: any more" in said
    assert "What was looked at is the serial state; not all was." in said


def test_a_domain_that_nobody_has_joined_is_right(tmp_path: Path) -> None:
    (tmp_path / ".coagent").mkdir()
    (tmp_path / ".coagent" / "config.toml").write_text(FILES)
    done = coagent("check", cwd=tmp_path)
    assert done.returncode == 0
    assert "nobody has joined" in " ".join(done.stdout.split())
    assert found(cwd=tmp_path, code=0)["counts"] == {"records": 0}


def test_a_folder_without_a_domain_is_bad_usage(tmp_path: Path) -> None:
    assert coagent("check", str(tmp_path)).returncode == 2
    assert coagent("check", "memory:").returncode == 2


def test_a_log_of_format_1_cannot_be_checked(tmp_path: Path) -> None:
    shutil.copy(FIXTURES / "format_1.sqlite", tmp_path / "log")
    (tmp_path / "log").chmod(0o600)
    done = coagent("check", str(tmp_path / "log"))
    assert done.returncode == 1
    assert "format 1" in done.stderr


# ---- archives and servers ----------------------------------------------------------------------------------


async def many(url: str) -> None:
    memory = targets.Memory({"kv:x": {"n": 0}}, schemes=("kv",))
    async with open_domain(url, targets=[memory], tools=TOOLS) as domain:
        for number in range(30):
            one, other = await domain.join(f"one{number}"), await domain.join(f"other{number}")
            await other.call("read", key="kv:x")
            await one.call("add", key="kv:x", field="n", amount=1)
            await one.finish()
            await other.finish()
            await other.finish(wait=True)


@pytest.fixture
def archived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A log of which the older half is archived."""
    monkeypatch.setattr(sqlite_log, "_CHECKPOINTS_APART", 20)
    monkeypatch.setattr("coagent.runtime.recorder._CHECKPOINT_EVENTS_MIN", 20)
    path = tmp_path / "log"
    anyio.run(many, f"sqlite:{path}")
    archive = Archive(path, segment_records=50, kept_records=60)
    while archive.fill():
        pass
    assert len(archive.segments()) > 1
    return path


def test_archived_records_are_looked_at(archived: Path) -> None:
    report = found(str(archived), code=0)
    assert report["counts"]["joined"] == report["counts"]["committed"] == 60
    assert report["began_after"] == 0


def test_a_damaged_archive_is_told(archived: Path) -> None:
    segment = Archive(archived).segments()[0].path
    text = gzip.decompress(segment.read_bytes()).replace(b"one1", b"two1")
    segment.write_bytes(gzip.compress(text))
    report = found(str(archived))
    assert {one["class"] for one in report["findings"] if one["failing"]} == {"damaged log"}


def test_where_the_archive_is_gone_the_audit_begins_at_a_checkpoint(archived: Path) -> None:
    shutil.rmtree(archived.with_name("log.archive"))
    report = found(str(archived), code=0)
    assert report["began_after"] > 0
    assert f"from record {report['began_after'] + 1} on" in coagent("check", str(archived)).stdout


def test_a_log_on_a_server_is_checked(postgres_log: str) -> None:
    anyio.run(many, postgres_log)
    report = found(postgres_log, code=0)
    assert report["counts"]["committed"] == 60
    assert report["counts"]["notices"] >= 20


def test_what_a_server_has_packed_away_is_looked_at(
    postgres_log: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "_CHECKPOINTS_APART", 20)
    monkeypatch.setattr("coagent.runtime.recorder._CHECKPOINT_EVENTS_MIN", 20)
    monkeypatch.setattr(postgres_archive, "SEGMENT_RECORDS", 50)
    monkeypatch.setattr(postgres_archive, "KEPT_RECORDS", 60)

    async def packed() -> int:
        await many(postgres_log)
        log = await open_log(postgres_log, LogSettings("mtpo", "fixed", ()))
        moved = 0
        while some := await log.tidy():
            moved += some
        await log.close()
        return moved

    moved = anyio.run(packed)
    report = found(postgres_log, code=0)
    assert report["counts"]["records"] > moved > 50
    assert report["counts"]["committed"] == 60


def test_a_log_of_a_protocol_that_nobody_knows_is_refused(log: Path) -> None:
    changed(log, "update coagent_log_meta set value = 'ours' where name = 'protocol'")
    done = coagent("check", str(log))
    assert done.returncode == 1
    assert "no protocol 'ours' is known" in done.stderr


def test_a_checkpoint_that_makes_no_sense_is_told(archived: Path) -> None:
    shutil.rmtree(archived.with_name("log.archive"))
    changed(archived, f"update coagent_checkpoints set state = '[]', checksum = {checksum('[]')}")
    done = coagent("check", str(archived))
    assert done.returncode == 1
    assert "cannot be understood" in done.stderr


def test_long_values_are_shown_where_they_begin_to_differ(workspace: Path) -> None:
    path = workspace / "a.txt"
    before = "".join(f"line {number}\n" for number in range(40))

    async def work() -> None:
        async with configured(workspace / ".coagent" / "config.toml").domain as domain:
            agent = await domain.join("C")
            await agent.call("write_file", path="a.txt", content=before)
            await agent.finish()

    anyio.run(work)
    path.write_text(before.replace("line 30", "LINE 30"))
    done = coagent("check", cwd=workspace)
    assert done.returncode == 1
    (told,) = (line for line in done.stdout.splitlines() if line.startswith("  file:a.txt is"))
    assert "LINE 30" in told.partition("by the log")[0]
    assert "line 30" in told.partition("by the log")[2]


def test_bytes_are_told_by_their_size(workspace: Path) -> None:
    (workspace / "a.txt").write_bytes(b"\xff\0")
    assert "file:a.txt is 2 bytes, and no record" in coagent("check", cwd=workspace).stdout


def test_what_is_compared_has_to_be_there(log: Path) -> None:
    done = coagent("ui", str(log), "--compare", f"sqlite:{log.parent / 'typo'}", "--no-open")
    assert done.returncode == 2
    assert "there is no log" in done.stderr


def test_a_trace_that_cannot_be_written_is_called_one(log: Path, tmp_path: Path) -> None:
    done = coagent("log", "--domain", str(log), "--perfetto", str(tmp_path / "no" / "trace.json"))
    assert done.returncode == 2
    assert "the trace '" in done.stderr
