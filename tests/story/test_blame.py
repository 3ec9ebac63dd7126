"""Each line of a file is its last writer's in the serialization order, whoever came first."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import jsonschema
import pytest
from domain_worker import CONFIG, Worker, domain_worker

_RECORD = {
    "type": "object",
    "required": ["version", "id", "timestamp", "files"],
    "additionalProperties": False,
    "properties": {
        "version": {"pattern": r"^[0-9]+\.[0-9]+$"},
        "id": {"format": "uuid"},
        "timestamp": {"pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"},
        "vcs": {"required": ["type", "revision"]},
        "tool": {
            "required": ["name", "version"],
            "additionalProperties": False,
            "properties": {"name": {}, "version": {}},
        },
        "metadata": {"type": "object"},
        "files": {
            "items": {
                "required": ["path", "conversations"],
                "properties": {
                    "conversations": {
                        "items": {
                            "required": ["ranges"],
                            "properties": {
                                "contributor": {
                                    "properties": {"type": {"enum": ["human", "ai", "mixed", "unknown"]}}
                                },
                                "ranges": {"items": {"required": ["start_line", "end_line"]}},
                            },
                        }
                    }
                },
            }
        },
    },
}
"""What https://agent-trace.dev asks of a record, in short."""


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    with domain_worker(tmp_path_factory.mktemp("blamed")) as worker:
        (worker.folder / "a.txt").write_text("one\ntwo\nthree\nfour\n")
        (worker.folder / "notes.txt").write_text("change two\n")
        for name in ("A", "B"):
            worker.do("join", name)
        worker.do("read_file", "B", {"path": "notes.txt"})
        worker.do("edit_file", "B", {"path": "a.txt", "old_string": "two", "new_string": "TWO"})
        # Arrives later and stands before: what B wrote stays B's.
        worker.do("edit_file", "A", {"path": "a.txt", "old_string": "four", "new_string": "FOUR\nfive"})
        worker.do("edit_file", "A", {"path": "a.txt", "old_string": "one", "new_string": "ONE"})
        assert worker.do("finish", "A") == "committed"
        yield worker


def test_each_line_is_its_last_writers(worker: Worker) -> None:
    found = json.loads(worker.said("blame", "a.txt", "--json"))
    assert found["key"] == "file:a.txt"
    assert [(one["text"], one["call"], one["kind"]) for one in found["lines"]] == [
        ("ONE", "A.2", "agent"),
        ("TWO", "B.2", "agent"),
        ("three", None, "before"),
        ("FOUR", "A.1", "agent"),
        ("five", "A.1", "agent"),
    ]
    assert [one["committed"] for one in found["lines"]] == [True, False, True, True, True]


def test_people_see_the_call_of_each_line_and_what_it_had_read(worker: Worker) -> None:
    lines = worker.said("blame", "a.txt", "--why").splitlines()
    assert lines[0].startswith("A.2 edit_file ")
    assert lines[0].endswith("1) ONE")
    assert next(line for line in lines if line.endswith(") TWO")).startswith("B.2 edit_file *")
    assert any(line.startswith("(before)") and line.endswith("3) three") for line in lines)
    assert sum(line.endswith("^ had read file:a.txt") for line in lines) == 3
    wrote = next(at for at, line in enumerate(lines) if line.endswith(") TWO"))
    assert lines[wrote + 2].endswith("^ before it, its agent had read file:notes.txt")


def test_looking_for_the_way_to_a_file_is_nothing_that_a_call_rests_on(worker: Worker) -> None:
    lines = json.loads(worker.said("blame", "a.txt", "--json"))["lines"]
    assert {tuple(line["rested_on"]) for line in lines} == {("file:a.txt",), ()}
    assert [line["had_read"] for line in lines if line["call"] == "B.2"] == [["file:notes.txt"]]


def test_what_somebody_wrote_past_the_log_is_marked(worker: Worker) -> None:
    text = (worker.folder / "a.txt").read_text()
    (worker.folder / "a.txt").write_text(text + "mine\n")
    try:
        lines = worker.said("blame", "a.txt").splitlines()
    finally:
        (worker.folder / "a.txt").write_text(text)
    assert lines[-1].startswith("(in no record)")


def test_the_log_alone_is_enough(worker: Worker, tmp_path: Path) -> None:
    done = worker.coagent("blame", "file:a.txt", "--domain", f"sqlite:{worker.log}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].endswith("1) ONE")


def test_a_file_that_no_agent_has_touched_is_refused_with_a_way_to_find_others(worker: Worker) -> None:
    assert "no agent has read or written" in worker.refused("blame", "other.txt")
    assert "coagent log --key 'sql:*'" in worker.refused("blame", "sql:orders/1")
    assert "Name one" in worker.refused("blame")


def test_agent_trace_holds_the_ranges_of_agents_by_file(worker: Worker) -> None:
    record = json.loads(worker.said("blame", "--agent-trace"))
    jsonschema.validate(record, _RECORD)
    assert [one["path"] for one in record["files"]] == ["a.txt"]
    ranges = [
        (one["contributor"]["type"], [(part["start_line"], part["end_line"]) for part in one["ranges"]])
        for one in record["files"][0]["conversations"]
    ]
    assert ranges == [("ai", [(1, 1), (4, 5)]), ("ai", [(2, 2)])]
    assert set(record["metadata"]["io.coagent"]["calls"]) == {"A.1", "A.2", "B.2"}
    assert "vcs" not in record


def test_agent_trace_names_the_commit_that_has_the_lines(worker: Worker) -> None:
    def git(*arguments: str) -> str:
        command = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org", *arguments]
        return subprocess.run(command, cwd=worker.folder, check=True, capture_output=True, text=True).stdout

    git("init", "-q")
    git("add", "a.txt", "notes.txt")
    git("commit", "-qm", "all")
    record = json.loads(worker.said("blame", "--agent-trace"))
    assert record["vcs"] == {"type": "git", "revision": git("rev-parse", "HEAD").strip()}
    inside = worker.folder / "inside"
    inside.mkdir()
    before = (worker.folder / "a.txt").read_text()
    (worker.folder / "a.txt").write_text(f"{before}mine\n")
    for folder in (worker.folder, inside):
        done = worker.coagent("blame", "--agent-trace", cwd=folder)
        assert "vcs" not in json.loads(done.stdout), "these are not the lines of that commit"
    git("commit", "-qam", "mine")
    record = json.loads(worker.said("blame", "--agent-trace"))
    assert record["vcs"]["revision"] == git("rev-parse", "HEAD").strip()
    ranges = {
        one["contributor"]["type"]: one["ranges"][-1]["end_line"]
        for one in record["files"][0]["conversations"]
    }
    assert ranges == {"ai": 2, "unknown": 6}, "the lines are those that the commit has"
    (worker.folder / "a.txt").write_text(before)


def test_agent_trace_names_files_from_the_top_of_the_repository(tmp_path: Path) -> None:
    (tmp_path / "part").mkdir()
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    with domain_worker(tmp_path / "part") as worker:
        worker.do("join", "A")
        worker.do("write_file", "A", {"path": "new.txt", "content": "one\n"})
        (file,) = json.loads(worker.said("blame", "--agent-trace"))["files"]
    assert file["path"] == "part/new.txt"


def test_agent_trace_has_no_hash_of_what_is_masked(tmp_path: Path) -> None:
    with domain_worker(tmp_path) as worker:
        worker.do("join", "A")
        worker.do("write_file", "A", {"path": "a.txt", "content": "https://ann:hunter2hunter2@example.org\n"})
        worker.do("write_file", "A", {"path": "b.txt", "content": "one\n"})
        files = json.loads(worker.said("blame", "--agent-trace"))["files"]
    hashes = {one["path"]: "content_hash" in one["conversations"][0]["ranges"][0] for one in files}
    assert hashes == {"a.txt": False, "b.txt": True}


def test_it_is_said_where_a_file_is_gone_or_no_text_any_more(tmp_path: Path) -> None:
    with domain_worker(tmp_path) as worker:
        worker.do("join", "A")
        worker.do("write_file", "A", {"path": "a.txt", "content": "ONE\n"})
        (worker.folder / "a.txt").write_bytes(b"\xff\0")
        done = worker.coagent("blame", "a.txt")
        assert "'file:a.txt' is no text now" in done.stderr
        assert done.stdout.endswith("1) ONE\n")
        assert json.loads(worker.said("blame", "--agent-trace"))["files"] == []
        (worker.folder / "a.txt").unlink()
        done = worker.coagent("blame", "a.txt")
        assert (done.returncode, done.stdout) == (0, "")
        assert "'file:a.txt' is not there any more" in done.stderr


def test_a_trace_for_perfetto_has_a_track_for_each_agent_and_an_arrow_for_each_notice(tmp_path: Path) -> None:
    with domain_worker(tmp_path) as worker:
        for name in ("A", "B"):
            worker.do("join", name)
        worker.do("read_file", "B", {"path": "a.txt"})
        worker.do("write_file", "A", {"path": "a.txt", "content": "two\n"})
        assert worker.do("notices", "B") == ["file:a.txt"]
        worker.said("log", "--perfetto", "trace.json")
        events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    tracks = {one["args"]["name"]: one["tid"] for one in events if one["name"] == "thread_name"}
    assert tracks == {"outside": 1_000_000, "A": 0, "B": 1}
    arrow = {one["ph"]: one for one in events if one.get("cat") == "notice"}
    assert (arrow["s"]["tid"], arrow["f"]["tid"]) == (0, 1)
    assert arrow["s"]["ts"] < arrow["f"]["ts"]
    slices = {(one["ts"], one["tid"]) for one in events if one["ph"] == "X"}
    assert {(one["ts"], one["tid"]) for one in arrow.values()} <= slices
    for track in (0, 1):
        found = [one for one in events if one["ph"] == "X" and one["tid"] == track]
        for one, later in pairwise(found):
            assert one["ts"] + one["dur"] <= later["ts"], "importers drop slices that overlap"


def test_who_has_committed_is_known_under_a_baseline_too(tmp_path: Path) -> None:
    (tmp_path / ".coagent").mkdir()
    (tmp_path / ".coagent" / "config.toml").write_text(f'protocol = "naive"\n{CONFIG}')
    worker = Worker(tmp_path)
    worker.do("join", "A")
    worker.do("write_file", "A", {"path": "a.txt", "content": "one\n"})
    assert worker.do("finish", "A") == "committed"
    worker.close()
    (line,) = json.loads(worker.said("blame", "a.txt", "--json"))["lines"]
    assert (line["call"], line["committed"]) == ("A.1", True)


def test_a_trace_is_of_a_whole_log_and_goes_into_a_file(worker: Worker) -> None:
    assert "all of a log" in worker.refused("log", "--perfetto", "trace.json", "--tail", "3")
    assert "cannot be written: Is a directory" in worker.refused("log", "--perfetto", ".")
    assert not (worker.folder / "trace.json").exists()
