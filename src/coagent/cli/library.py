"""`coagent tools list | show | verify | remove`: the library of grown tools."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coagent.cli.output import console, print_json
from coagent.errors import ConfigurationError

if TYPE_CHECKING:
    from coagent.toolsmith.library import Library
    from coagent.toolsmith.spec import ToolSpec

_Workspace = Annotated[
    Path,
    typer.Option("--workspace", exists=True, file_okay=False, help="The workspace that the tools are for."),
]
_Folder = Annotated[
    Path | None,
    typer.Option("--library", help="The library; by default that of the domain file, or .coagent/tools."),
]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_Name = Annotated[str, typer.Argument(help="The name of the tool.")]


def list_tools(workspace: _Workspace = Path(), library: _Folder = None, json_output: _Json = False) -> None:
    """List the grown tools of a library, with how often each was called, and files that are none.

    The exit code is 1 where a file cannot be used.
    """
    kept = _library(workspace, library)
    tools, faults = kept.load()
    uses = kept.uses()
    if json_output:
        rows = [{**_row(tool), "uses": uses.get(tool.name, 0)} for tool in tools.values()]
        print_json({"tools": rows, "faults": [fault._asdict() for fault in faults]})
    else:
        _show_list(list(tools.values()), uses, kept)
        for fault in faults:
            console(stderr=True).print(f"{fault.file} {fault.why}", style="red", markup=False)
    if faults:
        raise typer.Exit(1)


def show(
    name: _Name, workspace: _Workspace = Path(), library: _Folder = None, json_output: _Json = False
) -> None:
    """Show a grown tool: its command, what it reads and writes, and what the verifier found."""
    spec = _one(_library(workspace, library), name)
    if json_output:
        print_json(spec.model_dump(mode="json", by_alias=True))
        return
    out = console()
    out.print(spec.signature, style="bold", markup=False)
    out.print(spec.description, markup=False)
    for name_, parameter in spec.parameters.items():
        out.print(f"  {name_}: {parameter.type}  {parameter.description}", markup=False, highlight=False)
    blind = {True: ", blind", False: ", read-modify-write", None: ""}[spec.blind]
    out.print(f"effect  {spec.effect}{blind}{f' ({spec.reason})' if spec.reason else ''}", markup=False)
    for what, keys in (("reads", spec.reads), ("writes", spec.writes)):
        if keys:
            out.print(f"{what:7} {', '.join(keys)}", markup=False, highlight=False)
    if spec.reverse:
        out.print(f"reverse {spec.reverse}", markup=False, highlight=False)
    out.print(f"command {spec.command}", markup=False, highlight=False)
    _show_checks(spec)


def verify(
    names: Annotated[list[str] | None, typer.Argument(help="Tools to verify; all by default.")] = None,
    workspace: _Workspace = Path(),
    library: _Folder = None,
    json_output: _Json = False,
) -> None:
    """Verify grown tools in throw-away views of the workspace, and note in their files what was found.

    Nothing in the workspace is changed. The exit code is 1 where a tool does not pass, or cannot be read.
    """
    import anyio

    from coagent.systems.files.target import Files
    from coagent.toolsmith.verify import Verifier

    kept = _library(workspace, library)
    known, faults = kept.load()
    tools = [_one(kept, name) for name in names] if names else list(known.values())
    faults = [] if names else faults
    verifier = Verifier(Files(workspace).workspace)
    found: list[ToolSpec] = []
    with console(stderr=True).status("verifying") as status:
        for spec in tools:
            status.update(f"verifying {spec.name}")
            found.append(anyio.run(verifier.verify, spec, spec.examples))
            kept.replace(found[-1])
    if json_output:
        broken = [{"file": fault.file, "why": fault.why} for fault in faults]
        print_json({"tools": [_row(tool) for tool in found], "faults": broken})
    else:
        for tool in found:
            console().print(tool.name, style="bold", markup=False)
            _show_checks(tool)
    for fault in faults:
        console(stderr=True).print(f"{fault.file} {fault.why}", style="red", markup=False)
    if faults or not all(tool.is_verified for tool in found):
        raise typer.Exit(1)


def remove(
    name: _Name, workspace: _Workspace = Path(), library: _Folder = None, json_output: _Json = False
) -> None:
    """Remove a grown tool from a library."""
    _library(workspace, library).remove(name)
    if json_output:
        print_json({"removed": name})
    else:
        console().print(f"removed {name}", markup=False)


def _library(workspace: Path, folder: Path | None) -> Library:
    try:
        from coagent.toolsmith.library import Library
        from coagent.toolsmith.smith import DEFAULT_FOLDER
    except ImportError as error:
        raise ConfigurationError(
            f"grown tools cannot be read: {error}", "Install it: pip install 'coagent-mtpo[toolsmith]'."
        ) from None
    place = folder or _configured(workspace) or workspace / DEFAULT_FOLDER
    if folder is not None and not folder.is_dir():
        raise ConfigurationError(f"there is no library {str(folder)!r}", "Name its folder with --library.")
    return Library(place)


def _configured(workspace: Path) -> Path | None:
    """Return the library that the domain file of a workspace names."""
    from coagent.config.domain_file import FOLDER, NAME, read_domain_file

    file = workspace / FOLDER / NAME
    return read_domain_file(file).tools.settings("toolsmith").folder(file.parent) if file.is_file() else None


def _one(library: Library, name: str) -> ToolSpec:
    tools, faults = library.load()
    if name in tools:
        return tools[name]
    for fault in faults:
        if fault.file == f"{name}.toml":
            raise ConfigurationError(f"{fault.file} {fault.why}")
    raise library.unknown(name)


def _row(spec: ToolSpec) -> dict[str, Any]:
    checks = spec.verified.checks if spec.verified else []
    return {
        "name": spec.name,
        "signature": spec.signature,
        "effect": spec.effect,
        "verified": spec.is_verified,
        "failed": [f"{check.name}: {check.why}" for check in checks if not check.passed],
    }


def _show_list(tools: list[ToolSpec], uses: dict[str, int], library: Library) -> None:
    from rich.table import Table

    out = console()
    if not tools:
        out.print(f"{library.folder} has no tools yet.", markup=False)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("tool", "effect", "verified", "calls", "what it does"):
        table.add_column(column, justify="right" if column == "calls" else "left")
    for tool in tools:
        state = "[green]yes[/]" if tool.is_verified else "[bold red]no[/]"
        described = tool.description.replace("[", r"\[")
        table.add_row(tool.name, tool.effect, state, str(uses.get(tool.name, 0)), described)
    out.print(table)


def _show_checks(spec: ToolSpec) -> None:
    out = console()
    verified = spec.verified
    if verified is None or verified.digest != spec.digest:
        out.print("not verified as it is now: coagent tools verify", style="red", markup=False)
        return
    for check in verified.checks:
        mark, style = ("ok", "green") if check.passed else ("FAILED", "bold red")
        why = check.why.replace("[", r"\[")
        out.print(f"  [{style}]{mark}[/] {check.name}{f': {why}' if why else ''}", highlight=False)
