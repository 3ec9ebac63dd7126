"""Which names say that what they name is a secret: fields and arguments, files, objects.

A name is taken apart into words, so that `dbPassword`, `DB_PASSWORD` and `db-password` are one name. Names
that only say something of a secret (`secretName`, `token_count`, `password_file`) are none.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise
from typing import Final

_NAME_LENGTH_MAX = 200
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_SECRET: Final = frozenset({
    "apikey", "auth", "authorization", "auths", "connstr", "cookie", "credential", "credentials",
    "creds", "jwt", "passcode", "passphrase", "passwd", "password", "passwords", "pwd", "secret",
    "secrets", "token",
})  # fmt: skip
_ENDINGS: Final = ("accesskey", "apikey", "passphrase", "passwd", "password", "privatekey", "secret", "token")
"""As the end of a word that nothing takes apart: PGPASSWORD, clientsecret."""
_PAIRS: Final = frozenset({
    ("access", "key"), ("account", "key"), ("api", "key"), ("connection", "string"), ("encryption", "key"),
    ("host", "key"), ("license", "key"), ("master", "key"), ("private", "key"), ("service", "key"),
    ("session", "key"), ("shared", "key"), ("signing", "key"), ("ssh", "key"), ("storage", "key"),
    ("string", "data"),  # of a Kubernetes Secret; nothing else has it
    ("webhook", "url"),
})  # fmt: skip
_OWNERS: Final = frozenset({"access", "api", "auth", "bearer", "bot", "refresh", "session", "user"})
"""In front of `tokens` these make them secrets; other tokens are what models count."""
_ABOUT: Final = frozenset({
    "at", "budget", "class", "count", "counts", "enabled", "endpoint", "env", "expiration", "expires",
    "expiry", "field", "file", "files", "format", "hint", "id", "ids", "index", "issuer", "kind",
    "label", "len", "length", "limit", "max", "method", "min", "mode", "ms", "name", "names", "path",
    "policy", "provider", "ref", "refs", "required", "s", "seconds", "selector", "size", "status",
    "ttl", "type", "uri", "url", "usage", "valid", "version",
})  # fmt: skip
"""Last words of names that say something of a secret and are none."""
_LABELS: Final = frozenset({
    "apiversion", "description", "file", "file_path", "filename", "folder", "glob", "id", "kind",
    "mode", "name", "namespace", "op", "path", "resource", "schema", "table", "title", "tool", "type",
    "verb",
})  # fmt: skip

_FILES: Final = frozenset({
    ".boto", ".dockercfg", ".git-credentials", ".htpasswd", ".my.cnf", ".netrc", ".npmrc", ".pgpass",
    ".pypirc", ".s3cfg", ".vault-token", "_netrc", "auth.json", "credentials",
})  # fmt: skip
_FILE_STARTS: Final = (
    ".credentials", ".env", ".secrets", "client_secret", "id_dsa", "id_ecdsa", "id_ed25519", "id_rsa",
    "kubeconfig",
)  # fmt: skip
_FILE_ENDS: Final = (
    ".env", ".jks", ".kdbx", ".key", ".keystore", ".kubeconfig", ".p12", ".pem", ".pfx", ".ppk", ".tfvars",
    "-kubeconfig", "_kubeconfig",
)  # fmt: skip
_FILE_STEMS: Final = frozenset({"credentials", "secret", "secrets"})
_DATA_ENDINGS: Final = frozenset({"csv", "env", "ini", "json", "properties", "toml", "txt", "yaml", "yml"})
_PLACES: Final = (".aws/credentials", ".docker/config.json", ".kube/config")
_SSH_PUBLIC: Final = frozenset({"authorized_keys", "config", "known_hosts"})
_ASKED_BEFORE: Final = 4096
"""How many names and paths are remembered, for logs and pages speak of the same ones again and again."""
_PATHS_ONLY: Final = frozenset({"call", "doc", "file", "git", "mode", "sql", "tmp"})
"""Schemes whose objects are named as people name files, tables and headings: a word in them says little."""


@lru_cache(maxsize=_ASKED_BEFORE)
def is_secret_name(name: str) -> bool:
    """Tell whether a field, an argument or a variable of this name holds a secret."""
    words = [word.lower() for word in _WORD.findall(name[:_NAME_LENGTH_MAX])]
    if not words:
        return False
    if words[-1] in _ABOUT and words[-2:] != ["webhook", "url"] and words[-2:] != ["secret", "id"]:
        return False
    pairs = list(pairwise(words))
    if any(pair in _PAIRS for pair in pairs):
        return True
    if any(second == "tokens" and first in _OWNERS for first, second in pairs) or words == ["tokens"]:
        return True
    return any(word in _SECRET or word.endswith(_ENDINGS) for word in words)


def is_label(name: str) -> bool:
    """Tell whether an argument of this name only says which object is meant."""
    return name.lower() in _LABELS


def counts_tokens(name: str) -> bool:
    """Tell whether a number of this name may be how many tokens a model has used."""
    return name.lower().endswith("tokens")


@lru_cache(maxsize=_ASKED_BEFORE)
def is_secret_path(path: str) -> bool:
    """Tell whether the file at a path is one that holds secrets, by its name."""
    path = path.rstrip("/").lower()
    folder, _, name = path.rpartition("/")
    if not name or name.endswith(".pub"):
        return False
    stem, dot, ending = name.rpartition(".")
    return (
        name in _FILES
        or name.startswith(_FILE_STARTS)
        or name.endswith(_FILE_ENDS)
        or (bool(dot) and stem in _FILE_STEMS and ending in _DATA_ENDINGS)
        or f"/{path}".endswith(tuple(f"/{place}" for place in _PLACES))
        or (folder.rpartition("/")[2] == ".ssh" and name not in _SSH_PUBLIC)
    )


@lru_cache(maxsize=_ASKED_BEFORE)
def is_secret_key(key: str) -> bool:
    """Tell whether an object is a secret as a whole, by its key, such as `file:.env` or `kv:db/password`."""
    scheme, _, path = key.partition(":")
    if scheme == "k8s":
        return "/secrets/" in path or "/secret/" in path
    if is_secret_path(path.partition("#")[0]):
        return True
    return scheme not in _PATHS_ONLY and any(is_secret_name(step) for step in path.split("/"))
