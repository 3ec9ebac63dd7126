"""Whole files put in place or taken away, with the folders that they need (`swap.py` says what is kept)."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable

from coagent.protocol.values import Value
from coagent.systems.files import swap
from coagent.systems.files.temporaries import names
from coagent.targets.folders import make_folders


def place(
    path: str, make: Callable[[str], None], judge: swap.Judge, found: Value, put: Value, *, patient: bool
) -> bool:
    """Put a new file or link in its place, in the folders that it needs.

    Args:
        path: The place.
        make: Makes the file under another name in the same folder.
        judge: Looks at what was there.
        found: What is there, as text or bytes; None where nothing is, but for an empty folder, which is in
            nobody's way.
        put: What `make` makes.
        patient: Whether to wait for somebody who is saving.

    Returns:
        False where somebody else has put something there meanwhile, which the judge has seen.

    Raises:
        BeingSaved: Somebody is saving, and there is no waiting.
        OSError: It cannot be done; nothing was changed.
    """
    made: list[str] = []
    begun, ready = names(path, found, put)
    done = False
    try:
        make_folders(os.path.dirname(path), made)
        try:
            make(begun)
            os.rename(begun, ready)
        except BaseException:
            _drop(begun)
            _drop(ready)
            raise
        done = _create(ready, path, judge) if found is None else _replace(ready, path, judge, patient)
    finally:
        if not done:
            for folder in reversed(made):
                with contextlib.suppress(OSError):
                    os.rmdir(folder)
    return done


def take_away(path: str, judge: swap.Judge, found: Value, patient: bool) -> bool:
    """Delete a file.

    Args:
        path: The place.
        judge: Looks at what was there.
        found: What is there, as text or bytes.
        patient: Whether to wait for somebody who is saving.

    Returns:
        False where something else was there, which the judge has seen.

    Raises:
        BeingSaved: Somebody is saving, and there is no waiting.
        OSError: It cannot be done; nothing was changed.
    """
    try:
        return swap.remove(path, names(path, found, None).ready, judge, patient=patient)
    except FileNotFoundError:  # somebody else has deleted it
        return True


def _create(temporary: str, path: str, judge: swap.Judge) -> bool:
    try:
        for attempt in range(2):
            try:
                swap.create(temporary, path)
                return True
            except FileExistsError:
                if attempt or not stat.S_ISDIR(os.lstat(path).st_mode):
                    break
                os.rmdir(path)
    except BaseException:
        _drop(temporary)
        raise
    _drop(temporary)
    judge.expected(path)
    return False


def _replace(temporary: str, path: str, judge: swap.Judge, patient: bool) -> bool:
    try:
        return swap.replace(temporary, path, judge, patient=patient)
    except FileNotFoundError:  # somebody has deleted it
        judge.expected(path)
        return False


def _drop(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)
