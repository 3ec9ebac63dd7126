"""The frameworks run on asyncio alone."""

from __future__ import annotations

import pytest
from scripted_endpoint import Stage


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def stage() -> Stage:
    return Stage()
