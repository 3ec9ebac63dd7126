"""Services of the machine, by their sockets, and secrets of its environment: out of reach for commands."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest_sandbox import needs_views
from probing import WHO, probed

from coagent.systems.shell.variables import allowed_variables

pytestmark = needs_views
_TRY = (
    'python3 -IS -c "import socket, sys\n'
    "for place in sys.argv[1:]:\n"
    "    try: socket.socket(socket.AF_UNIX).connect(place.replace('@', chr(0))); print('REACHED', place)\n"
    '    except OSError as error: print(error.strerror)"'
)


@pytest.fixture
def sockets(workspace: Path) -> Iterator[list[str]]:
    """Sockets that are listened on: abstract, beside the tree, in it, and in what is left out of it."""
    places = [f"\0coagent-test-{os.getpid()}"]
    for folder in (workspace.parent / "service", workspace, workspace / "node_modules", Path("/opt")):
        if os.access(folder if folder.exists() else folder.parent, os.W_OK):
            folder.mkdir(exist_ok=True)
            places.append(f"{folder}/s-{os.getpid()}.sock")
    listening = []
    for place in places:
        one = socket.socket(socket.AF_UNIX)
        one.bind(place)
        one.listen(1)
        listening.append(one)
        if place[0] != "\0":
            os.chmod(place, 0o777)
    (workspace.parent / "service").chmod(0o755)
    yield [place.replace("\0", "@") for place in places]
    for one, place in zip(listening, places, strict=True):
        one.close()
        if place[0] != "\0":
            os.unlink(place)


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("view", ["overlay", "copy"])
def test_no_socket_of_the_machine_is_reached(
    workspace: Path, sockets: list[str], view: str, who: str
) -> None:
    command = f"{_TRY} {' '.join(sockets)}"
    (found,) = probed(workspace, who, view, [command])
    assert "REACHED" not in found["output"]
    assert found["exit_code"] == 0, found
    (reached,) = probed(workspace, who, view, [command], network="allow")
    assert f"REACHED {workspace.parent}/service" in reached["output"]


@pytest.mark.parametrize("who", WHO)
def test_a_command_reaches_the_sockets_that_it_has_made(workspace: Path, who: str) -> None:
    command = (
        'python3 -IS -c "import os, socket\n'
        "for place in 'own.sock', '/tmp/own.sock', chr(0) + 'own':\n"
        "    one = socket.socket(socket.AF_UNIX); one.bind(place); one.listen(1)\n"
        "    socket.socket(socket.AF_UNIX).connect(place); print('own')\""
    )
    (found,) = probed(workspace, who, "overlay", [command])
    assert found["output"] == "own\n" * 3


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("view", ["overlay", "copy"])
def test_keys_in_the_environment_are_not_handed_on(workspace: Path, view: str, who: str) -> None:
    keys = {
        "ANTHROPIC_API_KEY": "k1",
        "AWS_SECRET_ACCESS_KEY": "k2",
        "PYTHON_TOKEN": "k3",
        "DATABASE_URL": "k4",
    }
    command = "env; tr '\\0' '\\n' < /proc/$PPID/environ"
    (found,) = probed(workspace, who, view, [command], variables=keys | {"LC_ALL": "C"})
    assert not [name for name in (*keys, *keys.values()) if name in found["output"]]
    assert {"LC_ALL=C", "TERM=dumb"} <= set(found["output"].split())
    (found,) = probed(workspace, who, view, ["env"], variables=keys, environment=["DATABASE_*"])
    assert [one for one in found["output"].split() if one.endswith(("k1", "k2", "k3", "k4"))] == [
        "DATABASE_URL=k4"
    ]


def test_what_is_allowed_is_a_list_of_names() -> None:
    given = {"PATH": "/bin", "PYTEST_ADDOPTS": "-q", "PYTEST_TOKEN": "x", "MY_KEY": "y", "GITHUB_TOKEN": "z"}
    assert allowed_variables(given) == {"PATH": "/bin", "PYTEST_ADDOPTS": "-q", "TERM": "dumb"}
    assert allowed_variables(given, ["MY_*"]) == {**allowed_variables(given), "MY_KEY": "y"}
