"""Writes the bill of materials of the product with all its extras, in CycloneDX's form.

`make dist` runs it. What is listed is what `pip install 'coagent-mtpo[all]'` brings in, at the versions of
`requirements.lock`, with its hashes; development's packages are not.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PRODUCT = "coagent-mtpo"


def locked(text: str) -> dict[str, str]:
    """Return what a lock says of each package: its version and hashes, without comments."""
    return {entry[1]: entry[0] for entry in re.finditer(r"^([a-z0-9-]+)==(?:.*\\\n)*.*\n", text, re.M)}


def brought_in() -> set[str]:
    """Return the packages that the product brings in with all its extras, on this machine."""
    found: set[tuple[str, str]] = set()
    waiting = [Requirement(text) for text in _declared()]
    while waiting:
        needed = waiting.pop()
        name = canonicalize_name(needed.name)
        for extra in ("", *sorted(needed.extras)):
            if (name, extra) in found:
                continue
            found.add((name, extra))
            for text in _requires(name):
                inner = Requirement(text)
                if inner.marker is None or inner.marker.evaluate({"extra": extra}):
                    waiting.append(inner)
    return {name for name, _ in found} - {PRODUCT}


def _declared() -> list[str]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    extras = project["optional-dependencies"]
    (names,) = re.findall(r"\[(.*)\]", extras["all"][0])
    given = [*project["dependencies"], *(text for name in names.split(",") for text in extras[name])]
    return [text for text in given if (marker := Requirement(text).marker) is None or marker.evaluate()]


def _requires(name: str) -> list[str]:
    try:
        return requires(name) or []
    except PackageNotFoundError:  # for another system, or another Python
        return []


def requirements() -> str:
    """Return the part of the lock that the product brings in."""
    lock = locked((ROOT / "requirements.lock").read_text(encoding="utf-8"))
    names = sorted(brought_in())
    missing = [name for name in names if name not in lock]
    if missing:
        raise SystemExit(f"requirements.lock lacks {', '.join(missing)}: run `make lock`")
    return "".join(lock[name] for name in names)


def main(place: str) -> int:
    """Write the bill to a file; return the exit code of the program that writes it."""
    # It warns that what depends on what is left out, which a lock does not tell.
    command = [sys.executable, "-W", "ignore::UserWarning", "-m", "cyclonedx_py", "requirements", "-"]
    command += ["--output-reproducible"]
    command += ["--pyproject", str(ROOT / "pyproject.toml"), "--mc-type", "library", "-o", place]
    return subprocess.run(command, input=requirements(), text=True, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
