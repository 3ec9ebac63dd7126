"""A harness of our own with the interface of RaceBench's strategies, as files for a folder."""

from pathlib import Path

_PARTS = """
import asyncio, json, shutil, time
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
STRATEGIES = {}


def register(cls):
    STRATEGIES[cls.name] = cls
    return cls


@dataclass
class Mutation:
    kind: str
    content: str = ""
    old_string: str = ""
    new_string: str = ""


@dataclass
class WriteOutcome:
    status: str
    message: str = ""
    waited_s: float = 0.0
    changed: set = field(default_factory=set)


class Strategy:
    def __init__(self, workspace, logger, agent_ids, lock_timeout_s=1.0):
        self.ws, self.log, self.agent_ids, self.active = workspace, logger, list(agent_ids), set(agent_ids)

    async def agent_done(self, agent_id):
        self.active.discard(agent_id)
        await self._release(agent_id)

    async def _release(self, agent_id):
        pass

    def drain_notifications(self, agent_id):
        return []


@register
class Naive(Strategy):
    name = "naive"

    async def _coordinate_read(self, agent_id, relpath):
        return self.ws.read_file(relpath) if self.ws.exists(relpath) else None

    async def _coordinate_write(self, agent_id, relpath, mutation):
        text = mutation.content
        if mutation.kind == "replace":
            held = self.ws.read_file(relpath)
            if mutation.old_string not in held:
                return WriteOutcome("edit_failed")
            text = held.replace(mutation.old_string, mutation.new_string, 1)
        (self.ws.root / relpath).write_text(text)
        return WriteOutcome("applied")


class Workspace:
    isolation = "shared"

    def __init__(self, root):
        self.root = root

    def exists(self, relpath):
        return (self.root / relpath).is_file()

    def read_file(self, relpath):
        return (self.root / relpath).read_text()


class Logger:
    def __init__(self, path):
        self.path, self.events = path, []

    def log(self, event, **fields):
        self.events.append({"event": event, **fields})


@dataclass
class Call:
    name: str
    arguments: dict


@dataclass
class Turn:
    tool_calls: list


@dataclass
class ScriptedModel:
    script: list

    def __post_init__(self):
        self.rest = list(self.script)

    async def complete(self, messages, tools):
        return Turn([Call(*self.rest.pop(0))])


@dataclass
class Spec:
    id: str


@dataclass
class Task:
    name: str
    agents: list


def load_task(name):
    return Task(name, [Spec(agent) for task, agent, _ in SCRIPTS if task == name])


@dataclass
class TrialConfig:
    strategy: str
    n_agents: int
    rep: int
    model_name: str
    max_turns: int
    lock_timeout_s: float
    trial_timeout_s: float
    workdir: Path

    @property
    def trial_id(self):
        return f"{self.strategy}-{self.rep}"


@dataclass
class Result:
    correct: bool
    oracle_passed: int
    oracle_total: int
    wall_clock_s: float
    agent_statuses: dict


async def agent(spec, model, strategy, log):
    while True:
        await asyncio.sleep(0)
        strategy.drain_notifications(spec.id)
        (call,) = (await model.complete([], [])).tool_calls
        path = call.arguments.get("path")
        if call.name == "done":
            break
        if call.name == "read_file":
            await strategy._coordinate_read(spec.id, path)
            log.log("read")
        else:
            kind = "replace" if call.name == "edit_file" else "overwrite"
            rest = {name: value for name, value in call.arguments.items() if name != "path"}
            outcome = await strategy._coordinate_write(spec.id, path, Mutation(kind, **rest))
            log.log("write", status=outcome.status)
    await strategy.agent_done(spec.id)


async def run_trial(task, config, model_factory, log_path):
    root = Path(config.workdir) / f"{task.name}-{config.trial_id}"
    shutil.copytree(HERE / "tasks" / task.name / "repo", root)
    log = Logger(log_path)
    strategy = STRATEGIES[config.strategy](Workspace(root), log, [spec.id for spec in task.agents])
    begun = time.monotonic()
    await asyncio.gather(*(agent(spec, model_factory(spec), strategy, log) for spec in task.agents))
    log_path.write_text(json.dumps(log.events))
    print("what a harness prints is no figure")
    wall = time.monotonic() - begun
    return Result(True, 1, 1, wall, {spec.id: "done" for spec in task.agents})


def trial_metrics(path):
    events = json.loads(path.read_text())
    writes = [one for one in events if one["event"] == "write"]
    told = [one for one in events if one.get("action") == "notified"]
    return {
        "reads_observed": sum(one["event"] == "read" for one in events),
        "search_events": 0, "run_tests_events": 0, "stall_events": 0, "fp_stall_events": 0,
        "notify_events": len(told),
        "wasted_token_rate": sum(one["status"] != "applied" for one in writes) / len(writes),
    }


def changed_symbols(before, after):
    return {"file"} if before != after else set()


def _write(text, looks):
    look = [("read_file", {"path": "log.txt"})] * looks
    return [*look, ("write_file", {"path": "log.txt", "content": text}), ("done", {})]


def _edit(old, new):
    edit = {"path": "two.py", "old_string": old, "new_string": new}
    return [("read_file", {"path": "two.py"}), ("edit_file", edit), ("done", {})]


# The earlier agent looks so long that it writes last, and a strategy without an order lets that stand.
SCRIPTS = {
    ("whole", "first", "clobber"): _write("first\\n", 5),
    ("whole", "second", "clobber"): _write("second\\n", 1),
    ("apart", "first", "edit"): _edit("one = 1", "one = 10"),
    ("apart", "second", "edit"): _edit("two = 2", "two = 20"),
}
"""
_MODULES = ("strategies/base", "symbols", "task", "scripts", "models", "trial")


def make_stand_in(folder: Path) -> Path:
    """Write the harness to a folder, and return that."""
    for package in ("harness", "harness/strategies", "analysis"):
        (folder / package).mkdir(parents=True)
        (folder / package / "__init__.py").write_text("")
    (folder / "harness/parts.py").write_text(_PARTS)
    for module in _MODULES:
        (folder / f"harness/{module}.py").write_text("from harness.parts import *\n")
    (folder / "analysis/metrics.py").write_text("from harness.parts import trial_metrics\n")
    for task, name, text in (("whole", "log.txt", "empty\n"), ("apart", "two.py", "one = 1\n\ntwo = 2\n")):
        (folder / f"tasks/{task}/repo").mkdir(parents=True)
        (folder / f"tasks/{task}/repo/{name}").write_text(text)
    return folder
