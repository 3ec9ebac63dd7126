"""The page in a real browser: what somebody who looks at a finished run finds out from it."""

from __future__ import annotations

import re
from pathlib import Path

from browsing import Person
from looking import chosen, panel, section, step_of
from playwright.sync_api import expect

GEO, CANARY = "k8s:default/deployments/geo", "k8s:default/deployments/geo-canary"
BROKEN, GOOD = "registry.local/geo:v1.3-broken", "registry.local/geo:v1.3"


def test_a_visitor_finds_what_changed_who_was_told_and_how_it_was_repaired(
    person: Person, canary: Path
) -> None:
    page = person.opens(canary)
    notices = section(page, "Notices and their repairs")
    expect(notices).to_contain_text("A.3 kube_set_image of A changed " + GEO)
    expect(notices).to_contain_text("B.2 kube_create repaired it")
    notices.get_by_role("link", name="B told").click()
    told = section(page, "What the agent was told")
    expect(told).to_contain_text("set off by")
    expect(told.get_by_role("link", name="A.3 kube_set_image")).to_be_visible()
    expect(told.locator(".diff .del")).to_contain_text(BROKEN)
    expect(told.locator(".diff .add")).to_contain_text(GOOD)
    expect(told).to_contain_text(f"B.2 kube_create still carries manifest = {BROKEN} now {GOOD}")
    expect(told).to_contain_text("saw the old value: B.1 kube_get")
    expect(told).to_contain_text("may rest on it: B.2 kube_create")
    saw = told.get_by_role("link", name="B.1 kube_get")
    rested = told.get_by_role("link", name="B.2 kube_create").first
    at = [int((one.get_attribute("href") or "").removeprefix("#n=")) for one in (saw, rested)]
    cause = told.get_by_role("link", name="A.3 kube_set_image").inner_text().split()[0]
    assert at[0] < int(cause) < at[1] < step_of(page), "what it had seen, and made of it, before it was told"
    section(page, "The repair").get_by_role("link", name="B.2 kube_create").click()
    expect(chosen(page)).to_contain_text("B.2 kube_create")
    why = section(page, "Why")
    expect(why).to_contain_text("Answers the notice")
    expect(why).to_contain_text(f"{GEO}, set off by")
    wrote = section(page, "What it wrote")
    expect(wrote).to_contain_text("against what it wrote before")
    expect(wrote.locator(".del").first).to_contain_text(BROKEN)
    expect(wrote.locator(".add").first).to_contain_text(GOOD)
    why.get_by_role("link", name="A.3 kube_set_image").click()
    came = section(page, "What came of it")
    expect(came).to_contain_text("and repaired: ")
    expect(came.get_by_role("link", name="B.2 kube_create")).to_be_visible()


def test_an_object_says_of_each_line_which_call_last_changed_it(person: Person, canary: Path) -> None:
    page = person.opens(canary)
    section(page, "What was written").get_by_role("link", name=CANARY, exact=True).click()
    lines = page.get_by_role("table", name="Each line with the call that last changed it")
    image = lines.get_by_role("row").filter(has_text=f'"{GOOD}"')
    expect(image.get_by_role("link")).to_have_text(re.compile(r"^B\.2 \d+$"))
    first = lines.get_by_role("row").first
    expect(first.get_by_role("link")).to_have_text(re.compile(r"^B\.2 \d+$"))
    created, repaired = (
        int(one.inner_text().split()[-1]) for one in (first.get_by_role("link"), image.get_by_role("link"))
    )
    assert created < repaired
    image.get_by_role("link").click()
    expect(chosen(page)).to_contain_text("B.2 kube_create")
    assert step_of(page) == repaired


def test_an_object_has_its_versions_and_who_wrote_them(person: Person, canary: Path) -> None:
    page = person.opens(canary)
    person.goes(page, canary, f"#key={GEO}")
    versions = section(page, "Its versions")
    expect(versions.locator(".version")).to_have_count(2)
    change = versions.locator(".version").last
    expect(change).to_contain_text("A.3 kube_set_image")
    expect(change.locator(".add")).to_contain_text(GOOD)
    change.get_by_role("button", name="Version of A.3", expanded=True).click()
    expect(change.locator(".add")).to_have_count(0)
    versions.get_by_text("as it was at the start").click()
    expect(versions.locator("details.base")).to_contain_text(BROKEN)


def test_what_undoing_a_call_would_do_is_reckoned_where_nothing_can_be_done(
    person: Person, canary: Path
) -> None:
    page = person.opens(canary)
    panel(page).get_by_role("link", name="A.3 kube_set_image").first.click()
    panel(page).get_by_text("What would undoing it do?").click()
    details = panel(page).locator(".undo-details")
    expect(details).to_contain_text(GEO)
    expect(details.locator(".add").first).to_contain_text(BROKEN)
    expect(panel(page).get_by_role("button", name="Undo")).to_have_count(0)


def test_two_runs_are_compared_by_what_they_left(person: Person, canary: Path) -> None:
    page = person.opens(canary)
    page.get_by_role("button", name="compare").click()
    ends = page.locator(".compare-ends .card").filter(has_text=CANARY)
    expect(ends.locator(".del")).to_contain_text(GOOD)
    expect(ends.locator(".add")).to_contain_text(BROKEN)
    ends.get_by_role("button", name="why in naive").click()
    expect(chosen(page)).to_have_text(CANARY)
    expect(page.get_by_role("button", name="naive.log")).to_have_attribute("aria-pressed", "true")


def test_an_address_opens_the_same_selection_again_and_back_goes_back(person: Person, canary: Path) -> None:
    page = person.opens(canary)
    panel(page).get_by_role("link", name="B told").click()
    told = chosen(page).inner_text()
    page.get_by_role("searchbox").fill("geo")
    page.get_by_role("button", name="notices", exact=True).click()
    expect(page).to_have_url(re.compile(r"n=\d+&q=geo&kinds=notices"))
    other = person.opens(page.url)
    expect(chosen(other)).to_have_text(told)
    expect(other.get_by_role("searchbox")).to_have_value("geo")
    expect(other.get_by_role("button", name="notices", exact=True)).to_have_attribute("aria-pressed", "true")
    panel(page).get_by_role("link", name="A.3 kube_set_image").first.click()
    expect(chosen(page)).to_contain_text("A.3")
    page.go_back()
    expect(chosen(page)).to_have_text(told)


def test_words_kinds_agents_and_objects_narrow_the_steps_down(person: Person, canary: Path) -> None:
    page = person.opens(canary)
    tree = page.get_by_role("treegrid", name="Steps by agent")
    rows = tree.locator(".row:not(.agent)")
    expect(tree).to_have_attribute("aria-rowcount", "28")
    page.get_by_role("searchbox").fill("k8s:*canary")
    expect(rows).to_have_count(2)
    page.get_by_role("button", name="repairs", exact=True).click()
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("B.2 kube_create became")
    page.get_by_role("button", name="clear", exact=True).click()
    expect(tree).to_have_attribute("aria-rowcount", "28")
    page.get_by_role("button", name="1 notice").click()
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("was told that B.1 gives something else now")
    page.get_by_role("button", name="clear", exact=True).click()
    panel(page).get_by_role("link", name="A", exact=True).first.click()
    expect(tree).to_have_attribute("aria-rowcount", "14")
    expect(chosen(page)).to_have_text("A")
    page.get_by_role("searchbox").fill("nobody-wrote-this")
    expect(page.get_by_text("0 steps")).to_be_visible()


def test_going_back_in_time_shows_everything_as_it_was(person: Person, canary: Path) -> None:
    page = person.opens(canary)
    person.goes(page, canary, f"#key={CANARY}")
    value = section(page, "Its value")
    expect(value).to_contain_text(GOOD)
    slider = page.get_by_role("slider", name="Show everything as of this step")
    for _ in range(4):
        slider.press("ArrowLeft")
    expect(value).to_contain_text(BROKEN)
    expect(page).to_have_url(re.compile(r"at=\d+"))
    slider.press("Home")
    expect(value).to_contain_text("does not exist")
    page.get_by_role("button", name="to the end").click()
    expect(value).to_contain_text(GOOD)
    expect(page).not_to_have_url(re.compile(r"at=\d+"))


def test_the_keyboard_goes_along_the_lanes_and_through_the_page(person: Person, canary: Path) -> None:
    page = person.opens(canary)
    page.keyboard.press("ArrowRight")
    expect(page).to_have_url(re.compile(r"n=\d+"))
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    expect(chosen(page)).to_contain_text("A.")
    page.keyboard.press("ArrowDown")
    expect(panel(page).locator(".facts").get_by_role("link", name="B", exact=True)).to_be_visible()
    page.keyboard.press("Enter")
    expect(panel(page)).to_be_focused()
    page.keyboard.press("Escape")
    expect(page).not_to_have_url(re.compile(r"[#&]n="))
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Signs and keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.type("amended t ?")
    page.keyboard.press("Escape")
    expect(page.get_by_role("searchbox")).to_have_value("amended t ?")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_the_table_of_all_steps_is_gone_through_by_keyboard(person: Person, canary: Path) -> None:
    page = person.opens(canary)
    page.keyboard.press("t")
    table = page.get_by_role("grid", name="All steps")
    expect(table.get_by_role("columnheader")).to_have_text(
        ["step", "time", "agent", "kind", "what", "objects"]
    )
    assert table.get_attribute("aria-rowcount") == "27"
    table.press("Home")
    table.press("ArrowDown")
    current = table.get_by_role("row", selected=True)
    expect(current).to_contain_text("joined")
    assert table.get_attribute("aria-activedescendant") == current.get_attribute("id")
    table.press("End")
    expect(current).to_contain_text("committed")
    table.press("Enter")
    expect(chosen(page)).to_contain_text("committed")
    page.keyboard.press("t")
    expect(page.get_by_role("treegrid", name="Steps by agent")).to_be_visible()


def test_a_run_plays_by_itself_to_its_end(person: Person, canary: Path) -> None:
    page = person.opens(canary)
    person.goes(page, canary, "#at=18")
    play = page.get_by_role("button", name="Play")
    expect(page.get_by_role("button", name="to the end")).to_be_visible()
    play.press("Enter")
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    expect(page.get_by_role("button", name="to the end")).to_have_count(0)
    expect(play).to_be_visible()
