"""Which agent a client is, and what becomes of it when the client has gone."""

from __future__ import annotations

import contextlib
import hmac
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import anyio

from coagent.config.domain_file import ClientTable
from coagent.errors import ConfigurationError, JoinRefused
from coagent.gateways.mcp.claims import Claims
from coagent.runtime.domain import Domain
from coagent.runtime.session import AgentSession

Gone = Literal["abort", "keep"]
_NAMES_MAX = 1000


@dataclass
class Client:
    """One client.

    Args:
        identity: What tells it from others: its token's name, or its connection.
        name: What its agent is called.
        own_name: Whether that is its own name, under which it may have been here before; else a number is
            added where the name is taken.
        rank: Its agent's rank, while that may still be chosen.
        tools: The tools that it may use; None: all.
        kept: Whether its agent stays when it goes, whatever is configured.
    """

    identity: str
    name: str
    own_name: bool = True
    rank: int | None = None
    tools: list[str] | None = None
    kept: bool = False
    session: AgentSession | None = None
    seen_s: float = 0.0
    busy: int = 0
    lock: anyio.Lock = field(default_factory=anyio.Lock)

    @property
    def over(self) -> bool:
        """Whether it has no agent, or one that has ended."""
        return self.session is None or self.session.state in ("committed", "aborted")


class Tokens:
    """Bearer tokens, and whose they are.

    Args:
        tables: The clients of a domain file; their tokens are in the environment.
        environment: Where to look.

    Raises:
        ConfigurationError: A variable is not set, or two clients have one token.
    """

    def __init__(self, tables: Iterable[ClientTable], environment: Mapping[str, str] | None = None) -> None:
        environment = os.environ if environment is None else environment
        self._tables: dict[bytes, ClientTable] = {}
        for table in tables:
            if table.token_env is None:
                continue
            token = environment.get(table.token_env, "").strip()
            if not token:
                raise ConfigurationError(
                    f"the token of client {table.name!r} is not set: {table.token_env} is empty",
                    f"Set it, for instance: export {table.token_env}=$(openssl rand -hex 32)",
                )
            if token.encode() in self._tables:
                raise ConfigurationError(
                    f"clients {self._tables[token.encode()].name!r} and {table.name!r} have one token",
                    "Give each its own.",
                )
            self._tables[token.encode()] = table

    def __bool__(self) -> bool:
        return bool(self._tables)

    def owner(self, token: str) -> ClientTable | None:
        """Return whose token it is; takes equally long whichever it is."""
        given, found = token.encode("utf-8", "replace"), None
        for one, table in self._tables.items():
            if hmac.compare_digest(one, given):
                found = table
        return found


class Clients:
    """All clients of one server.

    Args:
        domain: An open domain.
        lease_s: How long a client may be away, in seconds.
        on_disconnect: What becomes of the agent of one that has gone: "abort", or "keep".
        now_s: The time; that of the domain's clock by default.
    """

    def __init__(
        self,
        domain: Domain,
        *,
        lease_s: float,
        on_disconnect: Gone,
        now_s: Callable[[], float] | None = None,
    ) -> None:
        self.domain = domain
        self._lease_s = lease_s
        self._on_disconnect = on_disconnect
        self._now_s = now_s or domain.clock.now_s
        self._clients: dict[str, Client] = {}
        self._claims = Claims(domain.url)

    def known(self, identity: str) -> Client | None:
        """Return a client that has been here before."""
        return self._clients.get(identity)

    def met(self, client: Client) -> Client:
        """Take a client up, or note that it is still there."""
        client = self._clients.setdefault(client.identity, client)
        client.seen_s = self._now_s()
        return client

    async def session(self, client: Client) -> AgentSession:
        """Return the session of a client's agent; one that has ended is followed by another.

        Raises:
            JoinRefused: Its rank is taken, or lies below work already done.
        """
        if client.session is not None and not client.over:
            return client.session
        rank, client.rank = client.rank, None  # a pinned rank is for its first piece of work
        if not client.own_name and client.session is None:
            client.session = await self._joined_as_another(client, rank)
            return client.session
        self._claims.take(client.name)
        if client.session is not None:
            rank = None
        elif (kept := await self.resumed(client)) is not None:
            return kept
        client.session = await self.domain.join(client.name, rank=rank)
        return client.session

    async def resumed(self, client: Client) -> AgentSession | None:
        """Return the session of a client's agent, also of one that an earlier connection has left at work.

        Raises:
            JoinRefused: Another process serves it.
        """
        await self.domain.catch_up()
        at_work = any(one.name == client.name and not one.ended for one in self.domain.agents)
        if at_work and client.session is None and client.own_name:
            self._claims.take(client.name)
            client.session = self.domain.attach(client.name)
        return client.session

    async def _joined_as_another(self, client: Client, rank: int | None) -> AgentSession:
        """Join under the first free name: other processes may take names at the same time."""
        base = client.name
        for number in range(1, _NAMES_MAX):
            client.name = base if number == 1 else f"{base}-{number}"
            taken = any(one.name == client.name for one in self._clients.values() if one is not client)
            with contextlib.suppress(JoinRefused):
                if not taken:
                    session = await self.domain.join(client.name, rank=rank)
                    self._claims.take(client.name)
                    return session
        raise JoinRefused(
            f"there are {_NAMES_MAX} agents named {base!r}", "Give the client a name of its own."
        )

    async def gone(self, identity: str) -> None:
        """Let a client go: its agent is aborted unless it has finished or is to be kept."""
        client = self._clients.pop(identity, None)
        if client is None or client.session is None or client.over:
            return
        self._claims.give_back(client.name)
        if client.kept or self._on_disconnect == "keep" or client.session.state == "finished":
            return
        await client.session.abort("its client has gone")

    async def expire(self) -> list[str]:
        """Let those clients go whose lease has run out, and return their names."""
        now_s = self._now_s()
        late = [one for one in self._clients.values() if not one.busy and now_s - one.seen_s > self._lease_s]
        for client in late:
            await self.gone(client.identity)
        return [one.name for one in late]

    async def all_gone(self) -> None:
        """Let every client go: the server ends."""
        for identity in list(self._clients):
            await self.gone(identity)
