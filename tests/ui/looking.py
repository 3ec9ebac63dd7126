"""Where things are on the page, by what somebody reads or hears of them."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, Page


def panel(page: Page) -> Locator:
    return page.get_by_role("complementary", name="Details")


def section(page: Page, title: str) -> Locator:
    """The part of the panel under a heading that begins so."""
    heading = page.get_by_role("heading", name=re.compile("^" + re.escape(title)))
    return panel(page).locator("section").filter(has=heading)


def chosen(page: Page) -> Locator:
    """What the panel is about."""
    return panel(page).get_by_role("heading", level=2)


def step_of(page: Page) -> int:
    """The number of the step that the address says."""
    found = re.search(r"[#&]n=(\d+)", page.url)
    assert found is not None, page.url
    return int(found[1])
