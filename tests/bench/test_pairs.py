"""`coagent bench pairs` on a small data set of our own, in a real repository: git's merge beside ours."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coagent.errors import ConfigurationError
from coagent_lab.bench.pairs.dataset import read_dataset
from coagent_lab.bench.pairs.edits import edits_between
from coagent_lab.bench.pairs.measure import Pair, measure
from coagent_lab.bench.pairs.report import counted, missed
from coagent_lab.bench.pairs.suites import Verdict

APP = "def total(items):\n    return sum(items)\n\n\ndef mean(items):\n    return total(items) / len(items)\n"
FEATURES = {
    1: APP.replace("def total(items):", "def total(items, start=0):").replace(
        "sum(items)", "sum(items, start)"
    ),
    2: APP.replace("def mean(items):", "def mean(items, ndigits=None):"),
    3: APP.replace("sum(items)", "float(sum(items))"),
    4: APP.replace("def total(items):", "def total(items, *, absolute=False):"),
}
"""2 has nothing to do with the others; 1 and 4 change the same words; 3 is on a line that 1 changes."""


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=t", "-c", "user.email=t@localhost")
    return subprocess.run(
        ["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    """A data set with one task, and where the clone of its repository lies."""
    clone = tmp_path / "clones" / "app"
    clone.mkdir(parents=True)
    git(clone, "init", "-q")
    (clone / "app.py").write_text(APP)
    git(clone, "add", "-A")
    git(clone, "commit", "-qm", "base")
    commit = git(clone, "rev-parse", "HEAD").strip()
    task = tmp_path / "dataset" / "app_task" / "task1"
    for number, text in FEATURES.items():
        folder = task / f"feature{number}"
        folder.mkdir(parents=True)
        (clone / "app.py").write_text(text)
        (folder / "feature.patch").write_text(git(clone, "diff"))
        (clone / "app.py").write_text(APP)
        (folder / "tests.patch").write_text("")
    (task / "Dockerfile").write_text(
        f"RUN git clone https://github.com/owner/app.git repo && \\\n    git checkout {commit}\n"
    )
    return tmp_path / "dataset", tmp_path / "clones"


def by_features(pairs: list[Pair]) -> dict[tuple[int, int], dict[str, bool]]:
    return {pair.features: {merge.way: merge.applied for merge in pair.merges} for pair in pairs}


def test_pairs_that_git_cannot_merge_go_in_where_their_words_do_not_clash(places: tuple[Path, Path]) -> None:
    dataset, clones = places
    found = list(measure(read_dataset(dataset), clones, tests=False))
    applied = by_features(found)
    assert applied[1, 2] == {"git": True, "1<2": True, "2<1": True}
    assert applied[1, 3] == {"git": False, "1<3": True, "3<1": True}
    assert applied[1, 4] == {"git": False, "1<4": True, "4<1": True}, "both insert at one place"
    assert missed(found) == []
    counts = counted(found)["all"]
    assert (counts["git"].merges, counts["coagent"].merges) == (6, 12)
    assert counts["git"].applied < counts["coagent"].applied / 2
    assert all(merge.told for pair in found for merge in pair.merges if merge.merged), (
        "a merge is always told"
    )
    assert all(merge.tests is Verdict.not_run for pair in found for merge in pair.merges)


def test_a_task_without_a_clone_is_left_out_and_named(places: tuple[Path, Path], tmp_path: Path) -> None:
    found = list(measure(read_dataset(places[0]), tmp_path, tests=False))
    assert {pair.left_out for pair in found} == {"there is no clone of owner/app"}
    assert json.dumps([pair.as_data() for pair in found])


def test_a_folder_without_tasks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there are no tasks"):
        read_dataset(tmp_path)


_TEXTS = st.lists(st.sampled_from(["a\n", "b\n", "\n", "c d\n"]), max_size=12).map("".join)


@given(_TEXTS, _TEXTS)
def test_edits_lead_from_one_text_to_the_other_and_each_is_clear(before: str, after: str) -> None:
    text = before
    for old, new in edits_between(before, after):
        assert text.count(old) == 1 or old in ("", text)
        text = text.replace(old, new, 1) if old else new
    assert text == after
