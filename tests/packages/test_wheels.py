"""What each package of this repository installs, and what the product can do by itself."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from building import OURS, PACKAGES, ROOT, build, project
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

VERSION = project()["version"]

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Installed:
    """Folders that hold what pip would install: our packages, each from its wheel, and what they need."""

    wheels: Path
    others: Path

    def names(self, package: str) -> set[str]:
        """Return the top folders of a package's wheel."""
        return {path.name for path in (self.wheels / package).iterdir()}

    def run(self, *arguments: str, packages: tuple[str, ...] = ("coagent",)) -> tuple[int, str, str]:
        """Run `coagent` where only these packages of ours are installed: exit code, output, errors."""
        places = [*(self.wheels / package for package in packages), self.others]
        done = subprocess.run(
            # Without `site` nothing of the environment of the tests is found.
            [sys.executable, "-S", "-m", "coagent", *arguments],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, places)), "COLUMNS": "80"},
            cwd=self.wheels,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("packages")
    for name, place in PACKAGES.items():
        (wheel,) = build(place, folder / f"{name}.dist", "wheel")
        zipfile.ZipFile(wheel).extractall(folder / "wheels" / name)
    others = folder / "others"
    others.mkdir()
    for path in Path(sysconfig.get_paths()["purelib"]).iterdir():
        if not path.name.replace("_", "-").startswith((*OURS, "-coagent", "-kube-emulator")):
            (others / path.name).symlink_to(path)
    return Installed(folder / "wheels", others)


def test_each_wheel_holds_its_own_package_and_no_other(installed: Installed) -> None:
    assert installed.names("coagent") == {"coagent", f"coagent_mtpo-{VERSION}.dist-info"}
    assert installed.names("coagent_lab") == {"coagent_lab", f"coagent_lab-{VERSION}.dist-info"}
    assert installed.names("kube_emulator") == {"kube_emulator", f"kube_emulator-{VERSION}.dist-info"}
    assert {"sim", "bench", "emulator"}.isdisjoint(
        path.name for path in (installed.wheels / "coagent" / "coagent").iterdir()
    )
    for name in PACKAGES:
        assert (installed.wheels / name / name / "py.typed").exists(), name
        assert list((installed.wheels / name).glob("*.dist-info/licenses/LICENSE")), name


def test_the_product_alone_shows_its_demo(installed: Installed) -> None:
    code, output, errors = installed.run("demo", "repo", "--json")
    assert (code, errors) == (0, "")
    assert [run["serializable"] for run in json.loads(output)["runs"]] == [True, False, True]


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("bench",), "`coagent bench`"),
        (("bench", "--help"), "`coagent bench`"),
        (("demo", "canary"), "the demo 'canary'"),
    ],
)
def test_the_product_alone_names_the_package_that_brings_the_rest(
    installed: Installed, arguments: tuple[str, ...], what: str
) -> None:
    code, output, errors = installed.run(*arguments)
    assert (code, output) == (2, "")
    assert " ".join(errors.split()) == (
        f"error: {what} comes with the package 'coagent-lab', which is not installed "
        "Install it from CoAgent's repository: pip install . packages/kube-emulator packages/coagent-lab"
    )


def test_the_product_alone_lists_what_there_is_and_what_there_could_be(installed: Installed) -> None:
    code, output, errors = installed.run("demo")
    assert (code, errors) == (0, "")
    assert output.startswith("repo  Two agents")
    assert output.endswith("More with the package coagent-lab, which is not installed: canary.\n")
    code, output, errors = installed.run("--help")
    assert (code, errors) == (0, "")
    assert "bench" in output


def test_with_the_others_all_of_it_works(installed: Installed) -> None:
    everything = tuple(PACKAGES)
    code, output, errors = installed.run("demo", packages=everything)
    assert (code, errors) == (0, "")
    assert "not installed" not in output
    assert output.startswith("canary  Two agents")
    code, output, errors = installed.run("demo", "canary", "-p", "mtpo", "--json", packages=everything)
    assert (code, errors) == (0, "")
    assert json.loads(output)["runs"][0]["serializable"]
    code, output, errors = installed.run("bench", "--help", packages=everything)
    assert (code, errors) == (0, "")
    assert "contended" in output


def test_the_lock_has_what_all_packages_need() -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    pinned = dict(re.findall(r"^([a-z0-9-]+)==([^ ;\n]+)", lock, re.M))
    needed = [Requirement(text) for folder in PACKAGES.values() for text in project(folder)["dependencies"]]
    assert [
        str(one)
        for one in needed
        if one.name not in OURS
        and not one.specifier.contains(pinned.get(canonicalize_name(one.name), "0"), prereleases=True)
    ] == []
