"""A release is of one version, comes out the same for everybody, and lists what it brings in."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tarfile
from importlib.metadata import version
from pathlib import Path

import pytest
from bill_of_materials import brought_in, locked, requirements
from building import PACKAGES, ROOT, build, project
from packaging.requirements import Requirement

LOCK = locked((ROOT / "requirements.lock").read_text(encoding="utf-8"))


def test_all_packages_are_of_one_version_and_ask_for_each_other_by_it() -> None:
    versions = {name: project(folder)["version"] for name, folder in PACKAGES.items()}
    assert len(set(versions.values())) == 1
    assert version("coagent-mtpo") == versions["coagent"]
    asked = {
        (found := Requirement(text)).name: found for text in project(PACKAGES["coagent_lab"])["dependencies"]
    }
    for name in ("coagent-mtpo", "kube-emulator"):
        assert asked[name].specifier.contains(versions["coagent"]), name
        assert not asked[name].specifier.contains("0.1.0"), name


def test_the_changelog_begins_with_the_version_and_its_day() -> None:
    headings = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    assert re.fullmatch(rf"\[{re.escape(project()['version'])}\] - \d{{4}}-\d\d-\d\d", headings[0])


def _copied(into: Path, day: str) -> Path:
    """Return a copy of what git keeps of this repository, its files as if written on another day."""
    names = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).exists():
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, into / name, follow_symlinks=False)
            os.utime(into / name, (float(day),) * 2, follow_symlinks=False)
    return into


@pytest.mark.long
def test_two_people_build_the_same_bytes(tmp_path: Path) -> None:
    """And what is built from the source package is what is built from the repository."""
    built = []
    for number, day in enumerate(("1500000000", "1600000000")):
        copy = _copied(tmp_path / f"{number} copy", day)
        (copy / "src" / "coagent" / "errors.py").chmod(0o600 if number else 0o644)
        files = build(copy, tmp_path / f"{number}", "sdist", "wheel")
        built.append({path.name: path.read_bytes() for path in files})
    assert built[0] == built[1]
    (source,) = (name for name in built[0] if name.endswith(".tar.gz"))
    with tarfile.open(tmp_path / "0" / source) as archive:
        archive.extractall(tmp_path, filter="data")
    (wheel,) = build(tmp_path / source.removesuffix(".tar.gz"), tmp_path / "from source", "wheel")
    assert wheel.read_bytes() == built[0][wheel.name]


def test_the_bill_of_materials_lists_what_the_product_brings_in_and_nothing_of_development() -> None:
    names = brought_in()
    assert {"anyio", "google-re2", "mcp", "psycopg-binary", "opentelemetry-sdk", "textual"} <= names
    assert {"pytest", "mypy", "hatchling", "zensical"} <= set(LOCK)
    assert names.isdisjoint({"pytest", "mypy", "hatchling", "zensical", "coagent-mtpo"})
    listed = locked(requirements())
    assert set(listed) == names
    assert all("--hash=sha256:" in entry for entry in listed.values())
