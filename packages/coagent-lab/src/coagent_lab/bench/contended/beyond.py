"""Workloads beyond the ten: code, a database, a document."""

from __future__ import annotations

import contextlib
import json
import re
import tempfile
from collections.abc import Generator, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from coagent.protocol.values import Value
from coagent.systems.documents.target import Documents
from coagent.systems.documents.tools import DOCUMENT_TOOLS
from coagent_lab.bench.contended import coding, database
from coagent_lab.bench.contended.families import SQLITE, Family
from coagent_lab.bench.contended.scenario import Role, Scenario, workload_of
from coagent_lab.bench.contended.workload import Workload

Calls: TypeAlias = Generator[tuple[str, dict[str, Any]], Any, None]

_PRICING = """\
def total(items, tax=0.2):
    return round(sum(price * count for price, count in items) * (1 + tax), 2)
"""
_CART = """\
from shop.pricing import total


def cart(items):
    return total(items)
"""
_STOCK = """
CREATE TABLE stock (site TEXT, sku TEXT, free INTEGER, PRIMARY KEY (site, sku));
INSERT INTO stock VALUES ('north', 'bolt', 6), ('south', 'bolt', 6);
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer TEXT, count INTEGER, status TEXT);
"""


_PLAN = """\
# Plan

## Schedule

The launch is on 12 May.

## Risks

- None yet.
"""


# ---- code --------------------------------------------------------------------------------------------------


def _rename(old: str, new: str) -> Calls:
    hits = yield "fs.grep", {"pattern": rf"\b{old}\b"}
    for path in sorted({hit["path"] for hit in hits}):
        text = yield "fs.read", {"path": path}
        yield "fs.write", {"path": path, "content": re.sub(rf"\b{old}\b", new, text)}


def _add_report() -> Calls:
    source = yield "fs.read", {"path": "shop/pricing.py"}
    function = re.findall(r"^def (\w+)\(items", source, re.MULTILINE)[0]
    yield "fs.read", {"path": "shop/cart.py"}
    content = (
        f"from shop.pricing import {function}\n\n\n"
        f"def report(months):\n    return {{m: {function}(i) for m, i in months}}\n"
    )
    yield "fs.write", {"path": "shop/report.py", "content": content}


def _register(name: str) -> Calls:
    entries = json.loads((yield "fs.read", {"path": "plugins.json"}))
    number = max(entry["id"] for entry in entries) + 1
    content = json.dumps([*entries, {"id": number, "name": name}], indent=1)
    yield "fs.write", {"path": "plugins.json", "content": content}
    notes = yield "fs.read", {"path": "NEWS.md"}
    yield "fs.write", {"path": "NEWS.md", "content": f"{notes}- plugin {number}: {name}\n"}


def _coding() -> list[Scenario]:
    shop = {"file:shop/pricing.py": _PRICING, "file:shop/cart.py": _CART}
    registry = {"file:plugins.json": '[{"id": 1, "name": "base"}]', "file:NEWS.md": "# News\n"}
    add = "Register plugin {} under the next id, and add a line to NEWS.md."
    return [
        Scenario(
            "code-rename",
            "A function is renamed while a caller of it is added",
            shop,
            (
                Role(
                    "A", "Rename total to order_total everywhere.", partial(_rename, "total", "order_total")
                ),
                Role("B", "Add shop/report.py, which uses the pricing function.", _add_report),
            ),
        ),
        Scenario(
            "code-registry",
            "Two plugins are registered at once",
            registry,
            (
                Role("A", add.format("export"), partial(_register, "export")),
                Role("B", add.format("search"), partial(_register, "search")),
            ),
        ),
    ]


# ---- a database --------------------------------------------------------------------------------------------


def _reserve(site: str, count: int, customer: str) -> Calls:
    """Reserve, if four remain over all sites; otherwise note a backorder."""
    everywhere = yield "sql.query", {"sql": "SELECT SUM(free) FROM stock WHERE sku = 'bolt'"}
    here = yield "sql.query", {"sql": f"SELECT free FROM stock WHERE sku = 'bolt' AND site = '{site}'"}
    fits = everywhere[0][0] - count >= 4 and here[0][0] >= count
    if fits:
        change = f"UPDATE stock SET free = free - {count} WHERE sku = 'bolt' AND site = '{site}'"
        yield "sql.execute", {"sql": change}
    status = "reserved" if fits else "backorder"
    row = f"INSERT INTO orders (customer, count, status) VALUES ('{customer}', {count}, '{status}')"
    yield "sql.execute", {"sql": row}


def _stock() -> Scenario:
    with database.database(_STOCK) as target:
        objects = {
            key: value
            for prefix in ("sql:", "sql-schema:", "sql-seq:")
            for key, value in target.snapshot(prefix).items()
        }
    goal = "Reserve 5 bolts for {} from {}, if 4 remain over all sites; else note a backorder."
    return Scenario(
        "sql-stock",
        "Two reservations under one safety stock",
        objects,
        (
            Role("A", goal.format("acme", "north"), partial(_reserve, "north", 5, "acme")),
            Role("B", goal.format("zenith", "south"), partial(_reserve, "south", 5, "zenith")),
        ),
    )


# ---- a document --------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _folder() -> Iterator[Documents]:
    with tempfile.TemporaryDirectory(prefix="coagent-bench-") as folder:
        (Path(folder) / "plan.md").write_text(_PLAN)
        yield Documents(folder)


def _reschedule() -> Calls:
    section = yield "doc_read_section", {"path": "plan.md", "heading": "Plan/Schedule"}
    content = section.replace("12 May", "19 May")
    yield "doc_replace_section", {"path": "plan.md", "heading": "Plan/Schedule", "content": content}
    yield (
        "doc_append_to_section",
        {"path": "plan.md", "heading": "Plan/Risks", "content": "- The date has moved.\n"},
    )


def _announce() -> Calls:
    section = yield "doc_read_section", {"path": "plan.md", "heading": "Plan/Schedule"}
    yield "doc_outline", {"path": "plan.md"}
    date = re.findall(r"\d+ \w+", section)[0]
    content = f"We launch on {date}.\n"
    yield "doc_append_section", {"path": "plan.md", "heading": "News", "content": content}


def _plan() -> Scenario:
    with _folder() as target:
        objects = target.snapshot()
    return Scenario(
        "doc-plan",
        "A date is moved in one section of a plan while another section announces it",
        objects,
        (
            Role("A", "Put the launch off by a week in plan.md and note the risk.", _reschedule),
            Role("B", "Add a section News to plan.md that announces the date of the launch.", _announce),
        ),
    )


async def beyond(sql: str | None = None) -> list[tuple[Workload, Family]]:
    """Return the workloads beyond the ten.

    Args:
        sql: "sqlite" (the default) or a `postgresql://` URL.
    """
    found = [await workload_of(one, "coding", coding.TOOLS, coding.final) for one in _coding()]
    url = None if sql in (None, SQLITE) else sql
    # The oracle runs on SQLite; only the trials run on another engine.
    workload, _ = await workload_of(_stock(), "sql", database.tools(None), database.final)
    family = Family(
        {}, database.tools(url), database.final, database.canonical, lambda: database.database(_STOCK, url)
    )
    written, _ = await workload_of(_plan(), "coding", tuple(DOCUMENT_TOOLS), _same)
    documents = Family({}, tuple(DOCUMENT_TOOLS), _same, target=_folder)
    return [*found, (workload, family), (written, documents)]


def _same(snapshot: dict[str, Value]) -> Value:
    return snapshot
