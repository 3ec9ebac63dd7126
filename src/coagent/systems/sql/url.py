"""Which database a URL means, without asking it and without secrets."""

from __future__ import annotations

import urllib.parse

_PLACES = ("host", "hostaddr", "port", "dbname", "service")


def postgres_identity(url: str, schema: str) -> str:
    """Return host, port, database and schema of a PostgreSQL URL, whoever connects and however.

    Args:
        url: `postgresql://user:password@host:port/database?...`.
        schema: The schema of the database whose tables are meant.
    """
    parts = urllib.parse.urlsplit(url)
    user, _, hosts = parts.netloc.rpartition("@")
    given = {name: values[-1] for name, values in urllib.parse.parse_qs(parts.query).items()}
    database = urllib.parse.unquote(parts.path.lstrip("/")) or given.get("dbname", "")
    database = database or given.get("user", "") or urllib.parse.unquote(user.partition(":")[0])
    places = {name: given[name] for name in _PLACES if name in given and name != "dbname"}
    if not hosts and (host := places.pop("host", "")):
        hosts = urllib.parse.quote(host, safe="")
    query = urllib.parse.urlencode({**places, "schema": schema})
    hosts = hosts if "%2f" in hosts.lower() else hosts.lower()  # a path, to a socket, is as it is written
    return f"postgresql://{hosts}/{urllib.parse.quote(database)}?{query}"
