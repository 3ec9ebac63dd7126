"""The streams of a client: what a command writes there arrives, and is kept."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from coagent.systems.shell.streams import Streams


def run(streams: Streams, command: str) -> None:
    output, errors = streams.descriptors
    subprocess.run(["sh", "-c", command], stdout=output, stderr=errors, check=True)


@pytest.mark.parametrize("flags", [os.O_APPEND, 0])
def test_what_goes_into_one_file_is_kept_from_where_it_began(tmp_path: Path, flags: int) -> None:
    place = tmp_path / "output"
    place.write_text("before\n")
    held = os.open(place, os.O_WRONLY | flags)
    os.lseek(held, 0, os.SEEK_END)
    streams = Streams(held, os.dup(held), 8)
    run(streams, "echo out; echo err >&2")
    assert streams.read_output() == (b"out\nerr\n", 8)
    streams.close()
    assert place.read_text() == "before\nout\nerr\n"


def test_of_much_the_first_is_kept_and_all_arrives(tmp_path: Path) -> None:
    place = tmp_path / "output"
    held = os.open(place, os.O_WRONLY | os.O_CREAT)
    streams = Streams(held, os.dup(held), 5)
    run(streams, "printf 0123456789")
    assert streams.read_output() == (b"01234", 10)
    streams.close()
    assert place.read_text() == "0123456789"


def test_what_goes_into_pipes_is_handed_on_and_kept() -> None:
    (out, to_out), (err, to_err) = os.pipe(), os.pipe()
    streams = Streams(to_out, to_err, 100)
    run(streams, "echo out; echo err >&2")
    assert streams.read_output() == (b"out\nerr\n", 8)
    streams.close()
    with open(out, "rb") as output, open(err, "rb") as errors:
        assert (output.read(), errors.read()) == (b"out\n", b"err\n")


def test_a_client_that_has_gone_holds_nothing_up() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    streams = Streams(writing, os.dup(writing), 100)
    run(streams, "echo out")
    assert streams.read_output() == (b"out\n", 4)
    streams.close()
