"""What the tests of private files share: a folder that others may enter, and another user."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from other_user import OtherUser


@pytest.fixture
def other() -> OtherUser:
    if os.geteuid() != 0:
        pytest.skip("only root can act as a second user")
    return OtherUser()


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that others may look into, which that of pytest is not."""
    folder = Path(tempfile.mkdtemp(prefix="private-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def open_umask() -> Iterator[None]:
    """A umask that keeps nothing from anybody."""
    before = os.umask(0)
    yield
    os.umask(before)
