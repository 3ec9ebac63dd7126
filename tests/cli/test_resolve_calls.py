"""`coagent resolve` and `coagent status` about a call of which nobody knows whether it has run."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from commands import coagent, environment

CONFIG = '[[targets]]\nkind = "files"\n\n[tools]\nmodules = ["pay.py"]\n'
PAY = '''
import os, signal
from pathlib import Path
import coagent

HERE = Path(__file__).parent

@coagent.tool(effect="irreversible", gate="wait")
async def pay(state: coagent.State, amount: int, password: str) -> str:
    """Pay an amount.

    Args:
        amount: How much.
        password: Of the account.
    """
    with open(HERE / "paid.txt", "a") as paid:
        paid.write(f"{amount} {coagent.idempotency_key()}\\n")
    if (HERE / "dies").exists():
        os.kill(os.getpid(), signal.SIGKILL)
    return "paid"
'''
WORK = """
import sys
from pathlib import Path
import anyio
from coagent.config.domain_file import configured

async def main():
    opened = configured(Path(sys.argv[1])).domain
    opened.on_death = sys.argv[2]
    async with opened as domain:
        agent = await domain.join("payer")
        await agent.call("write_file", path="a.txt", content="a\\n")
        await agent.call("pay", amount=7, password="s3cret-hunter2")

anyio.run(main)
"""


def killed_in_payment(folder: Path, on_death: str) -> str:
    """Have a process die just after it has paid; returns the call."""
    home = folder / ".coagent"
    home.mkdir()
    (home / "config.toml").write_text(CONFIG)
    (home / "pay.py").write_text(PAY)
    (home / "dies").touch()
    command = [sys.executable, "-c", WORK, str(home / "config.toml"), on_death]
    ran = subprocess.run(command, cwd=folder, env=environment(), check=False, capture_output=True, text=True)
    assert ran.returncode == -signal.SIGKILL, ran.stderr
    (home / "dies").unlink()
    return "payer.2"


def paid(folder: Path) -> list[str]:
    return [line.split()[0] for line in (folder / ".coagent" / "paid.txt").read_text().splitlines()]


def agents(folder: Path) -> dict[str, str]:
    found = json.loads(coagent("status", "--json", cwd=folder).stdout)["agents"]
    return {one["name"]: one["state"] for one in found}


def recovered(folder: Path) -> None:
    """Have a process open the domain, which takes up what the dead one has left."""
    coagent("undo", "nobody", "--yes", cwd=folder)


@pytest.fixture
def kept(tmp_path: Path) -> tuple[Path, str]:
    """Return a workspace whose agent outlives its process, and the call that nobody knows of."""
    call = killed_in_payment(tmp_path, "keep")
    recovered(tmp_path)
    return tmp_path, call


def test_a_call_that_may_have_run_is_named_and_shown_without_its_secrets(kept: tuple[Path, str]) -> None:
    folder, call = kept
    status = " ".join(coagent("status", cwd=folder).stdout.split())
    assert f"{call} pay may have run or not: its process has died" in status
    assert "A person has to decide: see coagent resolve" in status
    listed = coagent("resolve", cwd=folder)
    assert f"{call} may have run or not" in listed.stdout
    key = (folder / ".coagent" / "paid.txt").read_text().split()[1]
    shown = coagent("resolve", call, cwd=folder).stdout
    assert f"its name   {key}" in shown
    assert "amount=7" in shown
    for way in ("--accept", "--drop", "--retry"):
        assert f"coagent resolve {call} {way}" in shown
    found = json.loads(coagent("resolve", "--json", cwd=folder).stdout)["unknown"]
    assert [(one["call"], one["tool"], one["intent"], one["wanted"]) for one in found] == [
        (call, "pay", key, True)
    ]
    everything = "".join((status, listed.stdout, shown, json.dumps(found)))
    assert "hunter2" not in everything


@pytest.mark.parametrize(("how", "payments"), [("--accept", 1), ("--drop", 1), ("--retry", 2)])
def test_a_person_decides_about_a_call(kept: tuple[Path, str], how: str, payments: int) -> None:
    folder, call = kept
    done = coagent("resolve", call, how, cwd=folder)
    assert done.returncode == 0, done.stderr
    said = {"--accept": "counts as made", "--drop": "counts as not made", "--retry": "has run again"}[how]
    assert (done.stdout, done.stderr) == (f"{call} {said}\n", "")
    assert coagent("resolve", cwd=folder).stdout == "Nothing is stuck.\n"
    assert "may have run or not" not in coagent("status", cwd=folder).stdout
    assert paid(folder) == ["7"] * payments
    keys = {line.split()[1] for line in (folder / ".coagent" / "paid.txt").read_text().splitlines()}
    assert len(keys) == 1  # its system can tell that it is the same payment
    again = coagent("resolve", call, how, cwd=folder)
    assert again.returncode == 2
    assert "is not stuck" in again.stderr


@pytest.mark.parametrize(("on_death", "wanted"), [("keep", True), ("abort", False)])
def test_a_call_is_named_before_anybody_has_taken_note_of_the_death(
    tmp_path: Path, on_death: str, wanted: bool
) -> None:
    call = killed_in_payment(tmp_path, on_death)
    status = coagent("status", cwd=tmp_path).stdout
    assert "its process has died" in status
    assert f"{call} pay may have run or not" in " ".join(status.split())
    assert "asks the tool of such a call, where that can tell" in " ".join(status.split())
    shown = coagent("resolve", call, cwd=tmp_path).stdout
    assert ("--retry" in shown) == wanted
    assert "is asked by whoever opens the domain next" in shown
    assert coagent("resolve", call, "--accept", cwd=tmp_path).stdout == f"{call} counts as made\n"
    assert coagent("resolve", cwd=tmp_path).stdout == "Nothing is stuck.\n"
    assert paid(tmp_path) == ["7"]


def test_an_aborted_agents_call_is_not_run_again(tmp_path: Path) -> None:
    call = killed_in_payment(tmp_path, "abort")
    recovered(tmp_path)
    assert agents(tmp_path) == {"payer": "aborted"}
    assert not (tmp_path / "a.txt").exists()
    refused = coagent("resolve", call, "--retry", cwd=tmp_path)
    assert refused.returncode == 2
    assert "nobody wants its call" in refused.stderr
    assert "(accept)" in refused.stderr
    assert paid(tmp_path) == ["7"]
    assert coagent("resolve", call, "--accept", cwd=tmp_path).returncode == 0
    assert coagent("resolve", cwd=tmp_path).stdout == "Nothing is stuck.\n"


def test_the_doctor_names_a_call_that_may_have_run_and_whose_process_has_died(tmp_path: Path) -> None:
    call = killed_in_payment(tmp_path, "keep")
    before = coagent("doctor", "--json", cwd=tmp_path)
    recovered(tmp_path)
    after = coagent("doctor", "--json", cwd=tmp_path)
    for done, state in ((before, "warning"), (after, "problem")):
        (found,) = [one for one in json.loads(done.stdout)["findings"] if one["about"] == "unknown"]
        assert (found["state"], found["cure"]) == (state, f"coagent resolve {call}")
        assert "may have run or not" in found["text"]
    assert "the process of payer has died" in before.stdout
    assert after.returncode == 1


def test_a_log_alone_shows_what_may_have_run_and_does_not_decide(tmp_path: Path) -> None:
    killed_in_payment(tmp_path, "keep")
    for log in ("sqlite:.coagent/log.db", ".coagent/log.db"):
        shown = coagent("resolve", "--domain", log, "--json", cwd=tmp_path)
        assert shown.returncode == 0
        [unknown] = json.loads(shown.stdout)["unknown"]
        refused = coagent("resolve", unknown["call"], "--retry", "--domain", log, cwd=tmp_path)
        assert refused.returncode == 2
        assert "takes the targets and tools of its domain" in " ".join(refused.stderr.split())
