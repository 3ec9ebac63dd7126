"""What a run file may say, and what is told of one that says something else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from endpoint import serving

import coagent
from coagent.config.explain import line_of
from coagent.runs.execute import execute
from coagent.runs.plan import make_plan

GOOD = """\
timeout_s = 60

[[targets]]
kind = "memory"
initial = {"kv:x" = 1}

[tools]
modules = ["tools.py"]

[[agents]]
name = "first"
script = "agents.py:count"
params = {by = 2}

[[agents]]
name = "second"
script = "agents.py:count"
params = {by = 3}
"""
TOOLS = """
from coagent import State, tool

@tool
async def add(state: State, by: int) -> int:
    \"\"\"Add to the counter.\"\"\"
    value = (await state.get("kv:x")) + by
    await state.put("kv:x", value)
    return value
"""
AGENTS = """
def count(by):
    yield "add", {"by": by}

def not_a_script(by):
    return by
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tools.py").write_text(TOOLS)
    (tmp_path / "agents.py").write_text(AGENTS)
    return tmp_path


def refusal(folder: Path, text: str) -> str:
    """Return what is said of a run file."""
    path = folder / "run.toml"
    path.write_text(text)
    with pytest.raises(coagent.ConfigurationError) as raised:
        make_plan(path)
    return str(raised.value).replace(str(folder), "DIR")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("timeout_s", "timeouts", "DIR/run.toml:1: unknown key 'timeouts'. Did you mean 'timeout_s'?"),
        (
            'name = "second"',
            'nam = "second"',
            "DIR/run.toml:16: unknown key 'nam' in [agents]. Did you mean 'name'?",
        ),
        (
            'kind = "memory"',
            'kind = "memry"',
            "DIR/run.toml:3: there is no kind of target 'memry'. Did you mean 'memory'?",
        ),
        (
            "initial =",
            "intial =",
            "DIR/run.toml:5: unknown key 'intial' in [targets]. Did you mean 'initial'?",
        ),
        (
            'name = "second"',
            'name = "first.2"',
            "DIR/run.toml:15: 'first.2' is no name for an agent: it is that of a call.",
        ),
        ("modules", "module", "DIR/run.toml:8: unknown key 'module' in [tools]. Did you mean 'modules'?"),
        (
            "timeout_s = 60",
            "timeout_s = 0",
            "DIR/run.toml:1: 'timeout_s': Input should be greater than 0 (it is 0).",
        ),
        (
            "timeout_s = 60",
            "timeout_s = = 60",
            "DIR/run.toml is not valid TOML: Invalid value (at line 1, column 13)",
        ),
        ("timeout_s = 60", 'protocol = "mptp"', "there is no protocol 'mptp'"),
        ('"second"', '"first"', "two agents have the name 'first': each needs its own"),
        ('name = "', 'rank = 1\nname = "', "two agents have the rank 1: each needs its own"),
        ('"second"', '""', "DIR/run.toml:16: 'name' in [agents]: String should have at least 1 character"),
        ('"tools.py"', '"tool.py"', "there is no Python file 'DIR/tool.py'"),
        ('"agents.py:count"', '"agents.py:cuont"', "'cuont'. Did you mean 'count'?"),
        ('"agents.py:count"', '"agents.py"', "DIR/run.toml:10: 'agents.py' is no script"),
        (
            '"agents.py:count"',
            '"agents.py:not_a_script"',
            "agents.py:not_a_script is not a generator function",
        ),
        ("{by = 2}", "{bye = 2}", "DIR/run.toml:10: DIR/agents.py:count(by) does not take params {'bye': 2}"),
        ("params = {by = 3}", 'goal = "x"', "agent 'second' has a script, so it takes no 'goal'"),
        ('script = "agents.py:count"\nparams = {by = 3}', 'goal = "x"', "agent 'second' lacks 'model'"),
        (
            'script = "agents.py:count"\nparams = {by = 3}',
            'goal = "x"\nmodel = "m"',
            "there is no [models.m]",
        ),
        (
            'script = "agents.py:count"\nparams = {by = 3}',
            'goal = "x"\nmodel = "opnai:m"',
            "Unknown model: opnai:m",
        ),
        (
            'script = "agents.py:count"\nparams = {by = 3}',
            'goal = "x"\nmodel = "openai:gpt-5-mini"',
            "OPENAI_API_KEY",
        ),
        (
            'kind = "memory"\ninitial = {"kv:x" = 1}',
            'kind = "files"\nroot = "nowhere"',
            "no folder 'DIR/nowhere'",
        ),
        (
            "timeout_s = 60",
            'clock = "virtual"\nlog = "sqlite:x"',
            'DIR/run.toml:1: clock = "virtual" goes with',
        ),
    ],
)
def test_a_mistake_is_told_with_its_place_and_its_cure(
    folder: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, told: str
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert old in GOOD
    assert told in refusal(folder, GOOD.replace(old, new))


def test_several_mistakes_are_told_at_once(folder: Path) -> None:
    told = refusal(folder, GOOD.replace("timeout_s", "timeouts").replace("params", "parms"))
    assert re.findall(r"run.toml:(\d+)", told) == ["1", "13", "18"]


def test_a_tool_module_that_cannot_be_imported(folder: Path) -> None:
    (folder / "tools.py").write_text("import json\nimport no_such_module\n")
    assert "DIR/tools.py:2 cannot be imported: ModuleNotFoundError: No module" in refusal(folder, GOOD)
    (folder / "tools.py").write_text("x = 1\ny = (\n")
    assert "DIR/tools.py:2 cannot be imported: SyntaxError" in refusal(folder, GOOD)
    (folder / "tools.py").write_text("x = 1\n")
    assert "DIR/tools.py has no tools" in refusal(folder, GOOD)


def test_a_key_that_is_not_set(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MY_KEY", raising=False)
    text = GOOD.replace('script = "agents.py:count"\nparams = {by = 3}', 'goal = "x"\nmodel = "m"')
    text += '[models.m]\nmodel = "m"\nbase_url = "http://127.0.0.1:1/v1"\napi_key_env = "MY_KEY"\n'
    assert "DIR/run.toml:15: the environment variable 'MY_KEY' is not set" in refusal(folder, text)
    monkeypatch.setenv("MY_KEY", "secret")
    (folder / "run.toml").write_text(text)
    assert make_plan(folder / "run.toml").endpoints == {"second": "http://127.0.0.1:1/v1"}


def test_a_tool_that_is_not_there(folder: Path) -> None:
    text = GOOD.replace(
        'script = "agents.py:count"\nparams = {by = 3}', 'goal = "x"\nmodel = "m"\ntools = ["ad"]'
    )
    text += '[models.m]\nmodel = "m"\nbase_url = "http://127.0.0.1:1/v1"\n'
    assert "DIR/run.toml:15: there is no tool 'ad'. Did you mean 'add'?" in refusal(folder, text)


@pytest.mark.anyio
async def test_a_model_server_that_is_down_starts_nothing(folder: Path) -> None:
    with serving() as url:
        pass
    text = GOOD.replace('script = "agents.py:count"\nparams = {by = 3}', 'goal = "x"\nmodel = "m"')
    (folder / "run.toml").write_text(f'{text}[models.m]\nmodel = "m"\nbase_url = "{url}"\n')
    plan = make_plan(folder / "run.toml", log=f"sqlite:{folder / 'run.db'}")
    with pytest.raises(coagent.ConfigurationError, match="no model server answers at"):
        await execute(plan)
    assert not (folder / "run.db").exists()


@pytest.mark.anyio
async def test_ranks_order_the_agents_and_the_rest_comes_after(folder: Path) -> None:
    (folder / "run.toml").write_text(GOOD.replace('name = "second"', 'name = "second"\nrank = 0'))
    report = await execute(make_plan(folder / "run.toml"))
    assert [agent.name for agent in report.agents] == ["second", "first"]
    assert report.verdict.order == ("second", "first")
    assert report.succeeded


def test_lines_are_found_by_header_and_key() -> None:
    text = 'a = 1\n[t]\nb = {c = 2,\n d = 3}\n[[l]]\nx = 1\n[[l]]\n"x" = 2\n[m.n]\ny = 1\n'
    assert line_of(text, ("a",)) == 1
    assert line_of(text, ("t", "b", "d")) == 4
    assert line_of(text, ("l", 1, "x")) == 8
    assert line_of(text, ("m", "n", "y")) == 10
    assert line_of(text, ("m", "n", "z")) == 9
    assert line_of(text, ("zz",)) is None
