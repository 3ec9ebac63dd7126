"""The URLs of logs: what they name, and how they are shown without the secrets in them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from coagent.errors import ConfigurationError

POSTGRES = ("postgresql", "postgres")
SCHEMA_DEFAULT, DOMAIN_DEFAULT = "coagent", "default"
OURS = ("schema", "domain", "listen")
"""The parts of a query that are CoAgent's own, and are taken out before it goes to the server."""
_SCHEMA_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}\Z")
_CREDENTIALS = re.compile(r"(\w+://[^:/?@\s]*):.*@", re.S)
_SECRETS = frozenset({"password", "sslpassword", "oauth_client_secret"})
_HIDDEN = "***"


class Place(NamedTuple):
    """Where a log lies on a PostgreSQL server.

    Args:
        url: Of the database, as libpq takes it.
        listen: Of the same database, past any pooler, for LISTEN; often the same.
        schema: The schema of the tables.
        domain: The name of the domain; several may lie in one schema.
        shown: The whole URL without its secrets.
        secrets: What is not to be shown, wherever it appears.
    """

    url: str
    listen: str
    schema: str
    domain: str
    shown: str
    secrets: tuple[str, ...]

    def masked(self, text: str) -> str:
        """Return a text with no secret of the URL in it."""
        for secret in self.secrets:
            text = text.replace(secret, _HIDDEN)
        return text


def is_postgres(url: str) -> bool:
    """Tell whether a URL names a log on a PostgreSQL server."""
    scheme, _, rest = url.partition("://")
    return scheme in POSTGRES and bool(rest)


def path_of(url: str) -> Path:
    """Return the file of a `sqlite:` URL."""
    rest = url.partition(":")[2]
    return Path(rest.removeprefix("//") if rest.startswith("///") else rest).expanduser()


def name_of(url: str) -> str:
    """Return what a log is known by on every host, whatever each of them has to name to come there."""
    if is_postgres(url):
        place = place_of(url)
        return f"postgresql:{place.schema}:{place.domain}"
    return f"sqlite:{path_of(url).resolve()}"


def place_of(url: str) -> Place:
    """Take apart `postgresql://USER@HOST:PORT/DATABASE?schema=…&domain=…&listen=…`; the rest is libpq's.

    Raises:
        ConfigurationError: A part of it is no name for what it names.
    """
    shown = shown_url(url)
    base, _, query = url.partition("?")
    ours: dict[str, str] = {}
    theirs: list[str] = []
    for part in query.split("&") if query else []:
        name, _, value = part.partition("=")
        if name in OURS:
            ours[name] = unquote(value)
        else:
            theirs.append(part)
    schema, domain = ours.get("schema", SCHEMA_DEFAULT), ours.get("domain", DOMAIN_DEFAULT)
    if not _SCHEMA_NAME.match(schema) or schema.startswith("pg_"):
        raise ConfigurationError(
            f"{schema!r} in log {shown!r} is no name for a schema",
            "Use small letters, digits and _, as in schema=coagent.",
        )
    if not domain.strip() or not domain.isprintable() or len(domain) > 100:
        raise ConfigurationError(
            f"{domain!r} in log {shown!r} is no name for a domain", "Use 1 to 100 printable characters."
        )
    listen = ours.get("listen")
    if listen is not None and not is_postgres(listen):
        raise ConfigurationError(
            f"`listen` of log {shown!r} is no URL of a PostgreSQL server",
            "Write it as listen=postgresql%3A%2F%2FUSER%40HOST%2FDATABASE.",
        )
    libpq = base + ("?" + "&".join(theirs) if theirs else "")
    secrets = {*_secrets_of(libpq), *(_secrets_of(listen) if listen else ())}
    return Place(libpq, listen or libpq, schema, domain, shown, tuple(sorted(secrets, key=len, reverse=True)))


def shown_url(url: str) -> str:
    """Return the URL of a log as it may be shown: without passwords, also where no engine is named so."""
    if not is_postgres(url):
        return _CREDENTIALS.sub(rf"\1:{_HIDDEN}@", url)
    base, mark, query = _CREDENTIALS.sub(rf"\1:{_HIDDEN}@", url).partition("?")
    return base + mark + "&".join(map(_shown_part, query.split("&")))


def is_misread(url: str) -> bool:
    """Tell whether a password is written so that a part of it would be taken for a host, a port or a path."""
    found = _CREDENTIALS.match(url)
    return found is not None and any(sign in found[0][len(found[1]) + 1 : -1] for sign in "/?#@")


def has_password(url: str) -> bool:
    """Tell whether a password stands in the URL of a log."""
    return is_postgres(url) and shown_url(url) != url


def _shown_part(part: str) -> str:
    name, mark, value = part.partition("=")
    if unquote(name) in _SECRETS:
        return f"{name}={_HIDDEN}"
    inner = unquote(value)
    if name == "listen" and (shown := shown_url(inner)) != inner:
        return f"{name}={quote(shown, safe='*') if '%' in value else shown}"
    return name + mark + value


def _secrets_of(url: str) -> set[str]:
    """Return the passwords of a URL, as they stand there and as they are meant."""
    found = set()
    try:
        parts = urlsplit(url)
        found.add(parts.password or "")
        found.update(value for name, value in parse_qsl(parts.query) if name in _SECRETS)
    except ValueError:  # whoever connects will say that it is none
        pass
    if (credentials := _CREDENTIALS.match(url)) is not None:
        found.add(credentials[0][len(credentials[1]) + 1 : -1])
    return {form for secret in found if secret for form in (secret, unquote(secret))}
