"""A browser for the tests of the page: one for a test worker, a fresh profile of it for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from browsing import Browsing, Person


@pytest.fixture(scope="session")
def browsing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browsing]:
    from browsing import Browsing, chromium

    browsing = Browsing(chromium(tmp_path_factory.getbasetemp().parent / "chromium.lock"))
    yield browsing
    browsing.close()


@pytest.fixture
def person(browsing: Browsing) -> Iterator[Person]:
    """Somebody at a browser; whatever the page did that it must not do fails the test."""
    person = browsing.run(browsing.person)
    yield person
    browsing.run(person.leaves)
    assert not person.strange, "\n".join(person.strange)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run tests that use the browser in its thread, whose event loop is always under way."""
    if "person" not in pyfuncitem.fixturenames:
        return None
    names = pyfuncitem._fixtureinfo.argnames
    arguments = {name: pyfuncitem.funcargs[name] for name in names}
    pyfuncitem.funcargs["browsing"].run(lambda: pyfuncitem.obj(**arguments))
    return True


@pytest.fixture(scope="session")
def canary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The canary demo as `coagent ui --export` writes it: under MTPO, and under naive to be compared."""
    from made_stories import canary_export

    return canary_export(tmp_path_factory.mktemp("canary"))
