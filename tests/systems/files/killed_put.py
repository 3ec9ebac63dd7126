"""A process that puts a file and is killed (kill -9) at one step of that; a person may save in the middle."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import anyio

from coagent.protocol.values import Value
from coagent.systems.files import encoding as file_content
from coagent.systems.files import placing, swap
from coagent.systems.files import writing as file_writing
from coagent.targets import Documents, Files, Target


def end(*_: Any) -> None:
    """End as by kill -9."""
    os.kill(os.getpid(), signal.SIGKILL)


def then_end(act: Callable[..., Any], ends: Callable[..., bool] = lambda *_: True) -> Callable[..., Any]:
    """Return what acts and ends the process after that, where `ends` says so of the arguments."""

    def acts(*arguments: Any, **named: Any) -> Any:
        done = act(*arguments, **named)
        if ends(*arguments):
            end()
        return done

    return acts


def half(path: str, content: bytes, _: Any) -> None:
    with open(path, "wb", buffering=0) as file:
        file.write(content[: len(content) // 2])
        end()


exchanges = [1, 0]


def arrange(step: str) -> None:
    """Have this process end at a step."""
    if step.startswith("old "):  # a file system that knows no exchange
        swap._rename = lambda *_: False
    match step.removeprefix("old "):
        case "half":
            file_writing.create_file = half
        case "written":
            file_writing.create_file = then_end(file_writing.create_file)
        case "linked":
            os.symlink = then_end(os.symlink)
        case "on its way":
            file_content.write_out = end
        case "ready":
            os.rename = then_end(os.rename, lambda _, new: ".coagent-tmp-r" in new)
        case "swapped":
            swap._rename = then_end(swap._rename)
        case "swapped back":
            swap._rename = then_end(swap._rename, lambda *_: bool(exchanges.pop()))
        case "second name":
            os.link = then_end(os.link)
        case "replaced":
            os.replace = then_end(os.replace)
        case "judged":
            swap._drop = end


def arrange_save(place: str, text: str) -> None:
    """Have somebody save once the guard has been looked at, as an editor does that writes a new file."""
    given = placing.names

    def names(*arguments: Any) -> Any:
        with open(f"{place}.editor", "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(f"{place}.editor", place)
        return given(*arguments)

    placing.names = names


async def _put(root: str, step: str, key: str, value: Value, expected: Value, *saved: str) -> None:
    target: Target = Documents(root) if key.startswith("doc:") else Files(root)
    arrange(step)
    for text in saved:
        arrange_save(f"{root}/{key.partition(':')[2].partition('#')[0]}", text)
    await target.put(target.canonical(key), value, expected=[expected])


def main(*arguments: Any) -> None:
    """Put a value: (root, step, key, value, expected value, what a person saves meanwhile)."""
    anyio.run(_put, *arguments)
