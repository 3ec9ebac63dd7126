"""How a library grew over tasks, and what it was worth to them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from math import comb
from typing import Any

from coagent_lab.bench.bash.results import Result


def expected_curve(tools: Iterable[str]) -> list[float]:
    """Return how many tools there are after each number of tasks, on average over all orders of the tasks.

    A tool is there after k of n tasks unless none of the k is one of the tasks that it serves. Nothing has to
    be run for it: which tool serves a task does not hang on those before it. Source: Hurlbert, "The
    Nonconcept of Species Diversity", Ecology 52 (1971), the expected number of species.

    Args:
        tools: The tool that served each task; an empty text for none.
    """
    names = list(tools)
    counts = Counter(name for name in names if name)
    return [
        sum(1 - comb(len(names) - count, number) / comb(len(names), number) for count in counts.values())
        for number in range(1, len(names) + 1)
    ]


def growth(results: list[Result]) -> dict[str, Any]:
    """Return how many tools there were after each task, and how they were used."""
    tools: list[str] = []
    curve = []
    for one in results:
        if one.tool and one.tool not in tools:
            tools.append(one.tool)
        curve.append(len(tools))
    served = [one for one in results if one.tool]
    writers = {one.tool for one in served if one.undone is not None or one.left}
    inverted = {one.tool for one in served if one.undone} - {
        one.tool for one in served if one.undone is False
    }
    return {
        "tools": len(tools),
        "curve": curve,
        "expected_curve": [round(one, 1) for one in expected_curve(one.tool for one in results)],
        "served": len(served),
        "reused": sum(not one.made for one in served),
        "write_tools": len(writers),
        "write_tools_undone": len(writers & inverted),
        "asking_s_made": round(sum(one.asking_s for one in served if one.made) / max(1, len(tools)), 2),
        "asking_s_reused": round(
            sum(one.asking_s for one in served if not one.made) / max(1, sum(not one.made for one in served)),
            2,
        ),
        "footprint_violations": sum("does not declare" in one.why for one in results),
        "without_tool": {one.task: one.no_tool for one in results if one.no_tool},
        "calls": {name: sum(one.tool == name for one in results) for name in tools},
    }
