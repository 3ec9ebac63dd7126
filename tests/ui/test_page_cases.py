"""The page in a real browser on what happens seldom: stuck, not known, promoted, cut off, or very many."""

from __future__ import annotations

import re
from pathlib import Path

import anyio
import commands
import pytest
from browsing import Person
from looking import chosen, panel, section
from made_stories import cut_off, many_agents, promoted
from playwright.sync_api import expect
from served_page import served
from test_resolve import prices, with_stuck_price
from test_resolve_calls import killed_in_payment, recovered


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    return with_stuck_price(tmp_path)


@pytest.fixture
def unpaid(tmp_path: Path) -> tuple[Path, str]:
    call = killed_in_payment(tmp_path, "keep")
    recovered(tmp_path)
    return tmp_path, call


def exported(log: Path, *arguments: str) -> Path:
    page = log.with_suffix(".html")
    done = commands.coagent("ui", f"sqlite:{log}", "--export", str(page), *arguments)
    assert done.returncode == 0, done.stderr
    return page


@pytest.fixture
def with_promotion(tmp_path: Path) -> Path:
    anyio.run(promoted, tmp_path / "log")
    return exported(tmp_path / "log")


@pytest.fixture
def without_beginning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("coagent.runtime.recorder._CHECKPOINT_EVENTS_MIN", 10)
    anyio.run(cut_off, tmp_path / "log")
    return exported(tmp_path / "log", "--tail", "5")


@pytest.fixture
def with_many(tmp_path: Path) -> Path:
    anyio.run(many_agents, tmp_path / "log", 200)
    return exported(tmp_path / "log")


def test_a_person_decides_about_an_object_that_is_stuck(person: Person, shop: Path) -> None:
    with served(cwd=shop) as server:
        page = person.opens(f"{server.url}#token={server.token}")
        section(page, "Trouble").get_by_role("link", name="sql:items/1").click()
        expect(chosen(page)).to_contain_text("stuck")
        expect(panel(page)).to_contain_text("UNIQUE constraint failed")
        panel(page).get_by_role("button", name="Put it there again").click()
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("it is stuck:")
        dialog.get_by_role("button", name="Do it").click()
        expect(dialog).to_contain_text("sql:items/1 is still not decided")
        dialog.get_by_role("button", name="Close").last.click()
        panel(page).get_by_role("button", name="Keep what is there").click()
        expect(dialog).to_contain_text("what is there would be taken for what it should hold")
        dialog.get_by_role("button", name="Do it").click()
        expect(dialog).to_contain_text("sql:items/1 is decided")
        dialog.get_by_role("button", name="Close").last.click()
        expect(panel(page).get_by_role("button", name="Keep what is there")).to_have_count(0)
        expect(panel(page)).to_contain_text("Decided since")
    assert prices(shop) == [4, 7, 3]


def test_a_person_decides_about_a_call_of_which_nobody_knows(
    person: Person, unpaid: tuple[Path, str]
) -> None:
    folder, call = unpaid
    with served(cwd=folder) as server:
        page = person.opens(f"{server.url}#token={server.token}")
        section(page, "Trouble").get_by_role("link").first.click()
        expect(chosen(page)).to_contain_text(f"{call} pay")
        expect(panel(page)).not_to_contain_text("hunter2")
        for words in ("Run it again", "Count it as made", "Count it as not made"):
            expect(panel(page).get_by_role("button", name=words)).to_be_visible()
        panel(page).get_by_role("button", name="Count it as made").click()
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("it would count as made")
        dialog.get_by_role("button", name="Do it").click()
        expect(dialog).to_contain_text(f"{call} is decided")
        dialog.get_by_role("button", name="Close").last.click()
        expect(panel(page).get_by_role("button", name="Count it as made")).to_have_count(0)


def test_who_was_promoted_stands_where_it_is_now_and_where_it_was(
    person: Person, with_promotion: Path
) -> None:
    page = person.opens(with_promotion)
    expect(page.get_by_role("treegrid").locator(".row.agent .c-name")).to_have_text(["quick", "slow"])
    page.get_by_role("treegrid").get_by_role("row", name=re.compile("promoted")).click()
    expect(chosen(page)).to_contain_text("promoted")
    panel(page).locator(".facts").get_by_role("link", name="quick").click()
    expect(panel(page)).to_contain_text("Its place in the order changed: ")


def test_a_story_that_begins_in_its_middle_says_so_and_shows_what_stood_there(
    person: Person, without_beginning: Path
) -> None:
    page = person.opens(without_beginning)
    expect(panel(page)).to_contain_text(re.compile(r"What was before record \d+ is not shown"))
    page.keyboard.press("t")
    expect(page.get_by_role("grid", name="All steps")).to_contain_text("begins here")
    person.goes(page, without_beginning, "#key=kv:x")
    expect(section(page, "Its value")).to_contain_text('"n": 29')
    expect(section(page, "Its value").get_by_role("link", name=re.compile("^A"))).not_to_have_count(0)


def test_many_agents_have_a_lane_each_and_are_found(person: Person, with_many: Path) -> None:
    page = person.opens(with_many)
    expect(page.get_by_role("img", name=re.compile("Lanes of 200 agents"))).to_be_visible()
    rows = page.get_by_role("treegrid", name="Steps by agent")
    assert int(rows.get_attribute("aria-rowcount") or 0) >= 200
    rows.press("End")
    expect(rows).to_contain_text("a199")
    page.get_by_role("searchbox").fill("a137")
    expect(rows.locator(".row.agent")).to_have_count(1)
    page.keyboard.press("Escape")
    page.keyboard.press("ArrowRight")
    expect(panel(page).locator(".facts").get_by_role("link", name="a137")).to_be_visible()
