"""The report as one HTML page that needs nothing but itself: tables and figures in inline SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from coagent.masking.spans import masked_text
from coagent_lab.bench.contended.measure import Lane

_COLOURS = {"serial": "#6b7280", "naive": "#dc2626", "2pl": "#d97706", "occ": "#7c3aed", "mtpo": "#059669"}
_PUBLISHED = {"mtpo": (1.4, 1.15), "2pl": (1.04, None), "occ": (0.93, 1.83)}
"""(speed-up, tokens) that arXiv 2606.15376 reports for its own agents and workloads; None: not given."""
_STYLE = """
:root { color-scheme: light dark; --ink: #111827; --soft: #6b7280; --line: #d1d5db; --paper: #ffffff; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #f3f4f6; --soft: #9ca3af; --line: #374151; --paper: #111827; }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: 13px; }
th, td { padding: .25rem .5rem; text-align: right; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child, th:nth-child(2), td:nth-child(2) { text-align: left; }
svg { width: 100%; height: auto; } svg text { fill: var(--ink); font: 12px system-ui, sans-serif; }
.soft { color: var(--soft); font-size: 13px; } .axis { stroke: var(--line); } .wide { overflow-x: auto; }
"""


def page(data: Mapping[str, Any], timelines: Mapping[str, Sequence[Lane]]) -> str:
    """Return the page.

    Args:
        data: What `Measured.as_data` returns, perhaps with the rows of `scaling`.
        timelines: Protocol to lanes of one workload; empty where that was not run.
    """
    parts = [
        "<h1>Contended workloads</h1>",
        "<p>Several agents at once on one live state. The agents are "
        f"{escape(data['parameters']['agents'])}; the parameters are below. "
        "<em>Serial in order</em> is the share of trials that end as the agents one after another, in the "
        "order of their ranks.</p>",
        "<h2>Speed and tokens</h2>",
        _pareto(data["summary"]),
        "<p class='soft'>Means over all workloads, against the agents one after another. Hollow: figures "
        "<strong>published</strong> in arXiv 2606.15376 for other agents and workloads, measured there, not "
        "here; they are no comparison, only a reminder of the claim.</p>",
        _table([("mean of all", data["summary"])]),
    ]
    if timelines:
        parts += [
            "<h2>One canary under each protocol</h2>",
            _timeline(timelines),
            "<p class='soft'>Bars: thinking. Dots: calls. Triangles: notices. Diamonds: repairs. "
            "Crosses: everything undone. Squares: commits.</p>",
        ]
    if data.get("scaling"):
        parts += ["<h2>From 2 to 64 agents</h2>", _scaling(data["scaling"])]
    rows = [(one["id"], one["protocols"]) for one in data["workloads"]]
    parts += [
        "<h2>Every workload</h2>",
        _table(rows),
        _failures(data),
        "<h2>Parameters</h2>",
        _parameters(data),
    ]
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>CoAgent: contended workloads</title><style>{_STYLE}</style></head><body>"
        + "".join(parts)
        + "</body></html>\n"
    )


def _pareto(summary: Mapping[str, Mapping[str, Any]]) -> str:
    width, height, left, bottom = 640, 330, 60, 40
    found = {protocol: one for protocol, one in summary.items() if one}
    speeds = [one["speedup"] for one in found.values()] + [speed for speed, _ in _PUBLISHED.values()]
    costs = [one["tokens_ratio"] for one in found.values()] + [1.83]
    x_of = _scale(min(0.6, *speeds) - 0.05, max(1.6, *speeds) + 0.1, left, width - 90)
    y_of = _scale(min(0.9, *costs) - 0.05, max(costs) + 0.1, height - bottom, 20)
    parts = [_axes(width, height, left, bottom, "speed-up (right is better)", "tokens (down is better)")]
    for tick in (0.6, 0.8, 1.0, 1.2, 1.4, 1.6, 1.8):
        if left <= x_of(tick) <= width - 60:
            parts.append(
                f"<text x='{x_of(tick):.0f}' y='{height - bottom + 16}' text-anchor='middle'>{tick}x</text>"
            )
    for tick in (1.0, 1.2, 1.4, 1.6, 1.8):
        parts.append(f"<text x='{left - 8}' y='{y_of(tick) + 4:.0f}' text-anchor='end'>{tick}x</text>")
    for protocol, (speed, cost) in _PUBLISHED.items():
        if cost is not None:
            parts.append(
                f"<circle cx='{x_of(speed):.1f}' cy='{y_of(cost):.1f}' r='7' fill='none' "
                f"stroke-dasharray='3 2' stroke='{_COLOURS[protocol]}'/>"
                f"<text x='{x_of(speed) + 10:.1f}' y='{y_of(cost) - 8:.1f}' "
                f"opacity='.6'>{protocol}, published</text>"
            )
    for protocol, one in found.items():
        x, y = x_of(one["speedup"]), y_of(one["tokens_ratio"])
        parts.append(f"<circle cx='{x:.1f}' cy='{y:.1f}' r='8' fill='{_COLOURS.get(protocol, '#000')}'/>")
        label = f"{protocol}: {one['serial_any_order']:.0%} serial"
        if protocol == "mtpo":
            label = f"{protocol}: {one['serial_in_order']:.0%} serial, in order"
            y -= 36  # naive lies just below
        parts.append(f"<text x='{x + 12:.1f}' y='{y + 18:.1f}'>{escape(label)}</text>")
    return _svg(width, height, parts, "speed-up against tokens")


def _timeline(timelines: Mapping[str, Sequence[Lane]]) -> str:
    width, left, lane_height = 900, 110, 24
    last = max(
        (event[0] for lanes in timelines.values() for lane in lanes for event in lane.events), default=1.0
    )
    x_of = _scale(0.0, last, left, width - 20)
    parts: list[str] = []
    y = 20
    for protocol, lanes in timelines.items():
        for number, lane in enumerate(lanes):
            name = f"{protocol}  {lane.agent}" if number == 0 else lane.agent
            parts.append(f"<text x='{left - 12}' y='{y + 4}' text-anchor='end'>{escape(name)}</text>")
            parts += _lane(lane, x_of, y, _COLOURS.get(protocol, "#000"))
            y += lane_height
        y += 10
    for second in range(0, int(last) + 1, 10):
        parts.append(
            f"<line class='axis' x1='{x_of(second):.0f}' y1='8' x2='{x_of(second):.0f}' y2='{y - 8}'/>"
            f"<text x='{x_of(second):.0f}' y='{y + 8}' text-anchor='middle'>{second} s</text>"
        )
    return _svg(width, y + 20, parts, "what each agent did, under each protocol")


def _lane(lane: Lane, x_of: Any, y: int, colour: str) -> list[str]:
    parts = []
    begun: float | None = None
    marks = []
    for time_s, kind in lane.events:
        if kind in ("think", "judge"):
            begun = time_s
        elif kind != "notice" and begun is not None:
            length = max(x_of(time_s) - x_of(begun) - 1, 1)
            parts.append(
                f"<rect x='{x_of(begun):.1f}' y='{y - 4}' width='{length:.1f}' "
                f"height='8' fill='{colour}' opacity='.25'/>"
            )
            begun = None
        x = x_of(time_s)
        if kind in ("call", "staged"):
            marks.append(f"<circle cx='{x:.1f}' cy='{y}' r='4' fill='{colour}'/>")
        elif kind == "notice":
            marks.append(f"<path d='M{x - 5:.1f} {y - 12} h10 l-5 9 z' fill='#f59e0b'/>")
        elif kind in ("amend", "undo"):
            marks.append(f"<path d='M{x:.1f} {y - 7} l7 7 l-7 7 l-7 -7 z' fill='#10b981'/>")
        elif kind == "restart":
            marks.append(
                f"<path d='M{x - 5:.1f} {y - 5} l10 10 m0 -10 l-10 10' stroke='#dc2626' stroke-width='3'/>"
            )
        elif kind == "commit":
            marks.append(f"<rect x='{x - 5:.1f}' y='{y - 5}' width='10' height='10' fill='{colour}'/>")
    return parts + marks


def _scaling(rows: Sequence[Mapping[str, Any]]) -> str:
    contentions = list(dict.fromkeys(row["contention"] for row in rows))
    width, height, left, bottom = 300, 250, 44, 36
    agents = sorted({row["agents"] for row in rows})
    top = max(row["speedup"] for row in rows) * 1.05
    figures = []
    for number, contention in enumerate(contentions):
        x_of = _scale(0, len(agents) - 1, left, width - 14)
        y_of = _scale(0, top, height - bottom, 26)
        parts = [_axes(width, height, left, bottom, "agents", "speed-up" if number == 0 else "")]
        parts.append(
            f"<text x='{(left + width) / 2}' y='16' text-anchor='middle'>{contention} contention</text>"
        )
        for index, count in enumerate(agents):
            parts.append(
                f"<text x='{x_of(index):.0f}' y='{height - bottom + 15}' text-anchor='middle'>{count}</text>"
            )
        for tick in range(0, int(top) + 1, 10):
            parts.append(f"<text x='{left - 6}' y='{y_of(tick) + 4:.0f}' text-anchor='end'>{tick}</text>")
        for protocol, colour in _COLOURS.items():
            of = {
                row["agents"]: row
                for row in rows
                if (row["contention"], row["protocol"]) == (contention, protocol)
            }
            points = [
                f"{x_of(index):.1f},{y_of(of[count]['speedup']):.1f}"
                for index, count in enumerate(agents)
                if count in of
            ]
            if points:
                dashes = " stroke-dasharray='4 3'" if protocol == "naive" else ""
                line = f"fill='none' stroke='{colour}' stroke-width='2'{dashes}"
                parts.append(f"<polyline points='{' '.join(points)}' {line}/>")
        figures.append(f"<div>{_svg(width, height, parts, f'scaling at {contention} contention')}</div>")
    keys = " ".join(
        f"<span style='color:{colour}'>&#9632; {name}</span>" for name, colour in _COLOURS.items()
    )
    wrong = sum(1 - row["serial_in_order"] for row in rows if row["protocol"] == "mtpo")
    said = "always serial in the order of ranks" if wrong == 0 else "not always serial"
    return (
        "<div style='display:grid;grid-template-columns:repeat(auto-fit,minmax(16rem,1fr));gap:1rem'>"
        + "".join(figures)
        + f"</div><p>{keys}</p><p class='soft'>naive (dashed) is fast and ends in states that no serial run "
        f"produces; mtpo was {said} in these runs.</p>"
    )


def _table(rows: Sequence[tuple[str, Mapping[str, Mapping[str, Any]]]]) -> str:
    heads = ["workload", "protocol", "serial in order", "serial, any order", "seconds", "speed-up", "tokens"]
    heads += ["cached", "notices", "false notices", "restarts", "deadlocks"]
    lines = ["<tr>" + "".join(f"<th>{head}</th>" for head in heads) + "</tr>"]
    for name, protocols in rows:
        for number, (protocol, one) in enumerate(protocols.items()):
            if not one:
                continue
            cells = [
                escape(name) if number == 0 else "",
                protocol,
                f"{one['serial_in_order']:.0%}",
                f"{one['serial_any_order']:.0%}",
                f"{one['makespan_s']:.1f}",
                f"{one['speedup']:.2f}x",
                f"{one['tokens_ratio']:.2f}x",
                f"{one['tokens_ratio_cached']:.2f}x",
                f"{one['notifications']:.1f}",
                "-" if one.get("false_notices") is None else f"{one['false_notices']:.0%}",
                f"{one['aborts']:.1f}",
                f"{one['deadlocks']:.1f}",
            ]
            lines.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    return f"<div class='wide'><table>{''.join(lines)}</table></div>"


def _failures(data: Mapping[str, Any]) -> str:
    failures = data.get("failed_workloads") or {}
    lines = "".join(
        f"<li><strong>{escape(name)}</strong>: {escape(masked_text(why))}</li>"
        for name, why in failures.items()
    )
    return f"<h2>Workloads that could not be run</h2><ul>{lines}</ul>" if lines else ""


def _parameters(data: Mapping[str, Any]) -> str:
    lines = []
    for name, value in data["parameters"].items():
        text = (
            ", ".join(f"{key} {one}" for key, one in value.items()) if isinstance(value, dict) else str(value)
        )
        lines.append(f"<li>{escape(name)}: {escape(masked_text(text))}</li>")
    return f"<ul class='soft'>{''.join(lines)}</ul>"


def _axes(width: int, height: int, left: int, bottom: int, across: str, up: str) -> str:
    floor = height - bottom
    return (
        f"<line class='axis' x1='{left}' y1='{floor}' x2='{width - 10}' y2='{floor}'/>"
        f"<line class='axis' x1='{left}' y1='14' x2='{left}' y2='{floor}'/>"
        f"<text x='{(left + width) / 2}' y='{height - 4}' text-anchor='middle'>{across}</text>"
        f"<text x='12' y='{floor / 2}' text-anchor='middle' "
        f"transform='rotate(-90 12 {floor / 2})'>{up}</text>"
    )


def _scale(low: float, high: float, start: float, end: float) -> Any:
    span = (high - low) or 1.0
    return lambda value: start + (value - low) / span * (end - start)


def _svg(width: int, height: int, parts: Sequence[str], title: str) -> str:
    return (
        f"<svg viewBox='0 0 {width} {height}' role='img' aria-label='{escape(title)}'>"
        + "".join(parts)
        + "</svg>"
    )
