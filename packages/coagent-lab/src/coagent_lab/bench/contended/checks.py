"""A workload file's own judgement of a final state, beside the exact comparison with its serial outcomes."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from coagent.errors import ConfigurationError
from coagent.protocol.values import Value
from coagent_lab.bench.contended.workload import Workload

_TESTS_TIMEOUT_S = 60


class Check:
    """The judgement of one workload file; each distinct final state is judged once.

    Args:
        workload: The workload; its `check` says how a final state is judged.
    """

    def __init__(self, workload: Workload) -> None:
        self._workload = workload
        self._judge = _JUDGES.get(str(workload.check.get("type")))
        self._known: dict[str, bool | None] = {}

    def accepts(self, final: Value) -> bool | None:
        """Tell whether the file accepts a final state; None where it has no judgement of its own.

        Raises:
            ConfigurationError: The check itself cannot be carried out; the message says why.
        """
        if self._judge is None:
            return None
        text = json.dumps(final, sort_keys=True, default=str)
        if text not in self._known:
            try:
                self._known[text] = self._judge(self._workload, final)
            except KeyError as error:
                raise ConfigurationError(
                    f"workload {self._workload.id!r}: check lacks {error}", "Add it to the file."
                ) from None
        return self._known[text]


def _by_predicate(workload: Workload, final: Value) -> bool | None:
    try:
        import jq
    except ImportError:
        return None  # the `bench` extra is not installed
    try:
        return bool(jq.compile(workload.check["predicate"]).input_value(final).first())
    except ValueError as error:
        raise ConfigurationError(
            f"workload {workload.id!r}: the jq predicate fails ({error})", "Correct check.predicate."
        ) from None


def _by_tests(workload: Workload, final: Value) -> bool | None:
    with tempfile.TemporaryDirectory(prefix="coagent-check-") as scratch:
        tree = Path(scratch) / "tree"
        for path, text in final.items():
            file = tree / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        test = Path(scratch) / "test_final.py"
        test.write_text(workload.check["file"])
        done = subprocess.run(
            (sys.executable, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", test.name),
            cwd=scratch,
            env={**os.environ, "TREE": str(tree)},
            capture_output=True,
            text=True,
            check=False,
            timeout=_TESTS_TIMEOUT_S,
        )
    if done.returncode not in (0, 1):  # pytest: 1 is a failing test, the others are troubles of its own
        return None if "No module named pytest" in done.stderr else False
    return done.returncode == 0


def _by_query(workload: Workload, final: Value) -> bool | None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(workload.initial_state["sql"])
        names = "select name from sqlite_master where type = 'table' and name not like 'sqlite_%'"
        for (table,) in connection.execute(names).fetchall():
            connection.execute(f'delete from "{table}"')
        try:
            for table, found in final.items():
                marks = ", ".join("?" * len(found["columns"]))
                columns = ", ".join(f'"{name}"' for name in found["columns"])
                connection.executemany(f'insert into "{table}" ({columns}) values ({marks})', found["rows"])
            row = connection.execute(workload.check["predicate"]).fetchone()
        except sqlite3.Error:
            return None  # the agents have changed the schema, which cannot be had from the rows
    return bool(row and row[0])


_JUDGES: dict[str, Callable[[Workload, Value], Any]] = {
    "jq-predicate": _by_predicate,
    "pytest": _by_tests,
    "sql-predicate": _by_query,
}
