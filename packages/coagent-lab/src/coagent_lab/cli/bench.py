"""`coagent bench`: measurements, each a command of its own that is imported when it is called."""

from __future__ import annotations

from typing import ClassVar

from coagent.cli.group import Lazy, LazyGroup, epilog, plain_typer

BENCHMARKS: dict[str, Lazy] = {
    "overhead": Lazy(
        "coagent_lab.cli.bench_overhead:overhead",
        "What a call costs, and how that grows.",
        ("coagent bench overhead --quick", "coagent bench overhead --json"),
    ),
    "contended": Lazy(
        "coagent_lab.cli.bench_contended:contended",
        "The protocols compared on contended workloads.",
        (
            "coagent bench contended",
            "coagent bench contended --html report.html",
            "coagent bench contended --workloads DIR --misjudge 0.05 --json",
        ),
    ),
    "pairs": Lazy(
        "coagent_lab.cli.bench_pairs:pairs",
        "Gold patches of real pull requests, two at a time in one tree.",
        ("coagent bench pairs --dataset CooperBench/dataset --repositories clones",),
    ),
    "race": Lazy(
        "coagent_lab.cli.bench_race:race",
        "RaceBench's scripted agents, beside the strategies that it comes with.",
        (
            "coagent bench race --racebench RaceBench",
            "coagent bench race --racebench RaceBench --tasks t08_livelock --json",
        ),
    ),
    "log": Lazy(
        "coagent_lab.cli.bench_log:log",
        "The engines of the log, with one process and with many.",
        (
            "coagent bench log",
            "coagent bench log --log postgresql://USER@HOST/DATABASE",
            "coagent bench log --processes 1,8 --think 0 --seconds 2 --json",
        ),
    ),
    "mcp": Lazy(
        "coagent_lab.cli.bench_mcp:mcp",
        "What MCP adds to a call.",
        ("coagent bench mcp", "coagent bench mcp --samples 1000 --json"),
    ),
    "hooks": Lazy(
        "coagent_lab.cli.bench_hooks:hooks",
        "What a hook adds to a tool call of Claude Code.",
        ("coagent bench hooks", "coagent bench hooks --files 10000"),
    ),
    "shell": Lazy(
        "coagent_lab.cli.bench_shell:shell",
        "What the governed shell adds to a command.",
        ("coagent bench shell", 'coagent bench shell --root . --command "make -n"'),
    ),
    "bash": Lazy(
        "coagent_lab.cli.bench_bash:bash",
        "Everyday bash tasks, alone and with several workers at once.",
        ("coagent bench bash", "coagent bench bash --workers 2 --trials 10 --json"),
    ),
}


class Benchmarks(LazyGroup):
    """The benchmarks."""

    table: ClassVar = BENCHMARKS


app = plain_typer(
    cls=Benchmarks,
    no_args_is_help=True,
    add_completion=False,
    epilog=epilog("coagent bench overhead --quick"),
)


@app.callback()
def bench() -> None:
    """Measure what CoAgent costs."""
