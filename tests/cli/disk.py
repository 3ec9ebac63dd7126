"""Has a process of tests wait for no disk."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from coagent.log import sqlite_schema


def wait_for_none(set_attribute: Callable[[Any, str, Any], None] = setattr) -> None:
    """Have what is written from now on lie with the kernel, where any process finds it."""
    set_attribute(os, "fsync", lambda _descriptor: None)
    set_attribute(sqlite_schema, "_SYNCHRONOUS", "off")
