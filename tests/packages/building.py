"""Builds the packages of this repository, and tells what they say of themselves."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "coagent": ROOT,
    "coagent_lab": ROOT / "packages" / "coagent-lab",
    "kube_emulator": ROOT / "packages" / "kube-emulator",
}
OURS = {"coagent-mtpo", "coagent-lab", "kube-emulator"}


def project(folder: Path = ROOT) -> dict[str, Any]:
    """Return the table `[project]` of a package."""
    with (folder / "pyproject.toml").open("rb") as file:
        found: dict[str, Any] = tomllib.load(file)["project"]
    return found


def build(folder: Path, into: Path, *targets: str) -> list[Path]:
    """Build a package and return the files, by name.

    Args:
        folder: Of the package.
        into: Where the files go.
        targets: "wheel", "sdist".
    """
    wanted = [option for target in targets for option in ("-t", target)]
    command = [sys.executable, "-m", "hatchling", "build", *wanted, "-d", str(into)]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    return sorted(into.iterdir())
