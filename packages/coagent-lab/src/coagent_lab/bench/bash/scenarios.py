"""Contended work on a server: look, think, act on what was seen."""

from __future__ import annotations

from collections.abc import Generator

from coagent_lab.bench.bash.contended import Commands, Scenario


def _next_port(number: int) -> Generator[Commands, str, None]:
    """Give a service of one's own the port after the highest that is taken."""
    seen = yield ("cat units/*.env | sed -n 's/^PORT=//p' | sort -n | tail -1",)
    port = int(seen.split()[-1]) + 1
    yield (f"printf 'NAME=new{number}\\nPORT={port}\\n' > units/new{number}.env",)


def _last_job(number: int) -> Generator[Commands, str, None]:
    """Append a job an hour after the last one of the table."""
    seen = yield ("tail -1 crontab",)
    hour = (int(seen.split()[1]) + 1) % 24
    yield (f"echo '0 {hour} * * * root /usr/local/bin/job{number}.sh' >> crontab",)


def _one_temporary_name(number: int) -> Generator[Commands, str, None]:
    """Set a field of a document that others set too, by way of a temporary file of one name."""
    yield (f"jq '.dome{number} = {number}' state.json > .t", "cat .t > state.json", "rm .t")


def _in_place(number: int) -> Generator[Commands, str, None]:
    """Read a count, and write it back one higher with sed -i."""
    seen = yield ("sed -n 's/^count=//p' totals.conf",)
    yield (
        f"sed -i 's/^count=.*/count={int(seen) + 1}/' totals.conf",
        f"sed -i 's/^last=.*/last=dome{number}/' totals.conf",
    )


def _row(number: int) -> Generator[Commands, str, None]:
    """Take from a stock what is to be taken, as long as there is enough."""
    seen = yield ("sqlite3 stock.db 'SELECT left FROM filters WHERE id=1'",)
    if int(seen) >= 3:
        yield (f"sqlite3 stock.db 'UPDATE filters SET left={int(seen) - 3}, taker={number} WHERE id=1'",)
    else:
        yield (f"echo 'dome{number}: none left' >> short.txt",)


SCENARIOS = (
    Scenario(
        "next port",
        "mkdir units; printf 'NAME=a\\nPORT=8001\\n' > units/a.env;"
        " printf 'NAME=b\\nPORT=8002\\n' > units/b.env",
        _next_port,
    ),
    Scenario("last job", "echo '0 2 * * * root /usr/local/bin/backup.sh' > crontab", _last_job),
    Scenario("one temporary name", 'echo \'{"site": "north"}\' > state.json', _one_temporary_name),
    Scenario("in place", "printf 'count=0\\nlast=none\\n' > totals.conf", _in_place),
    Scenario(
        "row",
        "sqlite3 stock.db 'CREATE TABLE filters(id INTEGER PRIMARY KEY, left INT, taker INT);"
        " INSERT INTO filters VALUES(1,8,NULL)'",
        _row,
    ),
)
