"""`coagent check`: is the state that a log leads to the serial one, and if not, who made it so."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coagent.cli.output import MASK, console, print_json
from coagent.errors import CoAgentError, FootprintViolation, LogError

if TYPE_CHECKING:
    from coagent.audit.audit import Audit, Expected, Report
    from coagent.audit.findings import Finding
    from coagent.log.base import Reader
    from coagent.runtime.reader import Targets

_SHOWN_LENGTH_MAX = 60
_FINDINGS_SHOWN_MAX = 20
_LOOKED_AGAIN_MAX = 5
_QUIET_S = 1.0
_SQLITE = b"SQLite format 3\0"


def check(
    domain: Annotated[
        str | None,
        typer.Argument(
            metavar="LOG|FILE|FOLDER",
            help="A log, a domain file or a folder; the nearest .coagent by default.",
        ),
    ] = None,
    no_live: Annotated[
        bool, typer.Option("--no-live", help="Look at the log alone, not at the live state.")
    ] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Audit a log: is the state the one of its agents run one after another? It only looks.

    Every read is derived anew from the log's records, by code that knows nothing of the rules that made them.
    Of a log alone only the log is looked at; of a domain file or a folder its live state as well. Exit code
    0: it is right; 1: it is not, or the log is damaged.
    """
    from coagent.log.base import NothingYet
    from coagent.log.open import open_reader
    from coagent.log.urls import shown_url

    url, path = _meant(domain)
    try:
        reader = open_reader(url)
    except NothingYet as nothing:
        if path is None:
            raise
        if json_output:
            print_json({"log": shown_url(url), "serial": True, "counts": {"records": 0}, "findings": []})
        else:
            console().print(f"{nothing.cause}.", markup=False)
        return
    unreachable: list[str] = []
    try:
        audit = _made(reader, shown_url(url))
        with _progress() as say:
            _begin(reader, audit, shown_url(url))
            _read(reader, audit, say)
            if path is not None and not no_live:
                _look(path, reader, audit, unreachable, say)
    finally:
        reader.close()
    report = audit.report()
    if json_output:
        print_json({"log": shown_url(url), **report.data(), "unreachable": unreachable})
    else:
        _print(shown_url(url), report, unreachable)
    if not report.serial or unreachable:
        raise typer.Exit(1)


def _meant(given: str | None) -> tuple[str, Path | None]:
    """Return the log that is meant, and its domain file where that is known."""
    from coagent.cli.where import LOGS, domain_file, domain_log

    if given is not None and given.startswith(LOGS):
        return given, None
    if given is not None and _is_log(Path(given).expanduser()):
        return f"sqlite:{given}", None
    return domain_log(given), domain_file(given)


def _is_log(path: Path) -> bool:
    """Tell whether a file is a log, or an empty one that is to become one."""
    try:
        with path.open("rb") as file:
            start = file.read(len(_SQLITE))
    except OSError:
        return False
    return start == _SQLITE or (not start and path.suffix != ".toml")


def _value_shown(value: Any, key: str, beside: Any = None) -> str:
    from coagent.audit.picture import shortened

    def whole(value: Any) -> str:
        return MASK.brief(value, sys.maxsize, key, quoted=not isinstance(value, bytes))

    if value is None:
        return "nothing"
    return shortened(whole(value), "" if beside is None else whole(beside), _SHOWN_LENGTH_MAX)


# ---- the log -----------------------------------------------------------------------------------------------


def _made(reader: Reader, log: str) -> Audit:
    from coagent.audit.audit import Audit

    try:
        return Audit(reader.settings.protocol, reader.settings.order, _value_shown)
    except ValueError as error:
        raise LogError(
            f"log {log!r} cannot be checked: {error}",
            "Look whether it was damaged, or is of a newer version.",
        ) from None


def _begin(reader: Reader, audit: Audit, log: str) -> None:
    """Begin at the first record, or where the records before are gone, or of format 1."""
    if reader.by_itself:
        raise LogError(
            f"log {log!r} is of format 1, in which agents commit without a record: it cannot be checked",
            "Open its domain once with this version; what happens from then on can be.",
        )
    old = reader.last_old
    begun = reader.checkpoint_text(None, old + 1 if old else None)
    if begun is None:
        return
    try:
        audit.begin_at(*begun)
    except ValueError as error:
        raise LogError(
            f"the checkpoint at record {begun[0]} of log {log!r} cannot be understood: {error}",
            "Restore a copy of it, or of its archive.",
        ) from None


def _read(reader: Reader, audit: Audit, say: Callable[[str], None]) -> None:
    """Take the records that there are by now."""
    last = reader.last
    try:
        while texts := reader.texts():  # at the end, too: it says so where records are missing there
            for number, text in texts:
                audit.feed(number, text)
            say(f"record {reader.head:,} of {last:,}")
            if reader.head > last:
                break  # others write it meanwhile
    except LogError as error:
        audit.damaged(error.cause, reader.head + 1)


# ---- the live state ----------------------------------------------------------------------------------------


def _look(
    path: Path, reader: Reader, audit: Audit, unreachable: list[str], say: Callable[[str], None]
) -> None:
    """Compare what there is with what the log says."""
    import anyio

    from coagent.config.domain_file import configured

    targets = configured(path).domain.targets
    anyio.run(_compare, targets, reader, audit, unreachable, say)


async def _compare(
    targets: Targets, reader: Reader, audit: Audit, unreachable: list[str], say: Callable[[str], None]
) -> None:
    try:
        compared = 0
        wrong: dict[str, tuple[Expected, Any]] = {}
        for expected in audit.expected():
            found = await _found(targets, expected.key, unreachable)
            if found is None:
                continue
            compared += 1
            if not audit.holds(expected, found[0]):
                wrong[expected.key] = (expected, found[0])
            say(f"{compared:,} live objects looked at")
        for _ in range(_LOOKED_AGAIN_MAX):
            before = reader.head
            _read(reader, audit, say)  # agents may be at work: what there is may be news of theirs
            if not wrong or reader.head == before:
                break
            now = {one.key: one for one in audit.expected() if one.key in wrong}
            wrong = {
                key: (one, found[0])
                for key, one in now.items()
                if (found := await _found(targets, key, unreachable)) and not audit.holds(one, found[0])
            }
        audit.looked_at(compared, wrong.values())
    finally:
        for target in targets.all:
            await target.close()


async def _found(targets: Targets, key: str, unreachable: list[str]) -> tuple[Any] | None:
    """Return what there is of an object; None where nobody can tell."""
    try:
        target = targets.of(key)
        return (await target.get(target.canonical(key)),)
    except FootprintViolation:
        return None  # a declared tool's, or of a target that the domain has no more
    except CoAgentError as error:
        if error.cause not in unreachable:
            unreachable.append(error.cause)
        return None


# ---- what is printed ---------------------------------------------------------------------------------------


def _print(log: str, report: Report, unreachable: list[str]) -> None:
    out = console()
    for name, text in _looked_at(log, report):
        out.print(f"{name:<9}", style="bold", end="")
        out.print(text, markup=False, soft_wrap=True)
    out.print()
    failing = [one for one in report.findings.kept if one.failing]
    rest = [one for one in report.findings.kept if not one.failing]
    count = _counted(report.findings.failing, "finding")
    if not failing:
        far = "" if not report.at_work else ", as far as agents have come"
        far += ", as far as the log tells" if unreachable else ""
        out.print(f"The state is the serial one{far}.", style="bold green")
    elif all(one.cls == "damaged log" for one in failing):
        out.print(
            f"The log is damaged, and does not tell whether the state is the serial one: {count}.",
            style="bold red",
        )
    else:
        out.print(f"The state is not the serial one: {count}.", style="bold red")
    for why in unreachable:
        out.print(
            f"The live state could not be looked at: {why}", style="yellow", markup=False, soft_wrap=True
        )
    for one in failing[:_FINDINGS_SHOWN_MAX]:
        _print_finding(one)
    if report.findings.failing > _FINDINGS_SHOWN_MAX:
        out.print(f"\nand {report.findings.failing - _FINDINGS_SHOWN_MAX} more: --json has them.")
    if rest:
        out.print("\nNot wrong by the log, but for a person to judge:", style="bold")
        for one in rest[:_FINDINGS_SHOWN_MAX]:
            _print_finding(one)


def _looked_at(log: str, report: Report) -> Iterator[tuple[str, str]]:
    tally = report.tally
    begun = f", from record {report.began_after + 1} on" if report.began_after else ""
    yield "log", f"{log}: {tally.records:,} records{begun}, protocol {report.protocol}"
    ends = [f"{tally.committed:,} committed", f"{tally.aborted:,} aborted"]
    if report.at_work:
        names = ", ".join(report.at_work[:5])
        ends.append(f"{len(report.at_work)} at work ({names}{', …' if len(report.at_work) > 5 else ''})")
    yield "agents", f"{tally.joined:,}: {', '.join(ends)}; {_counted(tally.calls, 'call')}"
    unchecked = f"; {tally.unchecked:,} more rest on what no record holds" if tally.unchecked else ""
    yield "reads", f"{tally.reads:,} derived and compared{unchecked}"
    ordered = report.protocol in ("mtpo", "serial")
    if ordered:
        yield "notices", f"{_counted(tally.notices, 'changed premise')} told"
    upwards = ", all upwards" if tally.edges and not report.of(["protocol"]) and ordered else ""
    yield "edges", f"{_counted(tally.edges, 'dependency', 'dependencies')} between agents{upwards}"
    if tally.outside or tally.between:
        changes, objects = _counted(tally.outside, "change"), _counted(tally.between, "object")
        yield "outside", f"{changes} in the log; {objects} found changed that nobody at work had touched"
    if report.compared is None:
        yield "live", "not looked at"
    else:
        yield "live", f"{_counted(report.compared, 'object')} looked at"


def _counted(count: int, what: str, several: str = "") -> str:
    return f"{count:,} {what if count == 1 else several or f'{what}s'}"


def _print_finding(one: Finding) -> None:
    from coagent.audit.picture import in_ascii

    out = console()
    code = f" ({one.code})" if one.code else ""
    out.print(f"\n{one.what}{code}", style="bold", markup=False, end="")
    out.print(f"  [{one.cls}]", style="dim", markup=False)
    out.print(f"  {one.text}", markup=False, soft_wrap=True)
    boxes = (sys.stdout.encoding or "").lower().startswith("utf")
    for line in one.picture if boxes else in_ascii(one.picture):
        out.print(f"    {line}", markup=False, soft_wrap=True)


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """Yield what says how far it has come, on a terminal, where it takes more than a moment."""
    out = console(stderr=True)
    if not out.is_terminal:
        yield lambda text: None
        return
    began = time.monotonic()
    with out.status("") as status:
        status.stop()
        shown = False

        def say(text: str) -> None:
            nonlocal shown
            if time.monotonic() - began > _QUIET_S:
                if not shown:
                    status.start()
                    shown = True
                status.update(text)

        yield say
