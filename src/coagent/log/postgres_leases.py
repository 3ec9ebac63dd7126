"""Leases in a log on a PostgreSQL server, by the server's clock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from coagent.log.base import Lease
from coagent.processes import Process

LONG_AGO_S = 1e9
"""Stands for never, where it is asked how long ago something was, in seconds."""


class LeaseStatements:
    """The statements about the leases of a schema, each for one domain.

    Args:
        schema: Its name.
    """

    def __init__(self, schema: str) -> None:
        table = f"{schema}.coagent_leases"
        # A lease lasts on for its own length after the server was started, and after whoever asks has found
        # it again: nobody could renew theirs meanwhile.
        left = (
            "extract(epoch from greatest(until, pg_postmaster_start_time() + make_interval(secs => seconds), "
            "clock_timestamp() + make_interval(secs => seconds - %s)) - clock_timestamp())::double precision"
        )
        until = "clock_timestamp() + make_interval(secs => %s)"
        self.take = (
            f"insert into {table} (domain, owner, host, place, pid, started, seconds, until) "
            f"values (%s, %s, %s, %s, %s, %s, %s, {until}) on conflict do nothing"
        ).encode()
        self.renew = (
            f"update {table} set seconds = %s, until = {until} where domain = %s and owner = %s"
        ).encode()
        self.end = (
            f"delete from {table} where domain = %s and owner = %s and (not %s or {left} <= 0)"
        ).encode()
        self.one = f"select from {table} where domain = %s and owner = %s".encode()
        self.all = (
            f"select owner, host, place, pid, started, {left} from {table} where domain = %s order by owner"
        ).encode()


def leases_in(rows: Sequence[Any]) -> list[Lease]:
    """Return the leases that the rows of `LeaseStatements.all` hold."""
    return [Lease(owner, Process(*process), left_s) for owner, *process, left_s in rows]
