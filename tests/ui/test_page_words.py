"""What agents say, how long they took, and what is newest, in the page and in a real Chromium."""

from __future__ import annotations

import re
from pathlib import Path

from browsing import Person
from looking import chosen, panel
from playwright.sync_api import expect


def test_what_an_agent_said_stands_above_what_it_did_then(person: Person, canary: Path) -> None:
    page = person.opens(canary)
    rows = page.get_by_role("treegrid", name="Steps by agent").locator(".row")
    said = rows.filter(has_text="geo runs v1.3-broken, which was not released: I set it to v1.3.").first
    expect(said).to_have_class(re.compile("said"))
    number = int(str(said.get_attribute("aria-rowindex")))
    expect(rows.and_(page.locator(f"[aria-rowindex='{number + 1}']"))).to_contain_text("A.3 kube_set_image")
    expect(rows.locator(".c-said").first).to_have_text(
        "All Deployments run released images now; I repaired 2."
    )
    rows.filter(has_text="A.3 kube_set_image").first.click()
    expect(panel(page).locator(".said")).to_contain_text("which was not released: I set it to v1.3.")
    expect(panel(page).locator(".panel-head")).to_contain_text(
        re.compile(r"before it, since its agent heard last: \d")
    )


def test_an_agents_goal_and_words_stand_beside_its_name(person: Person, canary: Path) -> None:
    page = person.opens(canary)
    panel(page).get_by_role("link", name="A", exact=True).first.click()
    expect(chosen(page)).to_have_text("A")
    expect(panel(page).locator(".panel-head")).to_contain_text(
        "repairs every Deployment whose image was not released"
    )
    expect(panel(page)).to_contain_text("Now all Deployments, to find those that run something else.")


def test_the_newest_step_stands_on_top_where_a_person_follows(person: Person, canary: Path) -> None:
    page = person.opens(canary)
    page.keyboard.press("f")
    rows = page.get_by_role("grid", name="All steps").locator(".row:not(.row-head)")
    expect(rows.first).to_contain_text("committed")
    expect(rows.nth(2)).to_contain_text("geo-canary is there, with the image of geo.")
    expect(page).to_have_url(re.compile("follow=1"))
    page.get_by_role("button", name="by agent").click()
    expect(page.get_by_role("treegrid", name="Steps by agent")).to_be_visible()


def test_two_runs_are_gone_through_at_once(person: Person, canary: Path) -> None:
    page = person.opens(canary)
    page.get_by_role("button", name="compare").click()
    told = page.get_by_role("status").filter(has_text="mtpo.log")
    expect(told).to_contain_text("written objects end otherwise")
    slider = page.get_by_role("slider", name="Show both as of this moment")
    slider.fill("100")
    expect(told).to_contain_text("All objects are the same by then.")
    expect(told).to_contain_text("0 of 2 agents committed")
    expect(slider).to_have_attribute("aria-valuetext", re.compile(r"\d s after they began"))
    page.get_by_role("button", name="steps", exact=True).click()
    expect(slider).to_have_attribute("aria-valuetext", re.compile(r"after \d+ steps"))
    page.get_by_role("button", name="to the end").click()
    expect(told).to_contain_text("written objects end otherwise")
