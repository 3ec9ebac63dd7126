"""Checks at work: side by side, each within its time, and none of them ends the others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from coagent.cli.doctor.finding import Finding
from coagent.errors import CoAgentError


class Check(NamedTuple):
    """A look at one thing.

    Args:
        about: What it looks at, for the finding where it fails itself.
        look: Returns what it has found.
        limit_s: How long it may take.
    """

    about: str
    look: Callable[[], Iterable[Finding]]
    limit_s: float = 10.0


def carried_out(checks: Sequence[Check]) -> list[Finding]:
    """Return what checks have found, in their order.

    One that takes too long is left behind in its thread, which ends with the process; one that fails is a
    finding itself.
    """
    began_s = time.monotonic()
    runs = [_Run(check) for check in checks]
    for run in runs:
        run.start()
    return [finding for run in runs for finding in run.found(began_s)]


class _Run(threading.Thread):
    def __init__(self, check: Check) -> None:
        super().__init__(name=f"doctor-{check.about}", daemon=True)
        self._check = check
        self._found: list[Finding] | None = None

    def run(self) -> None:
        about = self._check.about
        try:
            self._found = list(self._check.look())
        except CoAgentError as error:
            self._found = [Finding(about, "problem", error.cause, error.cure)]
        except BaseException as error:  # whatever it is, the other checks go on
            why = f"this could not be checked: {type(error).__name__}: {error}"
            self._found = [Finding(about, "problem", why)]

    def found(self, began_s: float) -> list[Finding]:
        self.join(max(0.0, began_s + self._check.limit_s - time.monotonic()))
        if self._found is not None:
            return self._found
        text = f"no answer within {self._check.limit_s:g} s"
        return [Finding(self._check.about, "problem", text)]
