"""`coagent demo`: agents in each other's way, under several protocols side by side."""

from __future__ import annotations

import contextlib
import difflib
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from coagent.cli.output import console, print_json, print_lines
from coagent.cli.registered import LAB, incomplete, loaded, not_installed, registered
from coagent.demos import GROUP, Demo
from coagent.errors import ConfigurationError

if TYPE_CHECKING:
    from coagent.demos.report import DemoReport

_PROTOCOLS = ("serial", "naive", "mtpo")
_OTHERS = ("2pl", "occ")
_IN_THE_LAB = ("canary",)


def demo(
    name: Annotated[str | None, typer.Argument(help="Which demo; without it they are listed.")] = None,
    protocol: Annotated[
        list[str] | None,
        typer.Option(
            "--protocol",
            "-p",
            help="Only this protocol, several times for several: serial, naive, mtpo, 2pl, occ. "
            "By default serial, naive and mtpo.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="What the think times are drawn from.")] = 0,
    json_output: Annotated[bool, typer.Option("--json", help="Print the runs as JSON.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep what the runs leave behind.")] = False,
) -> None:
    """Watch agents get in each other's way, and CoAgent put it right.

    Scripted agents with think times work on one live state under several protocols. Each run is compared with
    real serial runs in every order of the agents. No model and no network is needed.
    The exit code is 1 when a protocol other than naive fails to end as a serial run, or naive does.
    """
    if name is None:
        _list(json_output)
        return
    entry = _entry(name)
    protocols = _checked(protocol or list(_PROTOCOLS))
    with _folder(name, keep) as folder:
        report = _run(entry, protocols, seed, folder, json_output)
        if json_output:
            print_json(report.as_data())
            if keep:
                print_lines([f"Kept: {folder}"], stderr=True)
        else:
            from coagent.cli.demo_report import show

            show(report, console(), kept=keep)
    if not report.as_expected:
        raise typer.Exit(1)


def _list(json_output: bool) -> None:
    demos: dict[str, Demo] = {name: loaded(entry) for name, entry in registered(GROUP).items()}
    if json_output:
        print_json({"demos": [{"name": name, "about": demo.about} for name, demo in demos.items()]})
        return
    width = max(map(len, demos))
    print_lines(f"{name:<{width}}  {demo.about}" for name, demo in demos.items())
    print_lines(["", f"Run one with `coagent demo NAME`, for instance `coagent demo {next(iter(demos))}`."])
    missing = [name for name in _IN_THE_LAB if name not in demos]
    if missing:
        print_lines([f"More with the package {LAB}, which is not installed: {', '.join(missing)}."])


def _entry(name: str) -> EntryPoint:
    entries = registered(GROUP)
    if name in entries:
        return entries[name]
    if name in _IN_THE_LAB:
        raise not_installed(f"the demo {name!r}")
    raise ConfigurationError(
        f"there is no demo {name!r}", _nearest(name, dict.fromkeys([*entries, *_IN_THE_LAB]))
    )


def _checked(protocols: list[str]) -> list[str]:
    known = (*_PROTOCOLS, *_OTHERS)
    for protocol in protocols:
        if protocol not in known:
            raise ConfigurationError(f"there is no protocol {protocol!r}", _nearest(protocol, known))
    return list(dict.fromkeys(protocols))


def _nearest(name: str, known: Iterable[str]) -> str:
    names = list(known)
    found = difflib.get_close_matches(name, names, 1)
    return f"Did you mean {found[0]!r}?" if found else f"There are: {', '.join(names)}."


@contextlib.contextmanager
def _folder(name: str, keep: bool) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=f"coagent-{name}-"))
    try:
        yield folder
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


def _run(entry: EntryPoint, protocols: list[str], seed: int, folder: Path, json_output: bool) -> DemoReport:
    import anyio

    demo: Demo = loaded(entry)
    progress = console(stderr=True)
    try:
        if json_output or not progress.is_terminal:
            return anyio.run(demo.play, protocols, seed, folder, lambda text: None)
        with progress.status("getting ready") as status:
            return anyio.run(demo.play, protocols, seed, folder, status.update)
    except ImportError as error:
        raise incomplete(entry, error) from error
