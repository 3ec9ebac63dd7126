"""No command shows a secret, whether of a Secret, an .env file, a URL, an argument, a result or an error."""

from __future__ import annotations

import base64
import json
import stat
import subprocess
from pathlib import Path

import pytest
from commands import coagent

from kube_emulator import Emulator

# Made of parts, so that nothing takes this file for one that holds real tokens.
TOKEN = "ghp_" + "q9W8" * 9
SECRETS = {
    "old": "old-value-of-the-file",
    "new": "new-value-of-the-file",
    "argument": "swordfish-in-an-argument",
    "result": "rosebud-in-a-result",
    "url": "hunter2-in-a-url",
    "row": "pass-in-the-state",
    "changed": "another-pass-in-the-state",
    "kept": "pass-that-others-have",
}
TOOLS = """
from coagent import State, tool

@tool
async def fetch(state: State, url: str) -> str:
    await state.put("kv:fetched", url)
    return "ok"

@tool
async def log_in(state: State, password: str) -> dict:
    await state.put("kv:login", "done")
    return {"session_token": "RESULT", "user": "bob"}

@tool
async def refuse(state: State, note: str) -> str:
    raise ValueError(f"cannot take {note!r}: old was OLD")

@tool
async def set_row(state: State, value: str) -> str:
    await state.put("kv:db/password", value)
    return value

@tool
async def copy_row(state: State) -> str:
    value = await state.get("kv:db/password")
    await state.put("kv:copy", value)
    return value

def writer():
    text = yield "read_file", {"path": ".env"}
    yield "write_file", {"path": ".env", "content": "API_KEY=NEW\\n"}
    yield "fetch", {"url": "https://bob:URL@example.org/x?access_token=ARGUMENT"}
    yield "fetch", {"url": "https://example.org/TOKEN"}
    yield "log_in", {"password": "ARGUMENT"}
    try:
        yield "refuse", {"note": "NEW and RESULT"}
    except Exception:
        pass
    try:
        yield "edit_file", {"path": ".env", "old_string": "KEPT", "new_string": "ARGUMENT"}
    except Exception:
        pass
    yield "set_row", {"value": "CHANGED"}

def reader():
    text = yield "read_file", {"path": ".env"}
    copied = yield "copy_row", {}
    yield "write_file", {"path": "copy.txt", "content": f"found {copied} and {text}"}
    raise ValueError(f"stopped at {copied} and {text}")
"""
RUN = """
log = "sqlite:log.db"
[[targets]]
kind = "files"
root = "tree"
[[targets]]
kind = "memory"
initial = {"kv:db/password" = "ROW"}
[tools]
builtin = ["files"]
modules = ["tools.py"]
[[agents]]
name = "A"
script = "tools.py:writer"
think_s = 0.1
[[agents]]
name = "B"
script = "tools.py:reader"
think_s = 0.01
"""


def filled(text: str) -> str:
    for name, value in SECRETS.items():
        text = text.replace(name.upper(), value)
    return text.replace("/TOKEN", f"/{TOKEN}")


def shown(text: str) -> list[str]:
    """Return the secrets that stand in a text, in any form."""
    known = [*SECRETS.values(), TOKEN]
    forms = known + [base64.b64encode(one.encode()).decode().rstrip("=") for one in known]
    return [one for one in forms if one in text or one[:12] in text]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / ".env").write_text(filled("API_KEY=OLD\n"))
    (tmp_path / "tools.py").write_text(filled(TOOLS))
    (tmp_path / "run.toml").write_text(filled(RUN))
    return tmp_path


def ran(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return coagent("run", "run.toml", "--report", "report.json", *options, cwd=folder)


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_run_shows_no_secret(folder: Path, options: tuple[str, ...]) -> None:
    done = ran(folder, *options)
    assert done.returncode == 1, done.stderr  # B has failed
    assert "read_file(path='.env')" in done.stderr
    assert "write_file(path='.env', content='[masked]')" in done.stderr
    assert "refuse(note='[masked] and [masked]')" in done.stderr
    for text in (done.stderr, done.stdout, (folder / "report.json").read_text()):
        assert shown(text) == []
        assert "[masked]" in text
    data = json.loads((folder / "report.json").read_text())
    assert data["agents"][1]["reason"] == "ValueError: stopped at [masked] and [masked]\n"
    assert stat.S_IMODE((folder / "report.json").stat().st_mode) == 0o600


def test_the_log_and_the_status_show_no_secret(folder: Path) -> None:
    ran(folder)
    domain = f"sqlite:{folder / 'log.db'}"
    for command in ("log", "status"):
        for options in ((), ("--json",)):
            done = coagent(command, "--domain", domain, *options)
            assert done.returncode == 0, done.stderr
            assert shown(done.stdout + done.stderr) == []
    lines = coagent("log", "--domain", domain).stdout
    assert 'log_in(password="[masked]")' in lines
    assert "failed: ValueError: cannot take '[masked] and [masked]': old was [masked]" in lines
    assert stat.S_IMODE((folder / "log.db").stat().st_mode) == 0o600


def test_a_run_that_is_not_serial_says_where_without_what(folder: Path) -> None:
    (folder / "run.toml").write_text(filled(RUN).replace('"sqlite:log.db"', '"memory:"\nprotocol = "naive"'))
    done = ran(folder)
    assert shown(done.stdout + done.stderr) == []


def test_a_dry_run_and_a_wrong_file_show_no_secret(folder: Path) -> None:
    done = ran(folder, "--dry-run")
    assert "kv:db/password" in done.stdout
    assert shown(done.stdout + done.stderr) == []
    sql = filled('kind = "sql"\nurl = "postgresql://bob:URL@127.0.0.1:1/x"\npassword = "ARGUMENT"')
    (folder / "run.toml").write_text(filled(RUN).replace('kind = "memory"', sql, 1).replace("initial", "#"))
    done = ran(folder)
    assert done.returncode == 2
    assert shown(done.stdout + done.stderr) == []


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_taking_back_a_call_shows_no_secret(folder: Path, options: tuple[str, ...]) -> None:
    (folder / ".coagent").mkdir()
    (folder / "tree" / "notes.txt").write_text("one\n")
    (folder / ".coagent" / "config.toml").write_text('[[targets]]\nkind = "files"\nroot = "../tree"\n')
    (folder / "agents.py").write_text(
        filled("""
import anyio
from pathlib import Path
from coagent.config.domain_file import configured

async def main():
    async with configured(Path(".coagent/config.toml")).domain as domain:
        a = await domain.join("A")
        await a.call("write_file", path=".env", content="API_KEY=NEW")
        await a.call("read_file", path=".env")

anyio.run(main)
""")
    )
    made = coagent_python(folder / "agents.py", folder)
    assert made.returncode == 0, made.stderr
    done = coagent("undo", "A.1", *options, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "A.2" in done.stdout  # it gives something else now
    assert shown(done.stdout + done.stderr) == []


def coagent_python(script: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    import sys

    from commands import environment

    return subprocess.run(
        [sys.executable, str(script)], cwd=cwd, env=environment(), capture_output=True, text=True, check=False
    )


def test_a_secret_of_kubernetes_is_shown_nowhere(tmp_path: Path) -> None:
    values = {name: base64.b64encode(value.encode()).decode() for name, value in SECRETS.items()}
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "db", "namespace": "default"},
        "data": {"user": values["old"], "tls.crt": values["kept"]},
    }
    scripts = """
def a():
    yield "kube_patch", {"kind": "secret", "name": "db", "patch": {"stringData": {"user": "NEW"}}}
    manifest = "apiVersion: v1\\nkind: Secret\\nmetadata:\\n  name: x\\nstringData:\\n  a: ARGUMENT\\n"
    yield "kube_apply", {"manifest": manifest}

def b():
    found = yield "kube_get", {"kind": "secret", "name": "db"}
    yield "kube_get", {"kind": "secrets", "name": "db", "path": "/data/user"}
    env = [{"name": "PGPASSWORD", "value": "RESULT"}]
    yield "kube_create", {"manifest": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"},
        "data": {"copied": found["data"]["user"]}, "env": env}}
"""
    (tmp_path / "agents.py").write_text(filled(scripts))
    with Emulator(initial=[secret], token="", tls=False) as cluster:
        cluster.write_kubeconfig(tmp_path / "config")
        (tmp_path / "run.toml").write_text(
            'log = "sqlite:log.db"\n[[targets]]\nkind = "kubernetes"\nkubeconfig = "config"\n'
            'namespace = "default"\n[[agents]]\nname = "A"\nscript = "agents.py:a"\nthink_s = 0.3\n'
            '[[agents]]\nname = "B"\nscript = "agents.py:b"\nthink_s = 0.05\n'
        )
        done = ran(tmp_path)
    assert "kube_patch(kind='secret', name='db', patch=" in done.stderr
    assert "kube_get(kind='secret', name='db')" in done.stderr
    listing = coagent("log", "--domain", f"sqlite:{tmp_path / 'log.db'}")
    as_json = coagent("log", "--json", "--domain", f"sqlite:{tmp_path / 'log.db'}")
    for text in (
        done.stderr,
        done.stdout,
        (tmp_path / "report.json").read_text(),
        listing.stdout,
        as_json.stdout,
    ):
        assert shown(text) == []


def test_what_is_printed_steers_no_terminal(folder: Path) -> None:
    name = "a\x1b[31m\u202e\u200bb.txt"
    (folder / "tools.py").write_text(
        "def writer():\n"
        f"    yield 'write_file', {{'path': {name!r}, 'content': 'x\\x1b]0;title\\x07'}}\n"
        f"def reader():\n    raise ValueError('no\\nA: committed\\x1b[2J')\n    yield\n"
    )
    run = (folder / "run.toml").read_text().replace('modules = ["tools.py"]', "")
    (folder / "run.toml").write_text(run)
    done = ran(folder)
    domain = f"sqlite:{folder / 'log.db'}"
    for text in (
        done.stderr,
        done.stdout,
        ran(folder, "--json", "--log", "memory:").stdout,
        coagent("log", "--domain", domain).stdout,
        coagent("log", "--json", "--domain", domain).stdout,
        coagent("status", "--domain", domain).stdout,
    ):
        assert all(one.isprintable() or one == "\n" for one in text)
    assert "\nA: committed" not in done.stdout
