"""Shows a run as it goes: a live table on a terminal, plain lines elsewhere. Both go to standard error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from coagent.log.urls import shown_url
from coagent.masking.values import masked_arguments
from coagent.runs.execute import Progress
from coagent.runs.history import RecordedAgent
from coagent.runs.report import count
from coagent.wording.quoting import one_line

_REFRESH_PER_S = 4
_LINE_LENGTH_MAX = 2000


class Show:
    """What `execute` is given as `changed`; use it as a context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress: Progress | None = None
        self._printed: dict[int, int] = {}
        self._live: Live | None = None

    @contextmanager
    def running(self) -> Iterator[Show]:
        """Show until the block ends."""
        if not self._console.is_terminal:
            yield self
            return
        with Live(
            get_renderable=self._table,
            console=self._console,
            refresh_per_second=_REFRESH_PER_S,
            transient=True,
        ) as live:
            self._live = live
            yield self

    def __call__(self, progress: Progress) -> None:
        """Take note of progress."""
        self._progress = progress
        if self._live is None and progress.history is not None:
            for agent in progress.history.agents.values():
                self._print_new(agent)

    def _print_new(self, agent: RecordedAgent) -> None:
        start = self._printed.get(agent.rank, 0)
        for act in agent.acts[start:]:
            line = one_line(f"{agent.name}: {act.kind} {act.detail}".rstrip(), _LINE_LENGTH_MAX)
            line = f"{act.seconds:7.1f}s  {line}"
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)
        self._printed[agent.rank] = len(agent.acts)

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False)
        for title in ("agent", "state", "calls", "notices", "tokens", "last"):
            table.add_column(title, no_wrap=True, overflow="ellipsis")
        if self._progress is None or self._progress.history is None:
            return table
        agents = {agent.name: agent for agent in list(self._progress.history.agents.values())}
        for planned in self._progress.plan.agents:
            agent = agents.get(planned.name)
            if agent is None:
                continue
            usage = getattr(planned.agent, "usage", None)
            tokens = "" if usage is None else f"{usage.input_tokens + usage.output_tokens:,}"
            notices = sum(act.kind == "told" for act in agent.acts)
            last = one_line(f"{agent.acts[-1].kind} {agent.acts[-1].detail}") if agent.acts else ""
            table.add_row(
                escape(one_line(planned.name)),
                agent.phase,
                f"{len(agent.calls)}",
                f"{notices}",
                tokens,
                escape(last),
            )
        return table


def plan_lines(progress: Progress) -> Iterator[str]:
    """Yield what a run would do."""
    plan = progress.plan
    yield f"{plan.path}: protocol {plan.domain.protocol}, log {shown_url(plan.domain.url)}"
    for target in plan.file.targets:
        settings = {name: value for name, value in target.model_dump().items() if value}
        options = [f"{name} {value!r}" for name, value in masked_arguments(settings, hidden=False).items()]
        yield f"  target: {', '.join(options)}"
    yield f"  {count(len(plan.domain.tools), 'tool')}: {', '.join(sorted(plan.domain.tools))}"
    for agent in plan.agents:
        yield f"  {agent.order + 1}. {agent.name}: {agent.kind} {agent.what}"
