"""Requests to a Kubernetes API server, and what its answers mean.

A failure passes where the server is away, overloaded or in trouble (429, 5xx), and where credentials that
were good have run out; every other refusal is definite.
"""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import time
import urllib.parse
from collections.abc import Iterator, Sequence
from typing import Any

from kubernetes.client import ApiClient, Configuration
from kubernetes.client.exceptions import ApiException
from urllib3.connection import HTTPConnection
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, SSLError

from coagent.errors import TargetError, TargetUnavailable

_PAGE = 500


class Missing(TargetError):
    """404."""


class Raced(TargetError):
    """409: somebody else wrote, created or deleted in between."""


class Invalid(TargetError):
    """422: the object would break a rule, or the step from what is there to it."""


class Gone(TargetError):
    """410: what a watch was to go on from is forgotten."""


class Unsure(TargetUnavailable):
    """No answer, or one that does not tell whether the request was carried out."""


class Stream:
    """The answer to a watch: events, until it is closed from any thread."""

    def __init__(self, response: Any) -> None:
        self._response = response

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for line in self._response:
            if line.strip():
                yield json.loads(line)

    def close(self) -> None:
        """End it; whoever waits for its next event gets an error or no more events."""
        with contextlib.suppress(OSError, RuntimeError, ValueError, AttributeError):
            self._response.shutdown()

    def release(self) -> None:
        """Give its connection back; only for whoever reads it."""
        with contextlib.suppress(HTTPError, OSError):
            self._response.close()


class Server:
    """One API server.

    Args:
        settings: Where it is, and the credentials.
        timeout_s: How long it may take for one request.
    """

    def __init__(self, settings: Configuration, timeout_s: float) -> None:
        settings.retries = False
        settings.socket_options = [*HTTPConnection.default_socket_options, *_keep_alive()]
        self._client = ApiClient(settings)
        self._timeout_s = timeout_s
        self._reached = False
        self.url = _plain_url(str(settings.host))
        """Its address, without credentials."""

    def request(
        self, method: str, path: str, *, body: Any = None, query: Sequence[tuple[str, str]] = ()
    ) -> dict[str, Any]:
        """Return the JSON that it answers.

        Raises:
            Missing, Raced, Gone: It says so.
            Unsure: The request may have been carried out.
            TargetUnavailable: It cannot be reached.
            TargetError: It refuses.
        """
        deadline = time.monotonic() + self._timeout_s
        while True:
            answer = self._answer(method, path, body, query, self._timeout_s)
            try:
                data = answer.read()
            except (HTTPError, OSError) as error:
                raise self._unreachable(error) from None
            pause_s = _pause_s(answer)
            if pause_s is None or time.monotonic() + pause_s > deadline:
                break
            time.sleep(pause_s)  # it has too much to do, and says when to come again
        if not 200 <= answer.status < 300:
            raise self._translate(method, path, answer.status, data)
        self._reached = True
        found = json.loads(data or b"null")
        return found if isinstance(found, dict) else {}

    def watch(self, path: str, version: str, seconds: int) -> Stream:
        """Begin a watch.

        Args:
            path: A collection.
            version: The resource version to go on from.
            seconds: How long the server lets it last.

        Raises:
            TargetError: As for `request`.
        """
        query = [
            ("watch", "true"),
            ("resourceVersion", version),
            ("allowWatchBookmarks", "true"),
            ("timeoutSeconds", str(seconds)),
        ]
        answer = self._answer("GET", path, None, query, (self._timeout_s, seconds + self._timeout_s))
        if answer.status != 200:
            try:
                data = answer.read()
            except (HTTPError, OSError) as error:
                raise self._unreachable(error) from None
            raise self._translate("GET", path, answer.status, data)
        return Stream(answer.response)

    def close(self) -> None:
        """Close the connections that are not in use."""
        self._client.rest_client.pool_manager.clear()
        self._client.close()  # type: ignore[no-untyped-call]

    def _answer(
        self, method: str, path: str, body: Any, query: Sequence[tuple[str, str]], timeout_s: Any
    ) -> Any:
        prepared = self._client.param_serialize(
            method,
            path,
            query_params=list(query),
            header_params={"Accept": "application/json", "Content-Type": "application/json"},
            body=body,
            auth_settings=["BearerToken"],
        )
        try:
            return self._client.call_api(*prepared, _request_timeout=timeout_s)
        except ApiException as error:
            if not error.status:  # the client's way to say that the certificates do not fit
                raise self._away(str(error.reason), TargetUnavailable) from None
            raise self._translate(method, path, error.status, error.body) from None
        except (HTTPError, OSError) as error:
            raise self._unreachable(error) from None

    def _unreachable(self, error: Exception) -> TargetUnavailable:
        never_sent = isinstance(error, NewConnectionError | ConnectTimeoutError | SSLError)
        return self._away(str(getattr(error, "reason", error)), TargetUnavailable if never_sent else Unsure)

    def _away(self, reason: str, kind: type[TargetUnavailable]) -> TargetUnavailable:
        said = reason.strip().splitlines()[-1].rpartition(": ")[2] if reason.strip() else "no reason given"
        return kind(
            f"the API server at {self.url} cannot be reached ({said})",
            "Check that it runs, and that the kubeconfig names the right cluster.",
        )

    def _translate(self, method: str, path: str, status: int, body: Any) -> TargetError:
        said = _message(body)
        if status == 404:
            return Missing(f"the API server knows no {path}: {said}", "Check namespace, kind and name.")
        if status == 409:
            return Raced(f"{method} {path} conflicts: {said}")
        if status == 410:
            return Gone(f"the API server has forgotten where {path} was: {said}")
        refused = f"the API server refused {method} {path} ({status}): {said}"
        if status == 401:
            cure = "The kubeconfig's credentials are not valid (any more): log in again."
            return (TargetUnavailable if self._reached else TargetError)(refused, cure)
        if status in (408, 429) or status >= 500:
            return Unsure(refused, "Try again; if it persists, look at the API server.")
        return (Invalid if status == 422 else TargetError)(refused, _cure(status, said))


def _pause_s(answer: Any) -> float | None:
    """Return how long a server with too much to do asks its clients to wait; None where it does not."""
    said = answer.headers.get("Retry-After", "") if answer.status == 429 else ""
    return float(said) if said.isdigit() else None


def list_collection(server: Server, path: str) -> tuple[list[dict[str, Any]], str]:
    """Return all objects of a collection, page by page, and the resource version that they are of.

    Where the server has forgotten the pages meanwhile (410), everything is asked for at once, as its other
    clients do.

    Raises:
        TargetError: As for `Server.request`.
    """
    items: list[dict[str, Any]] = []
    more, version = "", ""
    while True:
        query = [("limit", str(_PAGE)), *([("continue", more)] if more else [])]
        try:
            page = server.request("GET", path, query=query)
        except Gone:
            if not more:
                raise
            page, items, version = server.request("GET", path), [], ""
        metadata = page.get("metadata", {})
        items += page.get("items") or []
        version = version or str(metadata.get("resourceVersion", ""))
        more = metadata.get("continue") or ""
        if not more:
            return items, version


def _cure(status: int, said: str) -> str:
    if status == 403:
        return "Ask for a role that allows it (kubectl auth can-i shows what you may do)."
    immutable = "; what is immutable changes only if the object is deleted and created again"
    return f"Correct the object and call again{immutable if 'immutable' in said else ''}."


def _message(body: Any) -> str:
    """Return what a Status object says; the server's other answers are cut short."""
    text = body.decode(errors="replace") if isinstance(body, bytes) else str(body or "")
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return text[:200] or "no reason given"


def _plain_url(url: str) -> str:
    """Return a URL without user, password and query."""
    parts = urllib.parse.urlsplit(url)
    host = parts.netloc.rpartition("@")[2].lower()
    return urllib.parse.urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))


def _keep_alive() -> list[tuple[int, int, int]]:
    """Return socket options by which a server that has vanished is noticed within half a minute."""
    options = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    if sys.platform.startswith("linux"):
        options += [
            (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10),
            (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
            (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
        ]
    return options
