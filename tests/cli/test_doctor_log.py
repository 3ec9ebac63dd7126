"""What `coagent doctor` says of logs: sound, damaged, of other versions, about something else, stuck."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import anyio
import pytest
from doctoring import about, doctor

import coagent as library
from coagent.cli.doctor.finding import Finding
from coagent.cli.doctor.log import log
from coagent.cli.doctor.place import find_place
from coagent.cli.doctor.targets import targets


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A domain file whose log has an agent at work and one that has committed."""
    path = tmp_path / "domain.toml"
    path.write_text('log = "sqlite:log.db"\n[[targets]]\nkind = "files"\nroot = "tree"\n')
    (tmp_path / "tree").mkdir()

    async def work() -> None:
        tree = library.targets.Files(tmp_path / "tree")
        async with library.open_domain(
            f"sqlite:{tmp_path / 'log.db'}", targets=[tree], order="early"
        ) as domain:
            first = await domain.join("first")
            await domain.join("second")
            await first.finish(wait=True)

    anyio.run(work)
    return path


def looked(file: Path) -> list[Finding]:
    return list(log(find_place(file)))


def written(file: Path, *statements: str) -> None:
    connection = sqlite3.connect(file.with_name("log.db"))
    with connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


def test_a_sound_log_tells_what_it_was_begun_with_and_who_is_at_work(file: Path) -> None:
    begun, state = looked(file)
    assert (begun.state, state.state) == ("ok", "ok")
    assert "protocol mtpo, order early, format 4" in begun.text
    assert "1 agent at work: second" in state.text


def test_a_damaged_record_is_a_problem(file: Path) -> None:
    written(file, "update coagent_records set record = '[\"Joined\"]' where number = 1")
    assert [one.state for one in looked(file)][-1] == "problem"
    code, findings = doctor(file)
    assert code == 1
    assert any("damaged" in text for state, text in about(findings, "log") if state == "problem")


def test_a_file_that_is_no_log_is_a_problem(file: Path) -> None:
    for path in file.parent.glob("log.db*"):
        path.unlink()
    file.with_name("log.db").write_bytes(b"no database at all " * 100)
    code, findings = doctor(file)
    assert code == 1
    assert about(findings, "log")[0][0] == "problem"


def test_a_log_of_a_newer_version_says_how_to_open_it(file: Path) -> None:
    written(file, "update coagent_log_meta set value = '99' where name = 'format'")
    code, findings = doctor(file)
    assert code == 1
    found = next(one for one in findings if one["about"] == "log")
    assert "has format 99" in found["text"]
    assert "Install a newer CoAgent" in found["cure"]


def test_an_order_that_the_log_was_not_begun_with_is_a_problem(file: Path) -> None:
    file.write_text(f'order = "fixed"\n{file.read_text()}')
    found = [one for one in looked(file) if one.state == "problem"]
    assert len(found) == 1
    assert 'order = "early"' in found[0].cure


def test_a_log_about_another_folder_is_a_problem(file: Path) -> None:
    (file.parent / "other").mkdir()
    file.write_text(file.read_text().replace('"tree"', '"other"'))
    states = {one.state for one in targets(find_place(file))}
    assert states == {"ok", "problem"}


def test_stuck_objects_are_named_with_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "domain.toml"
    database = tmp_path / "a.db"
    connection = sqlite3.connect(database)
    connection.execute("create table t (id integer primary key, x text)")
    connection.execute("insert into t values (1, 'old')")
    connection.commit()
    file.write_text('log = "sqlite:log.db"\n[[targets]]\nkind = "sql"\nurl = "sqlite:///a.db"\n')

    @library.tool
    async def put(state: library.State) -> None:
        """Write a row."""
        row = dict(await state.get("sql:t/1"))
        await state.put("sql:t/1", {**row, "x": "new"})

    async def work() -> None:
        target = library.targets.Sql(f"sqlite:///{database}")
        async with library.open_domain(
            f"sqlite:{tmp_path / 'log.db'}", targets=[target], tools=[put]
        ) as domain:
            agent = await domain.join("A")
            made = await agent.call("put")
            connection.execute("insert into t values (2, 'old')")
            connection.execute("create unique index one_each on t (x)")
            connection.commit()
            await agent.undo(made.call_id)
            await domain.settle()

    anyio.run(work)
    connection.close()
    found = [one for one in looked(file) if one.about == "stuck"]
    assert [one.state for one in found] == ["problem"]
    assert found[0].cure == "coagent resolve sql:t/1"


def test_a_log_of_an_engine_that_is_not_there(file: Path) -> None:
    file.write_text(file.read_text().replace("sqlite:log.db", "mysql://a@localhost/x"))
    found = looked(file)
    assert [one.state for one in found] == ["problem"]
    assert "no log engine for 'mysql://a@localhost/x'" in found[0].text


def test_a_log_on_a_server_that_is_away(file: Path) -> None:
    away = f"postgresql://a:hunter2-secret@/x?host={file.parent}"
    file.write_text(file.read_text().replace("sqlite:log.db", away))
    found = looked(file)
    assert [one.state for one in found] == ["warning", "problem"]
    assert "cannot be opened" in found[1].text
    assert not any("hunter2-secret" in one.text + one.cure for one in found)
