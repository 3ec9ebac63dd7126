"""Work that nobody in the domain has done: what git says of it is kept as long as it must say the same."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest
from conftest_sandbox import git, needs_views, shells

from coagent.systems.git.foreign_changes import ForeignChanges
from coagent.systems.git.repository import Repository
from coagent.systems.shell.views.snapshot import Snapshots

_NAMES = ("a.txt", "b.txt", "new", "new.log", "src/run.sh", "src/new", "src/x.log")


def _left_out(path: str) -> bool:
    return path.partition("/")[0] == ".git"


class _Tree:
    """A repository, what is kept of it, and what an agent has written."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.repository = Repository(str(root))
        self.snapshots = Snapshots(str(root), root.parent / "snapshots", _left_out)
        self.kept = ForeignChanges(self.repository, self.snapshots, _left_out)
        self.written: set[str] = set()

    def look(self) -> list[str]:
        """Return what is known, having seen that it is what git says now."""
        self.snapshots.release(self.snapshots.take())
        commit = self.repository.commit()
        anew = ForeignChanges(self.repository, self.snapshots, _left_out)
        found = self.kept.paths(commit, self.written, fresh=True)
        assert found == anew.paths(commit, self.written, fresh=True)
        return found


def _write(place: Path, text: str) -> None:
    place.parent.mkdir(exist_ok=True)
    fresh = place.with_name("fresh")
    fresh.write_text(text)
    fresh.replace(place)


@pytest.mark.parametrize(
    "seed", [*range(3), *(pytest.param(seed, marks=pytest.mark.long) for seed in range(3, 10))]
)
def test_what_is_kept_is_what_git_would_say(
    workspace: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(workspace.parent))
    (workspace.parent / "git").mkdir()
    tree, chance = _Tree(workspace), random.Random(seed)
    for number in range(40):
        path = chance.choice(_NAMES)
        what = chance.choice(
            ("person", "person gone", "agent", "agent", "agent", "agent undone", "rules", "commit", "")
        )
        if what in ("person", "agent"):
            _write(workspace / path, f"{what} {number}")
        if what == "agent":
            tree.written.add(path)
        elif what == "person gone":
            (workspace / path).unlink(missing_ok=True)
        elif what == "agent undone":
            tree.written.discard(path)
        elif what == "rules":
            rules = chance.choice(
                (".gitignore", "src/.gitignore", ".git/info/exclude", "../git/ignore", ".gitattributes")
            )
            place = workspace / rules
            _write(
                place,
                chance.choice(("", "*.log\n", "new\n")) if "attr" not in rules else "*.txt eol=crlf\n",
            )
            if chance.random() < 0.5:
                tree.written.add(rules)
        elif what == "commit":
            git(workspace, "add", "-A")
            git(workspace, "commit", "-qm", f"{number}", "--allow-empty")
        tree.look()
    tree.snapshots.close()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="events come from inotify(7)")
def test_git_is_asked_again_only_where_it_may_say_something_else(workspace: Path) -> None:
    tree = _Tree(workspace)
    _write(workspace / "b.txt", "a person's")
    assert tree.look() == ["b.txt"]
    assert tree.look() == ["b.txt"]
    _write(workspace / "a.txt", "an agent's")
    tree.written.add("a.txt")
    assert tree.look() == ["b.txt"]
    assert tree.kept.looked == 1
    tree.written.clear()  # what nobody in the domain has done now
    assert tree.look() == ["a.txt", "b.txt"]
    assert tree.kept.looked == 2
    git(workspace, "config", "core.autocrlf", "true")
    tree.look()
    assert tree.kept.looked == 3
    tree.snapshots.close()


@needs_views
@pytest.mark.anyio
async def test_a_person_who_writes_between_two_commands_is_seen(workspace: Path) -> None:
    async with shells(workspace) as domain:
        a = await domain.join("A")
        await a.call("bash", command="echo x > mine; git status --short")
        (workspace / "theirs").write_text("a person's")
        found = (await a.call("bash", command="git add -A; git status --short")).value
        assert found["left_to_others"] == ["theirs"]
        assert "mine" in found["output"]
        assert "theirs" not in found["output"]
