"""`coagent doctor` as people call it: exit codes, lines, JSON, and that it changes nothing."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from commands import SRC, coagent, environment
from doctoring import about, doctor, workspace

IS_ROOT = os.geteuid() == 0


def everything(root: Path) -> dict[str, bytes]:
    paths = [path for path in root.rglob("*") if ".git" not in path.parts]
    return {str(path): path.read_bytes() if path.is_file() else b"" for path in paths}


def test_a_new_workspace_has_nothing_wrong_and_is_left_as_it_is(tmp_path: Path) -> None:
    workspace(tmp_path)
    before = everything(tmp_path)
    done = coagent("doctor", str(tmp_path), HOME=str(tmp_path / "nobody"))
    assert done.returncode == 0, done.stdout
    assert "problem  " not in done.stdout
    assert "\x1b" not in done.stdout
    assert f"CoAgent in {tmp_path}" in done.stdout
    assert everything(tmp_path) == before


def test_json_names_the_workspace_and_counts_what_was_found(tmp_path: Path) -> None:
    workspace(tmp_path)
    (tmp_path / "below").mkdir()
    done = coagent("doctor", str(tmp_path / "below"), "--json")
    data = json.loads(done.stdout)
    assert data["workspace"] == str(tmp_path)
    assert data["domain_file"] == str(tmp_path / ".coagent" / "config.toml")
    assert sum(data["count"].values()) == len(data["findings"])
    assert {"about", "state", "text", "cure"} == set(data["findings"][0])


def test_where_nothing_is_governed_there_is_a_problem_with_its_cure(tmp_path: Path) -> None:
    code, findings = doctor(tmp_path)
    assert code == 1
    found = next(one for one in findings if one["about"] == "domain file")
    assert found["state"] == "problem"
    assert found["cure"] == "coagent init"


def test_a_folder_that_is_not_there_is_bad_usage(tmp_path: Path) -> None:
    done = coagent("doctor", str(tmp_path / "nowhere"))
    assert done.returncode == 2
    assert "there is no folder" in done.stderr


def test_a_domain_file_with_a_fault_is_shown_with_its_line(tmp_path: Path) -> None:
    workspace(tmp_path, 'protocol = "none"')
    code, findings = doctor(tmp_path)
    assert code == 1
    state, text = about(findings, "domain file")[0]
    assert state == "problem"
    assert "there is no protocol 'none'" in text


def test_tool_modules_are_looked_at_and_not_run(tmp_path: Path) -> None:
    workspace(tmp_path)
    config = tmp_path / ".coagent" / "config.toml"
    names = '"good.py", "bad.py", "gone.py"'
    config.write_text(config.read_text().replace("[tools]", f"[tools]\nmodules = [{names}]"))
    ran = tmp_path / "ran"
    (config.parent / "good.py").write_text(f"open({str(ran)!r}, 'w')\n")
    (config.parent / "bad.py").write_text("def\n")
    _, findings = doctor(tmp_path)
    said = " ".join(text for state, text in about(findings, "domain file") if state == "problem")
    assert "bad.py are no Python" in said
    assert "gone.py cannot be read" in said
    assert "good.py" not in said
    assert not ran.exists()


def test_a_database_that_is_away_is_told_without_its_password(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    file = tmp_path / "domain.toml"
    url = f"postgresql://agent:hunter2-secret@127.0.0.1:{port}/db"
    file.write_text(f'log = "sqlite:log.db"\n[[targets]]\nkind = "sql"\nurl = "{url}"\n')
    for arguments in (("--json",), ()):
        done = coagent("doctor", str(file), *arguments)
        assert done.returncode == 1, done.stdout + done.stderr
        assert "hunter2" not in done.stdout + done.stderr
    found = json.loads(coagent("doctor", str(file), "--json").stdout)["findings"]
    state, text = about(found, "target sql")[0]
    assert state == "problem"
    assert "127.0.0.1" in text


def test_a_database_that_is_there_answers(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "a.db").execute("create table t (id integer primary key)").connection.close()
    file = tmp_path / "domain.toml"
    file.write_text('log = "memory:"\n[[targets]]\nkind = "sql"\nurl = "sqlite:///a.db"\n')
    code, findings = doctor(file)
    assert code == 0, findings
    assert [state for state, _ in about(findings, "target sql")] == ["ok"]
    assert [state for state, _ in about(findings, "log")] == ["note"]


def test_a_postgresql_server_that_runs_answers(tmp_path: Path, postgres: str) -> None:
    file = tmp_path / "domain.toml"
    file.write_text(f'log = "memory:"\n[[targets]]\nkind = "sql"\nurl = "{postgres}"\n')
    code, findings = doctor(file)
    assert code == 0, findings
    assert [state for state, _ in about(findings, "target sql")] == ["ok"]


def test_a_folder_that_is_no_target_any_more(tmp_path: Path) -> None:
    file = tmp_path / "domain.toml"
    file.write_text('log = "memory:"\n[[targets]]\nkind = "files"\nroot = "gone"\n')
    code, findings = doctor(file)
    assert code == 1
    assert about(findings, "target files")[0][0] == "problem"


def test_what_a_person_saved_and_what_a_killed_process_left_is_named(tmp_path: Path) -> None:
    workspace(tmp_path)
    (tmp_path / "src").mkdir()
    (tmp_path / "src/plan.md.saved-0123abcd").write_text("of a person")
    (tmp_path / "src/.coagent-tmp-w-00000000.1.00000000---01234567-plan.md~").write_text("half")
    before = everything(tmp_path)
    found = about(doctor(tmp_path)[1], "target files")
    assert [state for state, _ in found] == ["ok", "warning", "note"]
    assert "'src/plan.md.saved-0123abcd' is theirs" in found[1][1]
    assert str(tmp_path / "src") in found[2][1]
    assert everything(tmp_path) == before


def test_git_that_would_take_up_the_log_is_warned_of(tmp_path: Path) -> None:
    workspace(tmp_path)
    (tmp_path / ".coagent" / ".gitignore").unlink()
    assert about(doctor(tmp_path)[1], "git ignore")[0][0] == "warning"
    subprocess.run(["git", "-C", str(tmp_path), "add", "-f", ".coagent"], check=True)
    state, text = about(doctor(tmp_path)[1], "git ignore")[0]
    assert state == "warning"
    assert "config.toml" in text
    subprocess.run(["git", "-C", str(tmp_path), "rm", "-rq", "--cached", ".coagent/setup"], check=True)
    assert about(doctor(tmp_path)[1], "git ignore")[0] == ("note", "git tracks .coagent/config.toml")


@pytest.mark.skipif(not IS_ROOT or shutil.which("setpriv") is None, reason="only root can be another user")
def test_another_user_is_told_whose_it_is(tmp_path: Path) -> None:
    workspace(tmp_path)
    for folder in (tmp_path, tmp_path / ".coagent", *tmp_path.parents):
        if folder.stat().st_uid == 0 and folder.is_relative_to("/tmp"):
            folder.chmod(0o755)
    (tmp_path / ".coagent" / "config.toml").chmod(0o644)
    command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", sys.executable, "-m", "coagent"]
    done = subprocess.run(
        [*command, "doctor", str(tmp_path), "--json"],
        env=environment(HOME="/nonexistent", PYTHONPATH=SRC),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    if "findings" not in done.stdout:
        pytest.skip(f"another user cannot run this interpreter: {done.stderr[-300:]}")
    findings = json.loads(done.stdout)["findings"]
    assert done.returncode == 1
    said = " ".join(text for state, text in about(findings, "domain file") if state == "problem")
    assert "user 0" in said
    assert "65534" in said
    assert about(findings, "target files")[0] == ("problem", f"{tmp_path} cannot be written by you")
    assert len(about(findings, "shell")) >= 1
