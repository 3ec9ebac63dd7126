"""Imports the command line once, and runs each command that it is told of in a process of its own.

A request is a line of JSON: `arguments`, `cwd`, `environment` and `outputs`, two files. The answer is the
exit code.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import sys
from typing import Any

IMPORTED = (
    "coagent.builtin.files",
    "coagent.cli.doctor.command",
    "coagent.cli.init",
    "coagent.cli.log",
    "coagent.cli.main",
    "coagent.cli.resolve",
    "coagent.cli.restore",
    "coagent.cli.status",
    "coagent.cli.undo",
    "coagent.config.domain_file",
    "coagent.log.sqlite",
    "coagent.targets.documents",
    "coagent.targets.files",
    "coagent.targets.sql",
    "rich.table",
)


def main() -> None:
    """Fork for each request; the child leaves the loop, and is the command."""
    for name in IMPORTED:
        importlib.import_module(name)
    for line in sys.stdin:
        asked = json.loads(line)
        pid = os.fork()
        if pid == 0:
            become(asked)
            runpy.run_module("coagent", run_name="__main__", alter_sys=True)
            return
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        print(code, flush=True)


def become(asked: dict[str, Any]) -> None:
    """Take on what a process is started with."""
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    for number, path in enumerate((os.devnull, *asked["outputs"])):
        opened = os.open(path, os.O_RDWR)
        os.dup2(opened, number)
        os.close(opened)
    sys.argv = ["coagent", *asked["arguments"]]


if __name__ == "__main__":
    main()
