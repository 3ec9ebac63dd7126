"""The names of files: one for each, none outside the workspace, through whatever links."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import anyio
import pytest

from coagent.errors import TargetError
from coagent.targets import Files


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "src/deep").mkdir(parents=True)
    (root / "src/app.py").write_text("app\n")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_text("secret\n")
    return root


@pytest.mark.parametrize(
    "path",
    [
        "src/app.py",
        "./src/app.py",
        "src//app.py",
        "src/./app.py",
        "src/deep/../app.py",
        "src/not there/../app.py",
        "../root/src/app.py",
        "ROOT/src/app.py",
        "/ROOT/src/app.py",
        "LINK/src/app.py",
        "LINK/../root/src/app.py",
    ],
)
def test_a_file_has_one_name(root: Path, tmp_path: Path, path: str) -> None:
    (tmp_path / "link").symlink_to(root)
    path = path.replace("ROOT", str(root)).replace("LINK", str(tmp_path / "link"))
    assert Files(root).canonical(f"file:{path}") == "file:src/app.py"
    assert Files(tmp_path / "link").canonical(f"file:{path}") == "file:src/app.py"


@pytest.mark.parametrize(
    ("prefix", "name"),
    [("", ""), (".", None), ("./", ""), ("src/", "src/"), ("src/./deep/", "src/deep/"), ("new/", "new/")],
)
def test_a_prefix_has_one_name(root: Path, prefix: str, name: str | None) -> None:
    target = Files(root)
    if name is None:
        with pytest.raises(TargetError, match="the workspace itself"):
            target.canonical(f"file:{prefix}")
    else:
        assert target.canonical(f"file:{prefix}") == f"file:{name}"


@pytest.mark.parametrize(
    "path",
    [
        "..",
        "../",
        "../outside/secret",
        "src/../../outside/secret",
        "/etc/passwd",
        "//etc/passwd",
        "/",
        "../root2",
    ],
)
def test_nothing_outside_has_a_name(root: Path, path: str) -> None:
    with pytest.raises(TargetError, match="outside the workspace"):
        Files(root).canonical(f"file:{path}")


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        (".git/config", "belongs to git"),
        (".git/", "belongs to git"),
        ("sub/.git/HEAD", "belongs to git"),
        ("a\0b", "NUL"),
        ("a\udcff", "not valid Unicode"),
        ("\ud800", "not valid Unicode"),
        ("node_modules/x.js", "excluded"),
        ("a/node_modules/b/c.js", "excluded"),
        (".venv/bin/python", "excluded"),
    ],
)
def test_what_is_no_object_is_refused(root: Path, path: str, reason: str) -> None:
    with pytest.raises(TargetError, match=reason) as caught:
        Files(root).canonical(f"file:{path}")
    assert caught.value.cure


def test_a_workspace_must_be_a_directory(root: Path, tmp_path: Path) -> None:
    for path, reason in (
        (tmp_path / "no", "does not exist"),
        (root / "src/app.py", "is not a directory"),
        (Path("/"), "the whole file system"),
    ):
        with pytest.raises(TargetError, match=reason):
            Files(path)


# ---- links -------------------------------------------------------------------------------------------------


def test_links_within_lead_to_the_one_name(root: Path) -> None:
    (root / "main.py").symlink_to("src/app.py")
    (root / "code").symlink_to(root / "src")
    (root / "chain").symlink_to("code/../main.py")
    (root / "dangling").symlink_to("src/new.py")
    target = Files(root)
    for name in ("main.py", "code/app.py", "chain", "code/deep/../app.py"):
        assert target.canonical(f"file:{name}") == "file:src/app.py"
    assert target.canonical("file:code/") == "file:src/"
    assert target.canonical("file:dangling") == "file:src/new.py"
    assert list(anyio.run(target.list, "file:")) == ["file:src/app.py"]


def test_links_out_of_the_workspace_are_refused(root: Path, tmp_path: Path) -> None:
    (root / "secret").symlink_to(tmp_path / "outside/secret")
    (root / "out").symlink_to("../outside")
    (root / "git").symlink_to(".git")
    (root / ".git").mkdir()
    target = Files(root)
    for name in ("secret", "out/secret", "out/new", "out/"):
        with pytest.raises(TargetError, match="leaves the workspace through a symbolic link"):
            target.canonical(f"file:{name}")
    with pytest.raises(TargetError, match="belongs to git"):
        target.canonical("file:git/config")
    assert list(anyio.run(target.list, "file:")) == ["file:src/app.py"]


def test_a_link_that_leads_to_itself_is_refused(root: Path) -> None:
    (root / "loop").symlink_to("loop")
    target = Files(root)

    async def main() -> None:
        with pytest.raises(TargetError, match="without an end"):
            target.canonical("file:loop")
        assert await target.get(target.literal("file:loop")) is None
        assert await target.get(target.canonical("link:loop")) == "loop"

    anyio.run(main)


def test_a_link_that_appears_later_is_not_followed(root: Path, tmp_path: Path) -> None:
    target = Files(root)
    secret = tmp_path / "outside/secret"

    async def main() -> None:
        for place, link_to, key in (
            ("file", secret, "file:file"),
            ("folder", secret.parent, "file:folder/secret"),
            ("inside", root / "src/app.py", "file:inside"),
        ):
            assert target.canonical(key) == key
            (root / place).symlink_to(link_to)
            for expected in ([None], ["secret\n"], ["app\n"]):
                with pytest.raises(TargetError, match="symbolic link"):
                    await target.put(key, "overwritten", expected=expected)
            for scheme in ("file", "mode", "folder"):  # there is none of these
                await target.put(f"{scheme}:{key[5:]}", None, expected=[None])
        for key in ("file:file", "mode:file", "file:inside"):
            assert await target.get(key) is None

    anyio.run(main)
    assert secret.read_text() == "secret\n"
    assert (root / "src/app.py").read_text() == "app\n"
    assert (root / "file").is_symlink()


# ---- listings ----------------------------------------------------------------------------------------------


def test_listings_go_by_prefix(root: Path) -> None:
    for name in ("src/a", "src/deep/b", "src2", "other/c", ".git/config", ".venv/x", "node_modules/y"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).touch()
    target = Files(root)

    def listed(prefix: str) -> set[str]:
        return {key.removeprefix("file:") for key in anyio.run(target.list, f"file:{prefix}")}

    assert listed("") == {"src/app.py", "src/a", "src/deep/b", "src2", "other/c"}
    assert listed("src") == {"src/app.py", "src/a", "src/deep/b", "src2"}
    assert listed("src/") == {"src/app.py", "src/a", "src/deep/b"}
    assert listed("src/de") == listed("src/deep/") == {"src/deep/b"}
    assert listed("src/app.py/") == listed("nothing/") == set()
    assert set(anyio.run(Files(root, exclude=["src/**"]).list, "file:")) == {
        "file:src2",
        "file:other/c",
        "file:.venv/x",
        "file:node_modules/y",
    }


def test_names_that_are_not_valid_text_are_left_out(root: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("other systems refuse such names")
    bad = os.fsencode(root) + b"/\xff.py"
    with open(bad, "wb") as file:
        file.write(b"x")
    os.symlink(bad, root / "alias")
    target = Files(root)
    assert list(anyio.run(target.list, "file:")) == ["file:src/app.py"]
    assert list(target.snapshot()) == ["file:src/app.py", "folder:src/deep"]
    with pytest.raises(TargetError, match="not valid UTF-8"):
        target.canonical("file:alias")


def test_names_of_any_script_are_kept_apart(root: Path) -> None:
    target = Files(root)
    names = ["ä", "a\u0308", "日本/東京", "with space", "-dash", "#hash", "a:b", "tab\tnewline\n", "🙂", "~"]

    async def main() -> None:
        for name in names:
            key = target.canonical(f"file:{name}")
            assert key == f"file:{name}"
            await target.put(key, name, expected=[None])

    anyio.run(main)
    assert target.snapshot("file:") == {
        "file:src/app.py": "app\n",
        **{f"file:{name}": name for name in names},
    }
