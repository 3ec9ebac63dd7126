"""The page in a real browser for all who use it: by name and role, in the dark, on a narrow screen."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from browsing import Browsing, Person
from domain_worker import at_work, domain_worker
from looking import chosen, panel
from playwright.sync_api import Page, expect
from served_page import Page as Served
from served_page import served

PAGE = Path(__file__).parents[2] / "page"
PLACES = (
    "",
    "#n=16",
    "#agent=1",
    "#key=k8s:default/deployments/geo-canary",
    "#panel=state",
    "#view=table",
    "#view=compare",
)


def test_all_parts_have_names_and_roles(person: Person, canary: Path) -> None:
    page = person.opens(canary)
    for role, name in (
        ("banner", None),
        ("search", None),
        ("main", None),
        ("complementary", "Details"),
        ("searchbox", "Search steps by agent, object or words"),
        ("slider", "Show everything as of this step"),
        ("treegrid", "Steps by agent"),
        ("navigation", "Stories"),
        ("tablist", "What the details are about"),
    ):
        expect(page.get_by_role(role, name=name)).to_have_count(1)
    nameless = page.locator("button, a, input, select, summary").evaluate_all(
        """(all) => all
            .filter((one) => !(one.textContent.trim() || one.ariaLabel || one.title || one.labels?.length))
            .map((one) => one.outerHTML)"""
    )
    assert nameless == []


def test_lists_are_told_to_screen_readers_as_tables_with_rows_and_cells(person: Person, canary: Path) -> None:
    page = person.opens(canary)
    person.goes(page, canary, "#view=table")
    expect(page.get_by_role("grid", name="All steps")).to_match_aria_snapshot(
        """
        - grid "All steps":
          - row "step time agent kind what objects":
            - columnheader "step"
            - columnheader "time"
            - columnheader "agent"
            - columnheader "kind"
            - columnheader "what"
            - columnheader "objects"
          - row /A joined/:
            - gridcell "1"
            - gridcell
            - gridcell "A"
            - gridcell "joined"
        """
    )
    page.get_by_role("grid").press("End")
    expect(page.locator("[aria-live]").last).to_contain_text("B: committed")
    person.goes(page, canary, "#key=k8s:default/deployments/geo-canary")
    lines = page.get_by_role("table", name="Each line with the call that last changed it")
    expect(lines.get_by_role("row").first.get_by_role("cell")).to_have_count(2)


@pytest.mark.parametrize("width", [400, 1400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_width_makes_the_page_scroll_sideways(
    browsing: Browsing, person: Person, canary: Path, width: int, scheme: str
) -> None:
    somebody = browsing.person(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page = somebody.opens(canary)
    background = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") == (scheme == "light")
    for place in PLACES:
        somebody.goes(page, canary, place)
        wide = page.evaluate("() => document.scrollingElement.scrollWidth - innerWidth")
        assert wide <= 0, (place, wide)
        hidden = page.evaluate(
            """() => [...document.querySelectorAll(".panel-body, .list, .head, .compare")]
                .filter((one) => one.getBoundingClientRect().right > innerWidth + 1)
                .map((one) => one.className)"""
        )
        assert hidden == [], place
    somebody.leaves()
    assert somebody.strange == []


def test_the_theme_that_somebody_chose_stays(person: Person, canary: Path) -> None:
    page = person.opens(canary)
    theme = "() => document.documentElement.dataset.theme"
    assert page.evaluate(theme) == "light"
    page.get_by_role("button", name="Theme").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_a_narrow_page_has_the_steps_beside_the_panels(
    browsing: Browsing, person: Person, canary: Path
) -> None:
    somebody = browsing.person(viewport={"width": 400, "height": 800})
    page = somebody.opens(canary)
    page.get_by_role("tab", name="Steps").click()
    page.get_by_role("button", name="notices", exact=True).click()
    page.get_by_role("treegrid").get_by_role("row", name="was told that B.1").click()
    expect(chosen(page)).to_contain_text("told")
    expect(panel(page)).to_contain_text("What the agent was told")
    somebody.leaves()
    assert somebody.strange == []


def luminance(colour: str) -> float:
    """As WCAG 2.2 defines it."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_words_in_every_ink_can_be_read_on_every_ground(theme: int) -> None:
    blocks = re.findall(r":root[^{]*\{([^}]*)\}", (PAGE / "src/style.css").read_text("utf-8"))
    colours = dict(re.findall(r"--([\w-]+): (#\w{6})", blocks[theme]))
    inks = ["ink", "dim", "accent", "write", "bad", "wait", "notice", "repair", "again", "undone", "ok"]
    inks += ["outside"]
    pairs = [(ink, ground) for ink in inks for ground in ("bg", "panel", "stripe", "chip")]
    pairs += [("add-ink", "add"), ("del-ink", "del"), ("bg", "accent")]
    faint = []
    for pair in pairs:
        dark, light = sorted(luminance(colours[one]) for one in pair)
        if (light + 0.05) / (dark + 0.05) < 4.5:
            faint.append(pair)
    assert faint == []


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The rules of axe-core, of the version that page/package-lock.json pins."""
    found = PAGE / "node_modules/axe-core/axe.min.js"
    if not found.exists():
        if shutil.which("npm") is None:
            pytest.skip("needs axe-core: run `make page`, or install npm")
        copy = tmp_path_factory.mktemp("axe")
        for name in ("package.json", "package-lock.json"):
            shutil.copy(PAGE / name, copy)
        subprocess.run(["npm", "ci", "--silent", "--ignore-scripts"], cwd=copy, check=True, timeout=600)
        found = copy / "node_modules/axe-core/axe.min.js"
    return found.read_text("utf-8")


def faults(page: Page, axe: str) -> list[str]:
    page.evaluate(axe)
    found = page.evaluate("() => axe.run(document, { resultTypes: ['violations'] })")["violations"]
    return [
        f"{one['id']}: {node['html'][:160]} {node['failureSummary'][:200]}"
        for one in found
        for node in one["nodes"][:4]
    ]


@pytest.mark.long
@pytest.mark.parametrize("width", [400, 1400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_fault(
    browsing: Browsing, person: Person, canary: Path, axe: str, width: int, scheme: str
) -> None:
    somebody = browsing.person(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page = somebody.opens(canary)
    found = {}
    for place in PLACES:
        somebody.goes(page, canary, place)
        if place == "#n=16":
            for summary in panel(page).locator("summary").all():
                summary.click()
        found[place] = faults(page, axe)
    page.keyboard.press("?")
    found["help"] = faults(page, axe)
    somebody.leaves()
    assert not any(found.values()), "\n".join(
        f"{place} {fault}" for place, all_ in found.items() for fault in all_
    )


@pytest.fixture
def at_once(tmp_path: Path) -> Iterator[Served]:
    with domain_worker(tmp_path) as worker:
        at_work(worker)
        with served(cwd=tmp_path) as server:
            server.live_until("finish")
            yield server


@pytest.mark.long
def test_axe_finds_no_fault_where_people_act(person: Person, at_once: Served, axe: str) -> None:
    page = person.opens(at_once.url)
    expect(page.get_by_text("This address has no token")).to_be_visible()
    found = {"no token": faults(page, axe)}
    page = person.opens(f"{at_once.url}#token={at_once.token}&key=file:a.txt")
    found["object"] = faults(page, axe)
    panel(page).get_by_role("button", name="Restore this version").click()
    expect(page.get_by_role("dialog").get_by_role("heading")).to_contain_text("Bring back")
    found["restore"] = faults(page, axe)
    page.keyboard.press("Escape")
    page.get_by_role("button", name="link", exact=True).click()
    expect(page.get_by_role("dialog")).to_contain_text("copied")
    found["link"] = faults(page, axe)
    assert not any(found.values()), "\n".join(
        f"{place} {one}" for place, all_ in found.items() for one in all_
    )
