"""One run: processes are started, killed, stopped and continued; then it is judged what they leave."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import psycopg
from crash_judge import faults_of
from crash_plan import Plan, Shot
from crash_points import SLOTS, Board
from crash_systems import Systems
from crash_worker import Job, Worker, events_of

from coagent.log.urls import place_of
from coagent.runtime.tenure import LEASE_S
from coagent.runtime.watch import Watch
from coagent.systems.files.folder_lock import FolderLocked, folder_lock

STILL_S_MAX = 30.0
"""How long nothing may happen, in seconds."""
_EVENTS_MAX = 4000
_TAKEN_S_MAX = 2.0
_LOOK_S = 0.003


def forked(act: Callable[[], None], said: Path) -> int:
    """Do something in a process of its own; what it says goes to a file. Returns its number."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        descriptor = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        act()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


@dataclass
class Result:
    """How a run went.

    Args:
        plan: What was run.
        faults: What was wrong.
        done: How often each thing was done to a process: "kill at append", "stop at moment", …
        events: How many events the log has.
    """

    plan: Plan
    faults: list[str] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    events: int = 0


@dataclass
class _Process:
    pid: int
    slot: int
    life: int
    shot: Shot | None
    began_s: float
    stopped_s: float | None = None
    expired: bool = False
    continues_s: float = 0.0


class Run:
    """Makes one run.

    Args:
        plan: What to run.
        systems: Where it runs.
        folder: For its files.
        broken: What of the product is broken on purpose.
    """

    def __init__(self, plan: Plan, systems: Systems, folder: Path, broken: str = "") -> None:
        self.result = Result(plan)
        self._plan, self._systems, self._folder, self._broken = plan, systems, folder, broken
        self._board = Board()
        self._rng = random.Random(f"run {plan.seed}")
        self._processes: list[_Process] = []
        self._due: list[tuple[float, int, int]] = []  # when to start which life in which slot
        self._helper = len(plan.agents)
        self._head = -1
        self._moved_s = 0.0
        folder.mkdir(parents=True, exist_ok=True)
        self._system = systems.system(plan, folder)
        self._url = systems.log(plan, folder)

    def make(self) -> Result:
        """Run, and judge."""
        for slot in range(len(self._plan.agents)):
            self._start(slot, 0)
        self._moved_s = time.monotonic()
        try:
            self._go_through()
            if not self.result.faults:
                self._start(self._helper, 0)  # whatever is left, somebody sees to
                self._go_through()
        finally:
            for process in self._processes:
                os.kill(process.pid, signal.SIGKILL)
                os.waitpid(process.pid, 0)
        if not self.result.faults:
            self.result.faults += self._judged()
        return self.result

    # ---- processes -----------------------------------------------------------------------------------------

    def _start(self, slot: int, life: int) -> None:
        plan = self._plan
        shots = plan.shots[slot] if slot < len(plan.shots) else []
        shot = shots[life] if life < len(shots) else None
        agents = plan.agents[slot] if slot < len(plan.agents) else []
        job = Job(plan, self._url, self._folder, self._system, slot, life, agents, shot, self._broken)
        self._board.set_busy(slot, False)
        pid = forked(lambda: anyio.run(Worker(job, self._board).run), self._said(slot, life))
        self._processes.append(_Process(pid, slot, life, shot, time.monotonic()))

    def _said(self, slot: int, life: int) -> Path:
        return self._folder / f"said.{slot}.{life}"

    def _go_through(self) -> None:
        while (self._processes or self._due) and not self.result.faults:
            now_s = time.monotonic()
            for due in [one for one in self._due if one[0] <= now_s]:
                self._due.remove(due)
                self._start(due[1], due[2])
            for process in list(self._processes):
                self._look(process, now_s)
            self._board.open = all(one.stopped_s is None for one in self._processes)
            self._check_progress(now_s)
            time.sleep(_LOOK_S)

    def _look(self, process: _Process, now_s: float) -> None:
        pid, status = os.waitpid(process.pid, os.WNOHANG | os.WUNTRACED)
        if pid and os.WIFSTOPPED(status):
            process.stopped_s, process.expired = now_s, False
            self._board.open = False
        elif pid:
            self._processes.remove(process)
            self._ended(process, status, now_s)
        elif process.stopped_s is not None:
            self._see_to(process, now_s)
        elif process.shot is not None and process.shot.point == "moment":
            due = now_s - process.began_s >= process.shot.nth / 1000
            if due and not self._board.busy(process.slot):
                self._shoot(process)

    def _ended(self, process: _Process, status: int, now_s: float) -> None:
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
            shot = process.shot
            if shot is not None and process.stopped_s is None:
                self.result.done[f"kill at {shot.point}"] += 1
            revived = self._plan.revived or not (self._processes or self._due)
            if revived and process.slot != self._helper:
                self._due.append((now_s + self._rng.choice((0.0, 0.0, 0.1)), process.slot, process.life + 1))
        elif status:
            said = self._said(process.slot, process.life).read_text()[-1500:]
            self.result.faults.append(f"process {process.slot}.{process.life} ended with {status}: {said}")
        elif process.shot is not None and process.stopped_s is None:
            self.result.done["missed"] += 1

    def _shoot(self, process: _Process) -> None:
        assert process.shot is not None
        if process.shot.signal is signal.SIGKILL:
            os.kill(process.pid, signal.SIGKILL)
            return
        os.kill(process.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        # Whoever is stopped with a lock of a system's in its hands holds everybody up, and that is known.
        if self._board.busy(process.slot) or self._holds_lock():
            os.kill(process.pid, signal.SIGCONT)

    # ---- a process that is stopped -------------------------------------------------------------------------

    def _see_to(self, process: _Process, now_s: float) -> None:
        shot = process.shot
        assert shot is not None, "who is stopped was shot at"
        if not process.expired:
            process.continues_s = now_s + self._rng.choice((0.0, 0.05, 0.2))
            if shot.taken:
                if not self._run_out(process.pid):
                    os.kill(process.pid, signal.SIGCONT)  # it holds a lock after all
                    process.stopped_s = None
                    return
                self._board.sleep(process.slot, 2 * LEASE_S)
                process.continues_s = now_s + _TAKEN_S_MAX
                if all(one.stopped_s is not None for one in self._processes) and not self._due:
                    self._start(self._helper, 0)
            process.expired = True
            self.result.done[f"stop at {shot.point}"] += 1
        if shot.taken and process.continues_s - now_s > 0.25 and not self._is_leased(process.pid):
            process.continues_s = now_s + self._rng.choice((0.0, 0.05, 0.2))
        if now_s >= process.continues_s:
            process.shot, process.stopped_s = None, None
            if shot.ends:
                self.result.done["kill of a stopped one"] += 1
                os.kill(process.pid, signal.SIGKILL)
            os.kill(process.pid, signal.SIGCONT)

    def _run_out(self, pid: int) -> bool:
        """Let the lease of a process run out by the log's clock; False where that cannot be just now."""
        if self._plan.log == "postgresql":
            schema = place_of(self._url).schema
            try:
                self._systems.execute(
                    f"update {schema}.coagent_leases set until = now() - interval '1 hour', seconds = 0 "
                    f"where pid = {pid}"
                )
            except psycopg.errors.UndefinedTable:  # it has not come so far
                return False
            return True
        try:
            with closing(sqlite3.connect(self._folder / "log", timeout=0)) as connection, connection:
                connection.execute("update coagent_leases set until_s = until_s - 7200 where pid = ?", (pid,))
        except sqlite3.OperationalError:
            return False
        return True

    def _is_leased(self, pid: int) -> bool:
        if self._plan.log == "postgresql":
            schema = place_of(self._url).schema
            return bool(self._systems.execute(f"select 1 from {schema}.coagent_leases where pid = {pid}"))
        try:
            with closing(sqlite3.connect(self._folder / "log", timeout=0)) as connection:
                return bool(
                    connection.execute("select 1 from coagent_leases where pid = ?", (pid,)).fetchall()
                )
        except sqlite3.OperationalError:
            return True

    def _holds_lock(self) -> bool:
        """Tell whether somebody is in the middle of a write; to be asked while they stand still."""
        paths = [self._folder / "log"] if self._plan.log == "sqlite" else []
        paths += [Path(self._system.place)] if self._plan.target == "sqlite" else []
        try:
            for path in paths:
                with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as connection:
                    connection.execute("begin immediate")
                    connection.execute("rollback")
            with folder_lock(str(self._folder), 0):
                pass
            if self._plan.target == "files":
                with folder_lock(self._system.place, 0):
                    pass
        except (sqlite3.OperationalError, FolderLocked):
            return True
        if "postgresql" in (self._plan.target, self._plan.log):
            return self._systems.in_transaction()
        return self._shop_is_locked()

    def _shop_is_locked(self) -> bool:
        import fcntl

        path = self._folder / "outside" / "shop.lock"
        if not path.exists():
            return False
        with path.open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    # ---- the end -------------------------------------------------------------------------------------------

    def _check_progress(self, now_s: float) -> None:
        if now_s - self._moved_s < 0.25 and self._head >= 0:
            return
        head = self._read_head()
        if head != self._head or any(one.stopped_s is not None for one in self._processes):
            self._head, self._moved_s = head, now_s
        if head > _EVENTS_MAX:
            self.result.faults.append(f"it goes on for ever: {head} events; {self._standing()}")
        elif now_s - self._moved_s > STILL_S_MAX:
            for process in self._processes:
                os.kill(process.pid, signal.SIGUSR1)
            time.sleep(0.5)
            self.result.faults.append(f"nothing happens any more: {self._standing()}")

    def _read_head(self) -> int:
        try:
            if self._plan.log == "postgresql":
                schema = place_of(self._url).schema
                rows = self._systems.execute(f"select coalesce(max(number), 0) from {schema}.coagent_records")
                return int(rows[0][0])
            with closing(sqlite3.connect(self._folder / "log", timeout=0)) as connection:
                return int(
                    connection.execute("select coalesce(max(number), 0) from coagent_records").fetchone()[0]
                )
        except Exception:
            return self._head

    def _standing(self) -> str:
        try:
            watch = Watch(self._url, tail=None)
            list(watch.events())
            agents = "; ".join(map(str, watch.agents()))
            return f"{agents}; unknown {watch.unknown()}, stuck {watch.kernel.stuck}"
        except Exception as failure:
            return repr(failure)

    def _judged(self) -> list[str]:
        """Return what is wrong at the end, as a process of its own finds it."""
        verdict = self._folder / "verdict"
        pid = forked(lambda: verdict.write_text(json.dumps(self._judge())), self._said(SLOTS, 0))
        _, status = os.waitpid(pid, 0)
        if status:
            return [f"it cannot be judged: {self._said(SLOTS, 0).read_text()[-1500:]}"]
        found: Mapping[str, Any] = json.loads(verdict.read_text())
        self.result.events = found["events"]
        return list(found["faults"])

    def _judge(self) -> dict[str, Any]:
        log = events_of(self._url)
        (self._folder / "events").write_text("".join(f"{event}\n" for event in log))
        job = Job(self._plan, self._url, self._folder, self._system, self._helper, 0, [], None)
        outside = Worker(job, self._board).outside
        booked = {
            path.name: json.loads(path.read_text()) for path in (self._folder / "outside/shop").iterdir()
        }
        faults = faults_of(self._plan, log, self._system.documents(), booked, outside.letters())
        return {"faults": outside.faults() + faults, "events": len(log)}
