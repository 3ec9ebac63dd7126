"""What the tests of telemetry share."""

from __future__ import annotations

import pytest

from coagent.telemetry import harmless


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def nothing_said_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every test hear what is said once a process."""
    monkeypatch.setattr(harmless, "_said", set())
