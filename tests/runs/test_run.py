"""Runs from a file: scripted agents and models on a git repository, and the verdict on them."""

from __future__ import annotations

import hashlib
import json
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
from endpoint import Script, after, calls, says, serving

import coagent
from coagent.runs.execute import Progress, execute
from coagent.runs.plan import make_plan
from coagent.runs.report import RunReport

pytestmark = pytest.mark.anyio

SCRIPTS = '''
def rename(old, new):
    """Rename a function wherever it stands."""
    text = yield "read_file", {"path": "lib.py"}
    yield "edit_file", {"path": "lib.py", "old_string": old, "new_string": new}
    yield "edit_file", {"path": "app.py", "old_string": old, "new_string": new}

def add_caller(name):
    """Write a file that calls what lib.py defines."""
    yield "read_file", {"path": "lib.py"}
    yield "write_file", {"path": name, "content": "import lib\\n"}

def note():
    yield "edit_file", {"path": "notes.txt", "old_string": "first", "new_string": "FIRST"}
    yield "read_file", {"path": "app.py"}

def breaks():
    yield "write_file", {"path": "half.txt", "content": "half done"}
    raise RuntimeError("the script broke")
'''

THREE = """
clock = "virtual"
[[targets]]
kind = "files"
root = "repository"
[[agents]]
name = "rename"
script = "agents.py:rename"
params = {old = "fetch", new = "download"}
think_s = 5
[[agents]]
name = "caller"
script = "agents.py:add_caller"
params = {name = "caller.py"}
think_s = 1
[[agents]]
name = "note"
script = "agents.py:note"
think_s = 2
"""


def git_digest(root: Path) -> str:
    """Return a digest of all that `.git` holds."""
    digest = hashlib.sha256()
    for path in sorted((root / ".git").rglob("*")):
        if path.is_file():
            digest.update(str(path).encode() + path.read_bytes())
    return digest.hexdigest()


async def carry_out(folder: Path, text: str, **options: Any) -> RunReport:
    path = folder / "run.toml"
    path.write_text(text)
    return await execute(make_plan(path, **options))


async def test_three_scripts_on_a_git_repository(repository: Path) -> None:
    folder = repository.parent
    (folder / "agents.py").write_text(SCRIPTS)
    before = git_digest(repository)
    report = await carry_out(folder, THREE)
    assert report.verdict.kind == "serial", report.verdict
    assert report.succeeded
    assert [(agent.name, agent.state) for agent in report.agents] == [
        ("rename", "committed"),
        ("caller", "committed"),
        ("note", "committed"),
    ]
    assert (repository / "lib.py").read_text() == "def download(url):\n    return url\n"
    assert (repository / "app.py").read_text() == "import lib\n\nprint(lib.download('a'))\n"
    assert (repository / "notes.txt").read_text() == "FIRST\nnot committed\n"
    assert [(change.status, change.key) for change in report.changes] == [
        ("modified", "file:app.py"),
        ("added", "file:caller.py"),
        ("modified", "file:lib.py"),
        ("modified", "file:notes.txt"),
    ]
    assert git_digest(repository) == before
    assert report.agents[1].notices == 1, "it read lib.py before `rename` wrote it"
    assert json.loads(json.dumps(report.as_data()))["verdict"]["kind"] == "serial"


async def test_naive_is_found_not_to_be_serial(repository: Path) -> None:
    """Both read, then both write what they read: write skew, which no order of the two explains."""
    folder = repository.parent
    (folder / "agents.py").write_text(
        "def copy(source, to):\n"
        "    text = yield 'read_file', {'path': source}\n"
        "    yield 'write_file', {'path': to, 'content': f'{to}: {text}'}\n"
    )
    text = """
clock = "virtual"
[[targets]]
kind = "files"
root = "repository"
[[agents]]
name = "A"
script = "agents.py:copy"
params = {source = "lib.py", to = "app.py"}
think_s = 1
[[agents]]
name = "B"
script = "agents.py:copy"
params = {source = "app.py", to = "lib.py"}
think_s = 1
"""
    report = await carry_out(folder, text, protocol="naive")
    assert report.verdict.kind == "not serial"
    assert not report.succeeded
    assert "in none of 2 orders" in report.verdict.reason
    assert "read_file(path=" in report.verdict.reason


async def test_a_script_that_breaks_leaves_nothing(repository: Path) -> None:
    folder = repository.parent
    (folder / "agents.py").write_text(SCRIPTS)
    text = THREE + '[[agents]]\nname = "broken"\nscript = "agents.py:breaks"\nrank = 7\n'
    report = await carry_out(folder, text)
    broken = report.agents[0]
    assert (broken.name, broken.state) == ("broken", "aborted"), "those with a rank come first"
    assert "the script broke" in broken.reason
    assert not (repository / "half.txt").exists()
    assert report.verdict.kind == "serial"
    assert not report.succeeded


MODELS = """
[[targets]]
kind = "files"
root = "repository"
[models.one]
model = "openai:one"
base_url = "URL"
[models.two]
model = "two"
base_url = "URL"
temperature = 0
[[agents]]
name = "rename"
goal = "Rename fetch to download."
model = "one"
[[agents]]
name = "caller"
goal = "Add caller.py, which calls the function in lib.py."
model = "two"
budget = {requests = 9, seconds = 60}
"""


async def test_models_on_a_git_repository_repair_what_they_are_told_of(repository: Path) -> None:
    """`caller` reads lib.py, `rename` renames, `caller` writes the old name, is told, and amends."""
    one, two = Script(), Script()
    both = calls(
        ("edit_file", {"path": "lib.py", "old_string": "fetch", "new_string": "download"}),
        ("edit_file", {"path": "app.py", "old_string": "fetch", "new_string": "download"}),
    )
    write = calls(("write_file", {"path": "caller.py", "content": "import lib\nlib.fetch('b')\n"}))
    amend = calls(
        ("amend", {"call_id": "caller.2", "arguments": {"content": "import lib\nlib.download('b')\n"}})
    )
    two = Script(
        calls(("read_file", {"path": "lib.py"})),
        lambda messages: after(one.asked[1], write)(messages),
        amend,
        says("amended"),
    )
    one = Script(lambda messages: after(two.asked[1], both)(messages), says("renamed"))
    folder = repository.parent
    with serving(one=one, two=two) as url:
        report = await carry_out(folder, MODELS.replace("URL", url), transcripts=folder / "transcripts")
    assert (repository / "caller.py").read_text() == "import lib\nlib.download('b')\n"
    assert report.verdict.kind == "serial", report.verdict
    assert report.succeeded
    caller = report.agents[1]
    assert (caller.calls, caller.notices, caller.repairs, caller.requests) == (2, 1, 1, 4)
    assert (caller.input_tokens, caller.output_tokens) == (400, 40)
    assert caller.kept == []
    assert [path.name for path in sorted((folder / "transcripts").iterdir())] == [
        "caller.json",
        "rename.json",
    ]
    lines = "\n".join(report.lines())
    assert "was told of caller.1, by rename.1" in lines
    assert "amended caller.2" in lines


async def test_what_a_model_keeps_although_it_is_stale_is_pointed_out(repository: Path) -> None:
    one, two = Script(), Script()
    two = Script(
        calls(("read_file", {"path": "lib.py"})),
        lambda messages: after(
            one.asked[1], calls(("write_file", {"path": "caller.py", "content": "lib.fetch('b')\n"}))
        )(messages),
        says("done"),
    )
    one = Script(
        lambda messages: after(
            two.asked[1],
            calls(("edit_file", {"path": "lib.py", "old_string": "fetch", "new_string": "download"})),
        )(messages)
    )
    with serving(one=one, two=two) as url:
        report = await carry_out(repository.parent, MODELS.replace("URL", url))
    assert report.verdict.kind == "serial"
    assert len(report.agents[1].kept) == 1
    assert "caller.2 still carries" in report.agents[1].kept[0]


async def test_a_model_over_budget_leaves_the_others_alone(repository: Path) -> None:
    one = Script(*[calls(("write_file", {"path": "one.txt", "content": str(number)})) for number in range(9)])
    two = Script(calls(("write_file", {"path": "two.txt", "content": "2"})))
    text = MODELS.replace('model = "one"\n', 'model = "one"\nbudget = {calls = 3}\n')
    with serving(one=one, two=two) as url:
        report = await carry_out(repository.parent, text.replace("URL", url))
    assert [(agent.name, agent.state) for agent in report.agents] == [
        ("rename", "aborted"),
        ("caller", "committed"),
    ]
    assert report.agents[0].reason == "budget: it has made 3 calls, which is its budget"
    assert not (repository / "one.txt").exists()
    assert (repository / "two.txt").read_text() == "2"
    assert report.verdict.kind == "serial"
    assert not report.succeeded


async def test_time_runs_out_for_all(repository: Path) -> None:
    never = threading.Event()
    two = Script(calls(("write_file", {"path": "two.txt", "content": "2"})))

    def one(messages: list[dict[str, Any]]) -> dict[str, Any]:
        never.wait(20)
        return says("late")

    with serving(one=one, two=two) as url:
        report = await carry_out(repository.parent, "timeout_s = 0.5\n" + MODELS.replace("URL", url))
        never.set()
    assert {agent.state for agent in report.agents} == {"aborted"}
    assert report.stopped == "the agents were not done after 0.5 s"
    assert not (repository / "two.txt").exists()
    assert report.changes == []
    assert not report.succeeded


async def test_an_interrupt_withdraws_everything(repository: Path) -> None:
    never = threading.Event()
    two = Script(calls(("write_file", {"path": "two.txt", "content": "2"})))

    def one(messages: list[dict[str, Any]]) -> dict[str, Any]:
        never.wait(20)
        return says("late")

    def interrupt(progress: Progress) -> None:
        if (repository / "two.txt").exists() and not progress.stopped:
            signal.raise_signal(signal.SIGINT)

    path = repository.parent / "run.toml"
    with serving(one=one, two=two) as url:
        path.write_text(MODELS.replace("URL", url))
        report = await execute(make_plan(path), interrupt)
        never.set()
    assert report.stopped == "interrupted (SIGINT)"
    assert {agent.reason for agent in report.agents} == {"interrupted (SIGINT)"}
    assert not (repository / "two.txt").exists()
    assert (repository / "notes.txt").read_text() == "first\nnot committed\n"


async def test_a_log_that_is_used_again(repository: Path) -> None:
    folder = repository.parent
    (folder / "agents.py").write_text(SCRIPTS)
    text = 'log = "sqlite:run.db"\n' + THREE.replace('"virtual"', '"real"').replace(
        "think_s = ", "think_s = 0.0"
    )
    assert (await carry_out(folder, text)).succeeded
    assert (folder / "run.db").exists(), "paths in the file start from its folder"
    again = text.replace('"fetch", new = "download"', '"download", new = "fetch"').replace(
        ":note", ":add_caller"
    )
    again = again.replace('name = "note"\n', 'name = "note"\nparams = {name = "more.py"}\n')
    assert (await carry_out(folder, again)).succeeded
    async with coagent.open_domain(
        f"sqlite:{folder / 'run.db'}", targets=[coagent.targets.Files(repository)]
    ) as domain:
        await domain.join("left behind")
    with pytest.raises(coagent.ConfigurationError, match="left behind"):
        await carry_out(folder, text)
