"""`coagent init`: wire up the agents that people run in a workspace already, or take it all out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from coagent.cli.output import console, print_json
from coagent.errors import ConfigurationError
from coagent.private import private_folder, write_private

_MEMORY = "setup"
_HAD_FOLDER = "had-claude-folder"
_CHAINED = "chained-prefix"
_LOCAL = "settings.local.json"
_EXCLUDE = ".git/info/exclude"


def init(
    folder: Annotated[Path, typer.Argument(help="The workspace.")] = Path(),
    remove: Annotated[bool, typer.Option("--remove", help="Take everything out again.")] = False,
    shared: Annotated[
        bool, typer.Option("--shared", help="Use .claude/settings.json, which a team shares.")
    ] = False,
    opencode: Annotated[
        bool, typer.Option("--opencode", help="Also write opencode.json, with CoAgent as its MCP server.")
    ] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")] = False,
) -> None:
    """Wire up a workspace: every Claude Code session in it becomes an agent of one shared order.

    It writes a .coagent folder, and hooks and a shell prefix in .claude/settings.local.json beside what is
    there, which git ignores. With --remove, all files are put back to the byte they were, and .coagent goes.
    """
    root = folder.resolve()
    if not root.is_dir():
        raise ConfigurationError(f"there is no folder {str(folder)!r}", "Name the workspace.")
    said = ""
    if remove:
        done = _remove(root)
    else:
        done, said = _write(root, shared=shared, opencode=opencode)
    if json_output:
        more = {"shell": said} if said else {}
        print_json({"workspace": str(root), "removed": remove, "files": done, **more})
        return
    out = console()
    for path in done:
        out.print(f"{'took out of' if remove else 'wrote'} {path}", markup=False)
    if said:
        out.print(said, markup=False)
    if not done:
        out.print("Nothing was to be done." if not remove else "There was nothing of CoAgent's.")
    elif not remove:
        out.print(
            "\nEvery Claude Code session that starts in this folder is governed from now on.\n"
            "  coagent status           who is at work, and who waits for whom\n"
            "  coagent log --follow     what they do\n"
            "  coagent init --remove    takes everything out again",
            markup=False,
        )


def _write(root: Path, *, shared: bool, opencode: bool) -> tuple[list[str], str]:
    from coagent.config.domain_file import FOLDER, NAME, read_domain_file
    from coagent.gateways.setup import claude_code, git_exclude, shell_prefix, shell_script, workspace
    from coagent.gateways.setup import opencode as opencode_config
    from coagent.gateways.setup.json_file import JsonFile

    memory = root / FOLDER / _MEMORY
    for name in (_LOCAL, *(["settings.json"] if shared else [])):
        JsonFile(root / ".claude" / name, memory).check()  # before anything is made
    new = not (root / FOLDER / NAME).exists()
    path = workspace.make(root)
    wait_s = read_domain_file(path).claude.wait_s
    done = [str(path.relative_to(root))] if new else []
    if new and (root / ".claude").is_dir():
        write_private(private_folder(memory) / _HAD_FOLDER, "")
    local, script = root / ".claude" / _LOCAL, root / ".claude" / shell_script.SCRIPT
    choice = shell_prefix.choose(root)
    if choice.ours:
        if choice.chained and choice.local:
            write_private(private_folder(memory) / _CHAINED, choice.chained)
        known = memory / _CHAINED  # on a second run, ours has taken its place
        chained = choice.chained or (known.read_text(encoding="utf-8") if known.is_file() else "")
        if shell_script.write(script, shell_script.text(root, chained)):
            done.append(str(script.relative_to(root)))

    def with_ours(data: dict[str, Any]) -> dict[str, Any]:
        data = claude_code.with_prefix(data, script) if choice.ours else data
        return data if shared else claude_code.with_hooks(data, wait_s)

    if (choice.ours or not shared) and JsonFile(local, memory).change(with_ours):
        done.append(str(local.relative_to(root)))
    settings = local.with_name("settings.json")
    if shared and JsonFile(settings, memory).change(lambda data: claude_code.with_hooks(data, wait_s)):
        done.append(str(settings.relative_to(root)))
    made = [f".claude/{_LOCAL}", f".claude/{shell_script.SCRIPT}"]
    if git_exclude.put_in(root, made):
        done.append(_EXCLUDE)
    if opencode:
        config = root / "opencode.json"
        if JsonFile(config, memory).change(lambda data: opencode_config.with_server(data, path)):
            done.append(str(config.relative_to(root)))
    return done, choice.said


def _remove(root: Path) -> list[str]:
    from coagent.config.domain_file import FOLDER
    from coagent.gateways.claude.stop import stop_daemon
    from coagent.gateways.setup import claude_code, git_exclude, shell_script, workspace
    from coagent.gateways.setup import opencode as opencode_config
    from coagent.gateways.setup.json_file import JsonFile

    memory, done = root / FOLDER / _MEMORY, []
    known = memory / _CHAINED
    chained = known.read_text(encoding="utf-8") if known.is_file() else ""

    def without_ours(data: dict[str, Any]) -> dict[str, Any]:
        return claude_code.without_hooks(claude_code.without_prefix(data, chained))

    for name in (_LOCAL, "settings.json"):
        settings = root / ".claude" / name
        if JsonFile(settings, memory).restore(without_ours):
            done.append(str(settings.relative_to(root)))
    script = root / ".claude" / shell_script.SCRIPT
    if script.is_file():
        script.unlink()
        done.append(str(script.relative_to(root)))
    if git_exclude.take_out(root):
        done.append(_EXCLUDE)
    if JsonFile(root / "opencode.json", memory).restore(opencode_config.without_server):
        done.append("opencode.json")
    folder = root / ".claude"
    if done and folder.is_dir() and not any(folder.iterdir()) and not (memory / _HAD_FOLDER).exists():
        folder.rmdir()
    if (root / FOLDER).is_dir():
        stop_daemon(root)
        kept = workspace.remove(root)
        done.append(f"{FOLDER} (kept, since not ours: {', '.join(kept)})" if kept else FOLDER)
    return done
