"""The file tools in a domain: alone, by two agents at one workspace, and when they fail."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

import coagent
from coagent.systems.files.tools import FILE_TOOLS, LINE_LENGTH_MAX, MATCHES_MAX
from coagent.targets import Files

Session = Any
Story = Callable[[Session, Session], Awaitable[None]]
NUMBERED = "".join(f"line {number}\n" for number in range(1, 21))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "src").mkdir(parents=True)
    (root / "src/app.py").write_text("import os\n\n\ndef main():\n    return 1\n")
    (root / "notes.txt").write_text(NUMBERED)
    (root / "run.sh").write_text("#!/bin/sh\n")
    (root / "run.sh").chmod(0o755)
    (root / "logo.png").write_bytes(b"\x89PNG\xff\x00")
    return root


def tell(root: Path, story: Story, **options: Any) -> None:
    """Let a story happen to A, who comes first in the order, and B; both are finished at its end."""

    async def main() -> None:
        target = Files(root, **options)
        async with coagent.open_domain("memory:", targets=[target], tools=[FILE_TOOLS]) as domain:
            a, b = await domain.join("A"), await domain.join("B")
            await story(a, b)
            for session in (a, b):
                while session.state not in ("committed", "aborted"):
                    await session.finish(wait=True)

    anyio.run(main)


def tree(root: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(root)): (path.stat().st_mode, b"" if path.is_dir() else path.read_bytes())
        for path in sorted(root.rglob("*"))
    }


async def fails(session: Session, tool: str, /, **arguments: Any) -> str:
    with pytest.raises(coagent.CoAgentError) as caught:
        await session.call(tool, **arguments)
    said = str(caught.value)
    assert caught.value.cure or said.startswith("the target refused"), said
    return said


async def value(session: Session, tool: str, /, **arguments: Any) -> Any:
    outcome = await session.call(tool, **arguments)
    assert outcome.notifications == []
    return outcome.value


# ---- one agent ---------------------------------------------------------------------------------------------


def test_each_tool_does_what_it_says(root: Path) -> None:
    async def story(a: Session, b: Session) -> None:
        assert await value(a, "read_file", path="notes.txt") == NUMBERED
        assert await value(a, "read_file", path="notes.txt", offset=2, limit=2) == "line 2\nline 3\n"
        assert await value(a, "read_file", path="notes.txt", offset=20) == "line 20\n"
        assert await value(a, "write_file", path="new/tool", content="#!/bin/sh\r\n", executable=True)
        assert await value(a, "edit_file", path="src/app.py", old_string="return 1", new_string="return 2")
        assert await value(
            a, "edit_file", path="notes.txt", old_string="line", new_string="l", replace_all=True
        )
        assert await value(a, "move_file", source="run.sh", destination="bin/run")
        assert await value(a, "delete_file", path="logo.png") == "deleted"
        assert await value(a, "list_files") == ["bin/run", "new/tool", "notes.txt", "src/app.py"]
        assert await value(a, "list_files", path="src") == ["src/app.py"]
        assert await value(a, "search_files", pattern="RETURN", ignore_case=True) == [
            "src/app.py:5:     return 2"
        ]

    tell(root, story)
    assert (root / "new/tool").read_bytes() == b"#!/bin/sh\r\n"
    assert os.access(root / "new/tool", os.X_OK)
    assert os.access(root / "bin/run", os.X_OK)
    assert (root / "notes.txt").read_text() == NUMBERED.replace("line", "l")
    assert not (root / "run.sh").exists()
    assert not (root / "logo.png").exists()


def test_an_agent_sees_its_own_writes(root: Path) -> None:
    async def story(a: Session, b: Session) -> None:
        await value(a, "write_file", path="x.py", content="needle\n")
        assert await value(a, "search_files", pattern="needle") == ["x.py:1: needle"]
        await value(a, "move_file", source="x.py", destination="y/x.py")
        assert await value(a, "list_files", glob="**/x.py") == ["y/x.py"]
        await value(a, "delete_file", path="y/x.py")
        assert await value(a, "list_files", glob="**/x.py") == []
        assert "there is no file 'x.py'" in await fails(a, "read_file", path="x.py")

    before = tree(root)
    tell(root, story)
    assert tree(root) == before


FOLDERS = ["app/[id]", "app/*", "app/i", "weird?", "a{b}", "#c", "[!x]", "[", "sp ace"]


@pytest.mark.parametrize("folder", FOLDERS)
def test_folders_are_meant_literally(root: Path, folder: str) -> None:
    for one in FOLDERS:
        (root / one).mkdir(parents=True)
        (root / one / "page.ts").write_text("needle\n")

    async def story(a: Session, b: Session) -> None:
        for given in (folder, f"./{folder}/", f"{root}/{folder}", f"src/../{folder}"):
            for glob in ("**/*", "*.ts", "**/*.ts"):
                assert await value(a, "list_files", path=given, glob=glob) == [f"{folder}/page.ts"]
                found = await value(a, "search_files", pattern="needle", path=given, glob=glob)
                assert found == [f"{folder}/page.ts:1: needle"]

    tell(root, story)


def test_one_file_can_be_searched_and_listed(root: Path) -> None:
    (root / "src/app.pyc").write_text("import sys\n")

    async def story(a: Session, b: Session) -> None:
        for path in ("src/app.py", "./src/app.py", "src/app.py/"):
            assert await value(a, "search_files", pattern="^import", path=path) == ["src/app.py:1: import os"]
            assert await value(a, "list_files", path=path) == ["src/app.py"]

    tell(root, story)


def test_searches_are_bounded(root: Path) -> None:
    (root / "many").write_text("needle\n" * (MATCHES_MAX + 7))
    (root / "wide").write_text("n" * 100_000 + "needle\n")
    with open(root / "huge", "wb") as file:
        file.write(b"needle\n")
        file.truncate(1024 * 1024 * 100)

    async def story(a: Session, b: Session) -> None:
        found = await value(a, "search_files", pattern="needle")
        assert len(found) == MATCHES_MAX + 2
        assert found[-2] == "… and 8 more: narrow the search"
        assert found[-1].startswith("… not searched, too large or not readable: huge (")
        (line,) = await value(a, "search_files", pattern="needle", path="wide")
        assert len(line) == len("wide:1: ") + LINE_LENGTH_MAX + 1
        assert "'huge' has 104857600 bytes" in await fails(a, "read_file", path="huge")

    tell(root, story)


def test_sources_in_other_encodings_are_searched_and_said_to_be(root: Path) -> None:
    (root / "old.c").write_bytes("int oldname; /* café */\nint other;\n".encode("latin-1"))
    (root / "wide.rc").write_bytes("first\r\noldname = 1\r\n".encode("utf-16"))
    (root / "new.c").write_text("oldname();\n")
    (root / "tool.bin").write_bytes(b"\x7fELF\xff\0\0oldname\0")

    async def story(a: Session, b: Session) -> None:
        assert await value(a, "search_files", pattern="oldname") == [
            "new.c:1: oldname();",
            "old.c:0: (not valid UTF-8: searched byte by byte, and shown as Latin-1)",
            "old.c:1: int oldname; /* café */",
            "tool.bin:0: (a binary file; it matches)",
            "wide.rc:0: (UTF-16)",
            "wide.rc:2: oldname = 1",
        ]
        assert await value(a, "search_files", pattern="café$|other", path="old.c") == [
            "old.c:0: (not valid UTF-8: searched byte by byte, and shown as Latin-1)",
            "old.c:2: int other;",
        ]
        assert await value(a, "search_files", pattern="nowhere") == []
        assert "another encoding than UTF-8" in await fails(a, "read_file", path="old.c")
        assert "binary file" in await fails(a, "read_file", path="tool.bin")

    tell(root, story)


@pytest.mark.parametrize("link", ["loop", "first", "below/x", "out", "out-folder/new.txt"])
def test_nothing_is_written_through_a_link_that_leads_nowhere_in_the_workspace(
    root: Path, tmp_path: Path, link: str
) -> None:
    (root / "loop").symlink_to("loop")
    (root / "first").symlink_to("second")
    (root / "second").symlink_to("first")
    (root / "below").symlink_to("first")
    (root / "out").symlink_to(tmp_path / "elsewhere.txt")
    (root / "out-folder").symlink_to(tmp_path)
    before = sorted(os.listdir(tmp_path)), sorted(os.listdir(root))

    async def story(a: Session, b: Session) -> None:
        said = await fails(a, "write_file", path=link, content="x")
        assert "without an end" in said or "leaves the workspace" in said
        assert link in said

    tell(root, story)
    assert (sorted(os.listdir(tmp_path)), sorted(os.listdir(root))) == before


def test_a_file_is_written_where_a_link_within_the_workspace_leads(root: Path) -> None:
    (root / "to-notes").symlink_to("notes.txt")
    (root / "to-new").symlink_to("src/new.txt")

    async def story(a: Session, b: Session) -> None:
        await value(a, "write_file", path="to-notes", content="x\n")
        await value(a, "write_file", path="to-new", content="y\n")

    tell(root, story)
    assert (root / "to-notes").is_symlink()
    assert (root / "to-new").is_symlink()
    assert ((root / "notes.txt").read_text(), (root / "src/new.txt").read_text()) == ("x\n", "y\n")


def test_lines_are_what_other_programs_count(root: Path) -> None:
    (root / "odd").write_bytes("a\x0cb\u2028c\r\nneedle\x1d\rd\r\n\nlast".encode())

    async def story(a: Session, b: Session) -> None:
        assert await value(a, "read_file", path="odd", offset=2, limit=1) == "needle\x1d\rd\r\n"
        assert await value(a, "read_file", path="odd", offset=3) == "\nlast"
        assert await value(a, "search_files", pattern="needle|last|d$", path="odd") == [
            "odd:2: needle\x1d\rd",
            "odd:4: last",
        ]

    tell(root, story)


@pytest.mark.parametrize(
    "pattern",
    [r"\Aline 7\Z", r"(^|\s)line 7($|\s)", "^line 7$", r"line 7\s*?\z", "(?i)LINE 7", "^[^x]*e 7[^x]*$"],
)
def test_patterns_see_one_line_at_a_time(root: Path, pattern: str) -> None:
    async def story(a: Session, b: Session) -> None:
        assert await value(a, "search_files", pattern=pattern) == ["notes.txt:7: line 7"]

    tell(root, story)


def test_git_and_links_are_left_alone(root: Path, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    (root / "link.py").symlink_to("src/app.py")
    (tmp_path / "secret").write_text("secret")
    (root / "out").symlink_to(tmp_path / "secret")
    before = tree(root / ".git")

    async def story(a: Session, b: Session) -> None:
        assert "belongs to git" in await fails(a, "write_file", path=".git/config", content="")
        assert "outside" in await fails(a, "read_file", path="../secret")
        assert "symbolic link" in await fails(a, "write_file", path="out", content="")
        assert ".git" not in " ".join(await value(a, "list_files"))
        await value(a, "write_file", path="link.py", content="through the link\n")
        assert await value(a, "read_file", path="src/app.py") == "through the link\n"

    tell(root, story)
    assert (root / "link.py").is_symlink()
    assert (root / "src/app.py").read_text() == "through the link\n"
    assert (tmp_path / "secret").read_text() == "secret"
    assert tree(root / ".git") == before


# ---- failures ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tool", "arguments", "says"),
    [
        ("read_file", {"path": "src/ap.py"}, "there is no file 'src/ap.py'. Did you mean 'src/app.py'?"),
        ("read_file", {"path": "app.py"}, "Did you mean 'src/app.py'?"),
        ("read_file", {"path": "src"}, "there is no file 'src'. It is a folder: list the files in it."),
        ("read_file", {"path": ""}, "there is no file ''"),
        ("read_file", {"path": "nowhere/at/all"}, "List the files"),
        ("read_file", {"path": "logo.png"}, "a binary file of 6 bytes"),
        ("read_file", {"path": "logo.png", "offset": 1}, "a binary file of 6 bytes"),
        ("read_file", {"path": "notes.txt", "offset": 0}, "from 1"),
        ("read_file", {"path": "notes.txt", "limit": 0}, "from 1"),
        ("read_file", {"path": "notes.txt", "offset": 9999}, "'notes.txt' has no line 9999"),
        ("edit_file", {"path": "notes.txt", "old_string": "line 2", "new_string": "x"}, "occurs 2 times"),
        (
            "edit_file",
            {"path": "src/app.py", "old_string": "def mian():", "new_string": "x"},
            "the nearest line is 'def main():'). Read it again.",
        ),
        ("edit_file", {"path": "notes.txt", "old_string": "", "new_string": "x"}, "old_string is empty"),
        ("edit_file", {"path": "notes.txt", "old_string": "x", "new_string": "x"}, "are the same"),
        ("edit_file", {"path": "logo.png", "old_string": "x", "new_string": "y"}, "a binary file"),
        ("delete_file", {"path": "gone"}, "there is no file 'gone'"),
        ("move_file", {"source": "gone", "destination": "x"}, "there is no file 'gone'"),
        ("move_file", {"source": "notes.txt", "destination": "run.sh"}, "already a file 'run.sh'"),
        ("move_file", {"source": "notes.txt", "destination": "src/"}, "'src/' is a folder"),
        ("write_file", {"path": "src/", "content": "x"}, "'src/' is a folder"),
        ("write_file", {"path": "", "content": "x"}, "'.' is a folder"),
        ("write_file", {"path": "src", "content": "x"}, "A folder is in the way"),
        ("write_file", {"path": "notes.txt/x", "content": "x"}, "A file is in the way"),
        ("write_file", {"path": "n" * 300, "content": "x"}, "Choose a shorter name"),
        ("write_file", {"path": "a\0b", "content": "x"}, "NUL"),
        ("write_file", {"path": "a", "content": "\ud800"}, "cannot hold the character"),
        ("write_file", {"path": "node_modules/a", "content": "x"}, "excluded"),
        ("search_files", {"pattern": "("}, "is not a regular expression"),
        ("search_files", {"pattern": "x", "glob": "[z-a]"}, "is no glob"),
        ("list_files", {"glob": "**/*.{py,txt}"}, "Make one call for each alternative"),
        ("search_files", {"pattern": "x", "glob": "{src,lib}/*"}, "Make one call for each alternative"),
        ("list_files", {"path": ".."}, "outside the workspace"),
        ("list_files", {"path": ".git"}, "belongs to git"),
    ],
)
def test_failures_name_cause_and_cure_and_change_nothing(
    root: Path, tool: str, arguments: dict[str, Any], says: str
) -> None:
    before = tree(root)

    async def story(a: Session, b: Session) -> None:
        assert says in await fails(a, tool, **arguments)
        assert tree(root) == before
        assert await value(a, "read_file", path="notes.txt", offset=1, limit=1) == "line 1\n"

    tell(root, story)
    assert tree(root) == before


@pytest.mark.parametrize(
    ("text", "old_string", "says"),
    [
        ("a\r\nb\r\n", "a\nb", r"with these line ends: in the file they are \r\n. Read it again."),
        ("if x:\n    y\n", "if x:\n  y", "(its first line is line 1, but what follows differs)"),
        ("a\n\tif x:\n", "    if x:", r"(line 2 is alike but for white space: '\tif x:')"),
        ("x" * 5000, f" {'x' * 5000}", f"white space: {'x' * 200!r})"),
        ("nothing alike\n", "0123456789", "does not occur in 'near'. Read it again."),
    ],
)
def test_an_edit_that_misses_says_by_how_much(root: Path, text: str, old_string: str, says: str) -> None:
    (root / "near").write_bytes(text.encode())

    async def story(a: Session, b: Session) -> None:
        told = await fails(a, "edit_file", path="near", old_string=old_string, new_string="z")
        assert says in told
        assert len(told) < 400

    tell(root, story)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    options = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(options, capture_output=True, check=False).returncode:
        pytest.skip("no tmpfs can be mounted")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_call_that_the_disk_refuses_leaves_nothing_half_done(small_disk: Path) -> None:
    (small_disk / "a").write_text("old\n")
    (small_disk / "z").write_text("z\n")

    @coagent.tool
    async def write_three(state: coagent.State) -> str:
        await state.put("file:a", "new\n")
        await state.put("file:deep/b", "x" * 500_000)
        await state.put("file:z", None)
        return "written"

    async def main() -> None:
        tools = [FILE_TOOLS, write_three]
        async with coagent.open_domain("memory:", targets=[Files(small_disk)], tools=tools) as domain:
            a = await domain.join("A")
            await a.call("read_file", path="a")
            before = tree(small_disk)
            assert "Free some disk space" in await fails(a, "write_three")
            assert tree(small_disk) == before
            await a.call("edit_file", path="a", old_string="old", new_string="new")
            assert (await a.finish(wait=True)).state == "committed"

    anyio.run(main)
    assert (small_disk / "a").read_text() == "new\n"
    assert (small_disk / "z").read_text() == "z\n"


def test_a_disk_that_turns_read_only_refuses_each_write_by_name(small_disk: Path) -> None:
    (small_disk / "a").write_text("old\n")

    async def story(a: Session, b: Session) -> None:
        await value(a, "read_file", path="a")
        subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
        for tool, arguments in (
            ("write_file", {"path": "a", "content": "new\n"}),
            ("write_file", {"path": "b/c", "content": "new\n"}),
            ("delete_file", {"path": "a"}),
            ("move_file", {"source": "a", "destination": "c"}),
        ):
            assert "mount it writable" in await fails(a, tool, **arguments)
        subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
        await value(b, "write_file", path="a", content="new\n")

    tell(small_disk, story)
    assert tree(small_disk).keys() == {"a"}


# ---- undo --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("write_file", {"path": "new/deep/er", "content": "x"}),
        ("write_file", {"path": "run.sh", "content": "x", "executable": False}),
        ("write_file", {"path": "logo.png", "content": "text now"}),
        ("edit_file", {"path": "notes.txt", "old_string": "line 13", "new_string": ""}),
        ("delete_file", {"path": "run.sh"}),
        ("delete_file", {"path": "src/app.py"}),
        ("delete_file", {"path": "logo.png"}),
        ("move_file", {"source": "run.sh", "destination": "x/y"}),
        ("move_file", {"source": "notes.txt", "destination": "run.sh", "overwrite": True}),
        ("move_file", {"source": "notes.txt", "destination": "notes.txt/inside"}),
        ("move_file", {"source": "src/app.py", "destination": "src"}),
    ],
)
def test_undo_and_abort_restore_contents_modes_and_folders(
    root: Path, tool: str, arguments: dict[str, Any]
) -> None:
    before = tree(root)

    async def story(a: Session, b: Session) -> None:
        outcome = await b.call(tool, **arguments)
        after = tree(root)
        assert after != before
        await b.undo(outcome.call_id)
        assert tree(root) == before
        await b.call(tool, **arguments)
        assert tree(root) == after
        await b.abort()

    tell(root, story)
    assert tree(root) == before


def test_an_abort_takes_back_everything_at_once(root: Path) -> None:
    before = tree(root)

    async def story(a: Session, b: Session) -> None:
        await a.call("move_file", source="notes.txt", destination="notes/old.txt")
        await a.call("write_file", path="notes.txt", content="again")
        await a.call("delete_file", path="notes.txt")
        await a.call("move_file", source="notes/old.txt", destination="notes.txt/x")
        await a.call("edit_file", path="src/app.py", old_string="1", new_string="2")
        await a.call("write_file", path="src/app.py", content="", executable=True)
        await a.abort()

    tell(root, story)
    assert tree(root) == before


# ---- two agents --------------------------------------------------------------------------------------------


def test_an_edit_outside_the_lines_read_is_no_news(root: Path) -> None:
    async def story(a: Session, b: Session) -> None:
        await value(b, "read_file", path="notes.txt", offset=10, limit=3)
        await value(a, "edit_file", path="notes.txt", old_string="line 5\n", new_string="five\n")
        await value(a, "edit_file", path="notes.txt", old_string="line 13\n", new_string="")
        assert not b.notified

    tell(root, story)


def test_an_edit_inside_the_lines_read_is_news(root: Path) -> None:
    async def story(a: Session, b: Session) -> None:
        await value(b, "read_file", path="notes.txt", offset=10, limit=3)
        await value(a, "edit_file", path="notes.txt", old_string="line 11\n", new_string="eleven\n")
        (notice,) = (await b.finish()).notifications
        assert (notice.key, notice.part) == ("file:notes.txt", "lines 10-12")
        assert notice.after == "line 10\neleven\nline 12\n"
        assert notice.cause.agent == "A"

    tell(root, story)


def test_lines_inserted_above_move_what_was_read(root: Path) -> None:
    async def story(a: Session, b: Session) -> None:
        await value(b, "read_file", path="notes.txt", offset=10, limit=2)
        await value(a, "edit_file", path="notes.txt", old_string="line 1\n", new_string="zero\nline 1\n")
        (notice,) = (await b.finish()).notifications
        assert notice.after == "line 9\nline 10\n"
        back = {"path": "notes.txt", "old_string": "zero\n", "new_string": ""}
        await value(a, "edit_file", **back)
        (notice,) = (await b.finish()).notifications
        assert notice.after == "line 10\nline 11\n"

    tell(root, story)


def test_a_premise_that_comes_back_is_no_news(root: Path) -> None:
    async def story(a: Session, b: Session) -> None:
        await value(b, "read_file", path="notes.txt")
        outcome = await a.call("edit_file", path="notes.txt", old_string="line 5\n", new_string="five\n")
        assert b.notified
        await a.undo(outcome.call_id)
        assert not b.notified

    tell(root, story)


def test_a_search_is_news_only_where_it_would_find_something_else(root: Path) -> None:
    async def story(a: Session, b: Session) -> None:
        assert await value(b, "search_files", pattern=r"os\b", glob="**/*.py") == ["src/app.py:1: import os"]
        await value(a, "write_file", path="src/other.py", content="nothing to see\n")
        await value(a, "write_file", path="os.txt", content="import os\n")
        await value(a, "edit_file", path="src/app.py", old_string="return 1", new_string="return 2")
        assert not b.notified
        await value(a, "write_file", path="new.py", content="\nos.exit()\n")
        (notice,) = (await b.finish()).notifications
        assert "new.py" in notice.text
        await value(a, "delete_file", path="new.py")
        assert len((await b.finish()).notifications) == 1

    tell(root, story)


def test_files_that_appear_and_vanish_are_news_to_who_has_listed_them(root: Path) -> None:
    async def story(a: Session, b: Session) -> None:
        assert await value(b, "list_files", path="src") == ["src/app.py"]
        await value(a, "write_file", path="elsewhere.py", content="")
        await value(a, "write_file", path="src/app.py", content="")
        assert not b.notified
        await value(a, "write_file", path="src/sub/new.py", content="")
        (notice,) = (await b.finish()).notifications
        assert "src/sub/new.py" in notice.text
        await value(a, "delete_file", path="src/app.py")
        (notice,) = (await b.finish()).notifications
        assert "src/app.py" in notice.text

    tell(root, story)


def test_what_comes_later_in_the_order_is_not_seen(root: Path) -> None:
    async def story(a: Session, b: Session) -> None:
        await value(b, "write_file", path="src/b.py", content="needle\n")
        await value(b, "delete_file", path="run.sh")
        await value(b, "edit_file", path="notes.txt", old_string="line 20\n", new_string="needle\n")
        assert await value(a, "list_files") == ["logo.png", "notes.txt", "run.sh", "src/app.py"]
        assert await value(a, "search_files", pattern="needle") == []
        assert await value(a, "read_file", path="notes.txt") == NUMBERED
        assert "there is no file" in await fails(a, "read_file", path="src/b.py")
        assert await value(a, "read_file", path="run.sh") == "#!/bin/sh\n"

    tell(root, story)
    assert (root / "src/b.py").exists()
    assert not (root / "run.sh").exists()


def test_an_edit_is_made_again_over_a_late_lower_edit(root: Path) -> None:
    async def story(a: Session, b: Session) -> None:
        await value(b, "edit_file", path="notes.txt", old_string="line 15\n", new_string="fifteen\n")
        await value(a, "edit_file", path="notes.txt", old_string="line 3\n", new_string="three\n")
        assert not b.notified
        merged = NUMBERED.replace("line 3\n", "three\n").replace("line 15\n", "fifteen\n")
        assert (root / "notes.txt").read_text() == merged

    tell(root, story)


def test_a_late_lower_write_stays_below_a_blind_one(root: Path) -> None:
    async def story(a: Session, b: Session) -> None:
        await value(b, "write_file", path="notes.txt", content="B\n")
        await value(a, "write_file", path="notes.txt", content="A\n")
        assert (root / "notes.txt").read_text() == "B\n"
        assert await value(a, "read_file", path="notes.txt") == "A\n"
        assert not b.notified
        await b.abort()
        assert (root / "notes.txt").read_text() == "A\n"

    tell(root, story)


def test_an_edit_whose_text_is_gone_is_withdrawn_and_told(root: Path) -> None:
    async def story(a: Session, b: Session) -> None:
        outcome = await b.call("edit_file", path="notes.txt", old_string="line 7\n", new_string="seven\n")
        assert "seven" in (root / "notes.txt").read_text()
        await value(a, "write_file", path="notes.txt", content="all new\n")
        assert (root / "notes.txt").read_text() == "all new\n"
        (notice,) = (await b.finish()).notifications
        (news,) = notice.calls
        assert (news.call_id, news.kind) == (outcome.call_id, "withdrawn")
        assert "old_string does not occur in 'notes.txt'" in notice.text
        repaired = await b.amend(outcome.call_id, old_string="all new", new_string="all right")
        assert repaired.value == "edited"

    tell(root, story)
    assert (root / "notes.txt").read_text() == "all right\n"


def test_a_moved_file_is_edited_where_it_was_before_the_move(root: Path) -> None:
    async def story(a: Session, b: Session) -> None:
        await value(b, "move_file", source="src/app.py", destination="lib/app.py")
        await value(a, "edit_file", path="src/app.py", old_string="return 1", new_string="return 2")
        assert not b.notified
        assert (root / "lib/app.py").read_text().endswith("return 2\n")

    tell(root, story)
    assert not (root / "src").exists()


def test_a_file_and_a_folder_of_one_name_cannot_both_be(root: Path) -> None:
    before = tree(root)

    async def story(a: Session, b: Session) -> None:
        await value(b, "write_file", path="docs/index.md", content="B\n")
        await value(a, "write_file", path="docs", content="A\n")
        assert tree(root).keys() == {*before, "docs"}
        (notice,) = (await b.finish()).notifications
        assert "'docs' is a file" in notice.text
        assert "'docs' is a file" in await fails(b, "write_file", path="docs/index.md", content="B\n")
        await value(b, "delete_file", path="docs")
        await value(b, "write_file", path="docs/index.md", content="B\n")
        assert "is a folder" in await fails(b, "write_file", path="docs", content="B\n")
        assert tree(root).keys() == {*before, "docs", "docs/index.md"}

    tell(root, story)


def test_a_person_who_writes_beside_the_agents_is_heard(root: Path) -> None:
    async def story(a: Session, b: Session) -> None:
        await value(b, "read_file", path="notes.txt")
        (root / "notes.txt").write_text(f"by hand\n{NUMBERED}")
        await value(a, "edit_file", path="notes.txt", old_string="line 20\n", new_string="the end\n")
        assert (root / "notes.txt").read_text().startswith("by hand\nline 1\n")
        assert (root / "notes.txt").read_text().endswith("the end\n")
        (notice,) = (await b.finish()).notifications
        assert "by hand" in notice.text

    tell(root, story)


def test_executables_stay_so_through_the_edits_of_others(root: Path) -> None:
    async def story(a: Session, b: Session) -> None:
        await value(b, "write_file", path="src/app.py", content="B\n", executable=True)
        await value(a, "write_file", path="src/app.py", content="A\n", executable=False)
        await value(a, "edit_file", path="run.sh", old_string="sh\n", new_string="bash\n")

    tell(root, story)
    assert (root / "src/app.py").read_text() == "B\n"
    assert stat.S_IMODE((root / "src/app.py").stat().st_mode) & 0o100
    assert stat.S_IMODE((root / "run.sh").stat().st_mode) & 0o100
