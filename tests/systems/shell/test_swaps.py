"""Several agents turn folders into links and files and back, out of order, and end as one after another."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest_sandbox import needs_views, shells, tree
from swaps import plainly, scripts, together

from coagent.systems.shell.command_run import CommandRun
from coagent.systems.shell.commands import CommandRunner

pytestmark = [pytest.mark.anyio, needs_views]


@pytest.mark.parametrize(
    "seed",
    [
        0,
        17,
        42,
        95,
        142,
        219,
        *(
            pytest.param(seed, marks=pytest.mark.long)
            for seed in (1, 2, 20, 76, 111, 118, 136, 230, 275, 341)
        ),
    ],
)
async def test_commands_end_as_in_plain_bash_in_the_order_of_ranks(tmp_path: Path, seed: int) -> None:
    made, order = scripts(seed)
    ended, refused = await together(made, order, tmp_path / "work")
    assert ended == plainly(made, tmp_path / "plain"), (made, order)
    assert not refused


@pytest.mark.parametrize(("seed", "view"), [(17, "auto"), (142, "auto"), (118, "copy")])
async def test_a_command_runs_again_only_where_something_before_it_is_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, view: str
) -> None:
    ranks: list[int] = []
    carry_out = CommandRunner._carry_out

    def counted(self: CommandRunner, run: CommandRun) -> None:
        ranks.append(run.context.rank)
        carry_out(self, run)

    monkeypatch.setattr(CommandRunner, "_carry_out", counted)
    made, order = scripts(seed)
    await together(made, order, tmp_path / "work", view=view)
    assert ranks.count(0) == len(made[0]), "nobody is before it"
    assert len(ranks) <= 4 * len(order)


@pytest.mark.parametrize(
    "seed", [17, 56, 118, *(pytest.param(seed, marks=pytest.mark.long) for seed in (42, 95, 230))]
)
async def test_commands_in_copies_do_so_too(tmp_path: Path, seed: int) -> None:
    made, order = scripts(seed)
    ended, refused = await together(made, order, tmp_path / "work", view="copy")
    assert ended == plainly(made, tmp_path / "plain"), (made, order)
    assert not refused


@pytest.mark.parametrize(
    "seed",
    [
        0,
        6,
        24,
        37,
        61,
        105,
        *(
            pytest.param(seed, marks=pytest.mark.long)
            for seed in (26, 35, 41, 44, 48, 58, 99, 101, 124, 157, 166)
        ),
    ],
)
async def test_commands_and_tools_for_files_end_as_one_agent_after_another(tmp_path: Path, seed: int) -> None:
    made, order = scripts(seed, with_tools=True)
    ended, _ = await together(made, order, tmp_path / "work")
    serial, _ = await together(made, sorted(order), tmp_path / "serial")
    assert ended == serial, (made, order)


async def test_a_file_is_written_where_it_lies_at_its_place_whatever_is_a_link_by_now(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_text(f"{name}\n")
    async with shells(tmp_path) as domain:
        one, two = await domain.join("one"), await domain.join("two")
        await two.call("bash", command="rm -r a; ln -s b a; cat a/x")
        assert (await one.call("read_file", path="a/x")).value == "a\n"
        await one.call("write_file", path="a/y", content="of one\n")
        assert (await one.call("list_files", path="a")).value == ["a/x", "a/y"]
        assert (await one.call("bash", command="cat y", cwd="a")).value["output"] == "of one\n"
        assert (await two.call("read_file", path="a/x")).value == "b\n"
        assert tree(tmp_path) == {"a": (b"b", "link"), "b/x": (b"b\n", "0644")}
        await two.abort()
        assert (tmp_path / "a/y").read_text() == "of one\n"


async def test_a_file_that_a_command_fills_anew_is_filled_again_where_it_has_become_a_folder(
    tmp_path: Path,
) -> None:
    async with shells(tmp_path) as domain:
        one, two = await domain.join("one"), await domain.join("two")
        await two.call("bash", command="echo of two > a")
        assert (await one.call("bash", command="mkdir a")).value["exit_code"] == 0
        assert tree(tmp_path) == {"a": (b"", "folder")}
        (notice,) = (await two.finish()).notifications
        assert "Is a directory" in notice.text


async def test_a_folder_whose_last_file_a_command_took_is_empty_only_where_it_was_the_last(
    tmp_path: Path,
) -> None:
    (tmp_path / "a").mkdir()
    for name in ("x", "y"):
        (tmp_path / "a" / name).write_text("")
    async with shells(tmp_path) as domain:
        one, two = await domain.join("one"), await domain.join("two")
        await two.call("bash", command="rm a/x")
        await one.call("bash", command="rm a/y")
        assert tree(tmp_path) == {"a": (b"", "folder")}
        await one.call("bash", command="touch a/z")
        assert tree(tmp_path) == {"a/z": (b"", "0644")}


async def test_what_is_moved_at_once_with_its_folder_is_read(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/x").write_text("old\n")
    async with shells(tmp_path) as domain:
        one, two = await domain.join("one"), await domain.join("two")
        await two.call("bash", command="mv a b; echo of two > a")
        await one.call(
            "bash", command="touch a/y"
        )  # where the command now runs again, `a` is laid over a file
        await one.call("bash", command="echo new > a/x")
        assert (tmp_path / "b/x").read_text() == "new\n"
        await one.call("bash", command="touch a/z")
        assert tree(tmp_path).keys() == {"a", "b/x", "b/y", "b/z"}
