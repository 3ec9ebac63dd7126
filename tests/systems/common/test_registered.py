"""Systems are found by what installed packages register, and imported when a file names them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import SimpleNamespace

import pytest
from ticket_server import TicketServer

from coagent.config import systems
from coagent.config.domain_file import read_domain_file
from coagent.config.systems import registered, system
from coagent.config.targets import make_target
from coagent.errors import ConfigurationError
from coagent.systems.base import GROUP, System

ROOT = Path(__file__).parents[3]
PROJECT = Path(__file__).parents[1] / "ticket_system"
GUIDE = ROOT / "docs" / "add-a-system.md"
OURS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"][GROUP]
SCRIPTS = """
def first():
    yield "report", {"number": 1, "title": "It is slow"}


def second():
    tickets = yield "open_tickets", {}
    for number in tickets:
        yield "set_state", {"number": int(number), "to": "closed"}
"""
RUN = """
timeout_s = 60

[[targets]]
kind = "tickets"
url = "URL"

[[agents]]
name = "first"
script = "scripts.py:first"

[[agents]]
name = "second"
script = "scripts.py:second"
"""
IMPORTED = """
import json, sys
from pathlib import Path
from coagent.config import systems
from coagent.config.domain_file import configured
configured(Path(sys.argv[1]))
print(json.dumps([one for one in sys.modules if one.startswith("coagent.systems.")]))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the package of the ticket system is installed."""
    folder = tmp_path_factory.mktemp("installed")
    install = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
    ]
    subprocess.run([*install, "--target", str(folder), str(PROJECT)], check=True, capture_output=True)
    return folder


def coagent(installed: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line where the package of the ticket system is installed."""
    return subprocess.run(
        [sys.executable, "-m", "coagent", *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(installed), str(ROOT / "src")))},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_package_from_outside_adds_a_system_by_being_installed(installed: Path, tmp_path: Path) -> None:
    server = TicketServer()
    (tmp_path / "scripts.py").write_text(SCRIPTS)
    (tmp_path / "run.toml").write_text(RUN.replace("URL", server.url))
    found = coagent(installed, "run", str(tmp_path / "run.toml"), "--json")
    server.stop()
    assert found.returncode == 0, found.stdout + found.stderr
    assert json.loads(found.stdout)["verdict"]["kind"] == "serial"
    assert server.tickets["1"][0] == {"title": "It is slow", "state": "closed"}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ('url = "ftp://x"', "run.toml:4: 'ftp://x' is no address"),
        ('urk = "http://x"', "run.toml:6: unknown key 'urk' in [targets]. Did you mean 'url'?"),
        ('url = "http://x"\n[tools.tickets]\nread_onyl = true', "Did you mean 'read_only'?"),
        ('url = "http://x"\n[tools.tikets]', "Did you mean 'tickets'?"),
        ('url = "http://x"\n[tools]\nbuiltin = ["ticket"]', "Did you mean 'tickets'?"),
    ],
)
def test_what_is_wrong_with_its_tables_is_said_as_for_others(
    installed: Path, tmp_path: Path, wrong: str, said: str
) -> None:
    (tmp_path / "scripts.py").write_text(SCRIPTS)
    (tmp_path / "run.toml").write_text(RUN.replace('url = "URL"', wrong))
    found = coagent(installed, "run", str(tmp_path / "run.toml"), "--dry-run")
    assert found.returncode == 2
    assert said in " ".join(found.stderr.split())


def test_without_it_there_is_no_such_kind(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[[targets]]\nkind = "tickets"\nurl = "http://x"\n')
    with pytest.raises(ConfigurationError, match=r"config.toml:\d: there is no kind of target 'tickets'"):
        read_domain_file(tmp_path / "config.toml")


def test_what_is_registered_is_what_the_project_says() -> None:
    assert OURS.keys() <= set(registered())
    for name, place in OURS.items():
        found = system(name)
        assert isinstance(found, System)
        assert found.name == name
        assert next(iter(entry_points(group=GROUP, name=name))).value == place


def test_only_the_systems_that_a_file_names_are_imported(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[[targets]]\nkind = "memory"\ninitial = {"kv:x" = 1}\n')
    command = [sys.executable, "-c", IMPORTED, str(tmp_path / "config.toml")]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert set(json.loads(found.stdout)) == {"coagent.systems.base", "coagent.systems.memory"}


@pytest.mark.parametrize(
    ("kind", "keys", "missing"),
    [
        ("sql", 'url = "postgresql://127.0.0.1:1/x"', "coagent.systems.sql.target"),
        ("kubernetes", "", "coagent.systems.kubernetes.target"),
        ("documents", "", "coagent.systems.documents.target"),
    ],
)
def test_the_extra_that_is_not_installed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, keys: str, missing: str
) -> None:
    (tmp_path / "config.toml").write_text(f'[[targets]]\nkind = "{kind}"\n{keys}\n')
    (table,) = read_domain_file(tmp_path / "config.toml").targets
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ConfigurationError) as caught:
        make_target(table, tmp_path, "config.toml:1")
    extra = "sql" if kind == "documents" else kind
    assert caught.value.cure == f"Install it: pip install 'coagent-mtpo[{extra}]'."


def test_an_installation_that_registers_nothing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systems, "distribution", lambda _: SimpleNamespace(entry_points=()))
    systems._own.cache_clear()
    try:
        with pytest.raises(ConfigurationError, match="registers no systems") as caught:
            system("files")
    finally:
        systems._own.cache_clear()
    assert "Install it again" in caught.value.cure


def test_what_a_package_registers_wrongly_is_named_with_the_package(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wrong = {
        "list": EntryPoint("list", "builtins:list", GROUP),
        "gone": EntryPoint("gone", "no_such_module:SYSTEM", GROUP),
    }
    monkeypatch.setattr(systems, "_others", lambda _: wrong)
    with pytest.raises(ConfigurationError, match="registers under 'list' what is no system"):
        system("list")
    with pytest.raises(ConfigurationError, match=r"'gone' \(no_such_module:SYSTEM\) cannot be imported"):
        system("gone")


def test_the_guide_shows_the_package_as_it_is() -> None:
    blocks = [part.partition("\n") for part in GUIDE.read_text().split("```")[1::2]]
    shown = [text.strip("\n") for kind, _, text in blocks if kind in ("python", "toml")]
    package = (PROJECT / "tickets.py").read_text() + (PROJECT / "pyproject.toml").read_text()
    assert len(shown) > 4
    assert [block for block in shown if block not in package] == []
