"""Somebody who looks at the page in a real Chromium, and what the page does that it must not do."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Dialog,
    Page,
    Request,
    WebError,
    expect,
    sync_playwright,
)

T = TypeVar("T")
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WAIT_MS = 15_000


def _found() -> str | None:
    return next((path for name in _NAMES if (path := shutil.which(name))), None)


def chromium(lock: Path) -> str:
    """Return where a Chromium is; root on Debian has it installed, others skip the test.

    Args:
        lock: A file for which test workers wait, so that one of them installs it.
    """
    if path := _found():
        return path
    if os.geteuid() or not Path("/etc/debian_version").exists() or not shutil.which("apt-get"):
        pytest.skip(f"needs a browser: none of {', '.join(_NAMES)} is installed")
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for arguments in (["update"], ["install", "--yes", "--no-install-recommends", "chromium"]):
            if path := _found():
                return path
            said = subprocess.run(
                ["apt-get", "-qq", *arguments], env=quiet, check=False, capture_output=True, text=True
            )
    if path := _found():
        return path
    pytest.skip(f"no Chromium can be installed: {said.stderr.strip()[-300:]}")


class Browsing:
    """A browser in a thread of its own: Playwright keeps an event loop under way in its thread for ever.

    Args:
        executable: The browser.
    """

    def __init__(self, executable: str) -> None:
        self._thread = ThreadPoolExecutor(1, "browser")
        self.run(self._start, executable)

    def _start(self, executable: str) -> None:
        self._playwright = sync_playwright().start()
        self._browser: Browser = self._playwright.chromium.launch(
            executable_path=executable, chromium_sandbox=os.geteuid() != 0
        )
        expect.set_options(timeout=WAIT_MS)

    def run(self, act: Callable[..., T], *arguments: Any) -> T:
        """Return what comes of an act in the thread of the browser."""
        return self._thread.submit(act, *arguments).result()

    def person(self, **options: Any) -> Person:
        """Return somebody with a fresh profile; options are those of Playwright's contexts."""
        return Person(self._browser, options)

    def _stop(self) -> None:
        self._browser.close()
        self._playwright.stop()

    def close(self) -> None:
        self.run(self._stop)
        self._thread.shutdown()


class Person:
    """Somebody with a fresh profile of the browser.

    Args:
        browser: It.
        options: Of the context.
    """

    def __init__(self, browser: Browser, options: dict[str, Any]) -> None:
        self.strange: list[str] = []
        """What no page may do: errors, windows that pop up, breaches of its policy, requests to others."""
        self._places: set[str] = set()
        settings = {"viewport": {"width": 1400, "height": 900}, "reduced_motion": "reduce", **options}
        self._context = browser.new_context(locale="en-GB", timezone_id="UTC", **settings)
        self._context.set_default_timeout(WAIT_MS)
        self._context.on("request", self._asked)
        self._context.on("console", self._printed)
        self._context.on("dialog", self._popped_up)
        self._context.on("weberror", self._failed)

    def opens(self, address: str | Path) -> Page:
        """Open an address, or a file, in a new tab."""
        page = self.tab()
        self.goes(page, address)
        return page

    def tab(self) -> Page:
        """Open an empty tab."""
        return self._context.new_page()

    def may(self, *permissions: str) -> None:
        """Let pages do what a browser asks people about."""
        self._context.grant_permissions(list(permissions))

    def goes(self, page: Page, address: str | Path, fragment: str = "") -> None:
        """Open an address, or a file, in a tab that is there."""
        url = (address.as_uri() if isinstance(address, Path) else address) + fragment
        self._places.add(urlsplit(url).netloc)
        page.goto(url)
        page.locator(".page, .alone").wait_for()
        # What listens to keys is there once the page has been painted.
        page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")

    def leaves(self) -> None:
        self._context.close()

    def _asked(self, request: Request) -> None:
        url = urlsplit(request.url)
        if url.scheme not in ("data", "blob") and url.netloc not in self._places:
            self.strange.append(f"asked {request.url}")

    def _printed(self, message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            self.strange.append(message.text)

    def _popped_up(self, dialog: Dialog) -> None:
        self.strange.append(f"said {dialog.message!r}")
        dialog.dismiss()

    def _failed(self, error: WebError) -> None:
        self.strange.append(str(error.error))
