"""`coagent check`: is the state that a log leads to the serial one, and if not, who made it so."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coagent.cli.output import MASK, console, print_json

if TYPE_CHECKING:
    from coagent.audit.findings import Finding
    from coagent.oversight.auditing import Checked

_SHOWN_LENGTH_MAX = 60
_FINDINGS_SHOWN_MAX = 20
_QUIET_S = 1.0


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
    from coagent.cli.where import domain_file, domain_log, named_log, nothing_yet
    from coagent.config.domain_file import configured
    from coagent.log.base import NothingYet
    from coagent.log.open import open_reader
    from coagent.log.urls import shown_url
    from coagent.oversight.auditing import audit

    named = named_log(domain)
    path = None if named is not None else domain_file(domain)
    url = domain_log(domain)
    try:
        reader = open_reader(url)
    except NothingYet as nothing:
        said = nothing_yet(domain, nothing)
        if json_output:
            print_json({"log": shown_url(url), "serial": True, "counts": {"records": 0}, "findings": []})
        else:
            console().print(said, markup=False)
        return
    try:
        targets = None if path is None or no_live else configured(path).domain.targets
        with progress() as say:
            checked = audit(reader, shown_url(url), targets, value_shown, say)
    finally:
        reader.close()
    if json_output:
        print_json(_data(shown_url(url), checked))
    else:
        _print(shown_url(url), checked, "" if targets is not None else _why_not_live(named))
    if checked.failed:
        raise typer.Exit(1)


def _why_not_live(named: str | None) -> str:
    return "--no-live" if named is None else "of a log alone, nobody knows its targets"


def _data(log: str, checked: Checked) -> dict[str, Any]:
    return {
        "log": log,
        **checked.report.data(),
        "read_to": checked.read,
        "last": checked.last,
        "unreachable": [unseen.why for unseen in checked.unseen if unseen.wanted],
        "not_looked_at": [{"objects": unseen.objects, "why": unseen.why} for unseen in checked.unseen],
    }


def value_shown(value: Any, key: str, beside: Any = None) -> str:
    """Return a value of an object in one short line, without the secrets in it: `Show`, for people."""
    from coagent.audit.picture import shortened

    def whole(value: Any) -> str:
        return MASK.brief(value, sys.maxsize, key, quoted=not isinstance(value, bytes))

    if value is None:
        return "nothing"
    return shortened(whole(value), "" if beside is None else whole(beside), _SHOWN_LENGTH_MAX)


# ---- what is printed ---------------------------------------------------------------------------------------


def _print(log: str, checked: Checked, not_live: str) -> None:
    out, report = console(), checked.report
    for name, text in _looked_at(log, checked, not_live):
        out.print(f"{name:<9}", style="bold", end="")
        out.print(text, markup=False, soft_wrap=True)
    for unseen in checked.unseen:
        out.print(f"{'not':<9}", style="bold yellow", end="")
        what = "what there is" if unseen.objects is None else _counted(unseen.objects, "object")
        out.print(f"{what}: {unseen.why}", style="yellow", markup=False, soft_wrap=True)
    out.print()
    failing = [finding for finding in report.findings.kept if finding.failing]
    rest = [finding for finding in report.findings.kept if not finding.failing]
    said, style = _judgement(checked, failing, not_live)
    out.print(said, style=f"bold {style}".strip())
    for finding in failing[:_FINDINGS_SHOWN_MAX]:
        _print_finding(finding)
    if report.findings.failing > _FINDINGS_SHOWN_MAX:
        out.print(f"\nand {report.findings.failing - _FINDINGS_SHOWN_MAX} more: --json has them.")
    if rest:
        out.print("\nNot wrong by the log, but for a person to judge:", style="bold")
        for finding in rest[:_FINDINGS_SHOWN_MAX]:
            _print_finding(finding)
    if any(finding.cls == "ungoverned writer" for finding in failing):
        out.print("\ncoagent accept KEY    takes what is there for right")
        out.print("coagent restore KEY   brings back what was")


def _judgement(checked: Checked, failing: list[Finding], not_live: str) -> tuple[str, str]:
    """Return the verdict, and its colour: green only where all that there is was looked at."""
    report = checked.report
    count = _counted(report.findings.failing, "finding")
    if failing and all(finding.cls == "damaged log" for finding in failing):
        return f"The log is damaged, and does not tell whether the state is the serial one: {count}.", "red"
    if failing:
        return f"The state is not the serial one: {count}.", "red"
    far = ", as far as agents have come" if report.at_work else ""
    if not_live:
        return f"By its log the state is the serial one{far}; what is there was not looked at.", ""
    if checked.unseen:
        return f"What was looked at is the serial state{far}; not all was.", "yellow"
    return f"The state is the serial one{far}.", "green"


def _looked_at(log: str, checked: Checked, not_live: str) -> Iterator[tuple[str, str]]:
    report, tally = checked.report, checked.report.tally
    begun = f", from record {report.began_after + 1} on" if report.began_after else ""
    ends_early = report.of(["damaged log"]) and checked.read < checked.last
    far = f" of {checked.last:,}, up to the damaged one" if ends_early else ""
    yield "log", f"{log}: {_counted(tally.records, 'record')}{far}{begun}, protocol {report.protocol}"
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
    if not_live:
        yield "live", f"not looked at ({not_live})"
    elif report.compared is not None:
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
def progress() -> Iterator[Callable[[str], None]]:
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
