"""Which agent a client is, and what becomes of it when the client has gone."""

from __future__ import annotations

import hmac
import os
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import anyio

from coagent.config.domain_file import ClientTable, OnLeave
from coagent.errors import ConfigurationError, JoinRefused, UnknownAgent
from coagent.gateways.mcp.claims import Claims
from coagent.gateways.membership import leave
from coagent.runtime.domain import Domain
from coagent.runtime.outcomes import Issued
from coagent.runtime.session import AgentSession

_NAMES_MAX = 1000
_HANDLED = "handle:"
_HANDLE_BYTES = 16


def token_owner(name: str) -> str:
    """Return the owner of what a client with a token has."""
    return f"token:{name}"


@dataclass(frozen=True)
class Caller:
    """Whom a request comes from, as its connection or its token tells.

    Args:
        identity: What tells it from others; None where nothing does: then its agents need handles.
        owner: Who else may not use the handles that it gets; None: they are for whoever has them.
        name: What its agent is called.
        own_name: As for `Client`.
        rank: The rank of its own agent.
        tools: The tools that it may use; None: all.
        connection: In which no request id comes twice; None where that cannot be told.
    """

    identity: str | None
    owner: str | None
    name: str
    own_name: bool = True
    rank: int | None = None
    tools: list[str] | None = None
    connection: str | None = None


@dataclass
class Client:
    """A client, or one of the agents that it has handles for.

    Args:
        identity: What tells it from others: its token's name, its connection, or its handle.
        name: What its agent is called.
        own_name: Whether that is its own name, under which it may have been here before; else a number is
            added where the name is taken.
        rank: Its agent's rank, while that may still be chosen.
        tools: The tools that it may use; None: all.
        kept: Whether its agent stays when it goes, whatever is configured.
        owner: As for `Caller`.
        unheard: The last call of its agent, where another server made it, which may have died before it could
            answer.
    """

    identity: str
    name: str
    own_name: bool = True
    rank: int | None = None
    tools: list[str] | None = None
    kept: bool = False
    owner: str | None = None
    unheard: Issued | None = None
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
        for expected, table in self._tables.items():
            if hmac.compare_digest(expected, given):
                found = table
        return found


class Clients:
    """All clients of one server.

    Args:
        domain: An open domain.
        lease_s: How long a client may be away, in seconds.
        on_leave: What becomes of the unfinished work of one that has gone: see `membership.leave`.
        reserved: The names of clients that have tokens: theirs alone.
        now_s: The time; that of the domain's clock by default.
    """

    def __init__(
        self,
        domain: Domain,
        *,
        lease_s: float,
        on_leave: OnLeave,
        reserved: Iterable[str] = (),
        now_s: Callable[[], float] | None = None,
    ) -> None:
        self.domain = domain
        self._reserved = frozenset(reserved)
        self._lease_s = lease_s
        self._on_leave = on_leave
        self._now_s = now_s or domain.clock.now_s
        self._clients: dict[str, Client] = {}
        self._claims = Claims(domain.url)
        domain.on_death = on_leave  # when the server dies, its clients have gone

    def of(self, caller: Caller, handle: str | None) -> Client:
        """Return whose call it is.

        Args:
            caller: Where the request comes from.
            handle: The handle that was passed with it.

        Raises:
            UnknownAgent: Nobody has this handle, or there is none and one is needed.
        """
        if handle is not None:
            known = self._clients.get(_HANDLED + handle)
            if known is None or known.owner not in (None, caller.owner):
                raise UnknownAgent(
                    "this handle is not known: it is another client's, or its lease has run out",
                    "Call coagent_join again; with take_up = true if your agent may still be at work.",
                )
            return self.met(known)
        if caller.identity is None:
            raise UnknownAgent(
                "nothing tells whose call this is: it came without a session, a token or a handle",
                "Call coagent_join once, and pass the handle that it returns as coagent_handle each time.",
            )
        known = self._clients.get(caller.identity)
        if known is None:
            known = Client(
                caller.identity, caller.name, caller.own_name, caller.rank, caller.tools, owner=caller.owner
            )
        return self.met(known)

    async def joined(self, caller: Caller, name: str | None, take_up: bool) -> tuple[Client, str]:
        """Let a caller have one more agent, and return it with its handle.

        Args:
            caller: Whose it will be.
            name: What to call it; by default as the caller.
            take_up: Whether to go on with an agent of that name that is at work.

        Raises:
            JoinRefused: The name is that of a client with a token; or there is nothing to take up, or another
                client is at it.
        """
        name = caller.name if name is None else name
        if name in self._reserved and caller.owner != token_owner(name):
            raise JoinRefused(
                f"{name!r} is the name of a client with a token", "Choose another, or send its token."
            )
        handle = secrets.token_urlsafe(_HANDLE_BYTES)
        if take_up:
            client = await self._taken_up(caller, name, handle)
        else:
            client = Client(_HANDLED + handle, name, False, None, caller.tools, owner=caller.owner)
            await self.session(client)
            client.own_name = True  # its next piece of work goes by the same name
        return self.met(client), handle

    async def _taken_up(self, caller: Caller, name: str, handle: str) -> Client:
        held = next(
            (client for client in self._clients.values() if client.name == name and not client.over), None
        )
        if held is not None and not held.identity.startswith(_HANDLED):
            raise JoinRefused(f"agent {name!r} needs no handle", "Join without take_up.")
        if held is not None and (held.owner is None or held.owner != caller.owner):
            raise JoinRefused(
                f"agent {name!r} is another client's", "Join without take_up, or wait until its lease ends."
            )
        client = Client(_HANDLED + handle, name, True, None, caller.tools, owner=caller.owner)
        if held is not None:
            client.session, client.lock = held.session, held.lock
            del self._clients[held.identity]
        elif await self.resumed(client) is None:
            raise JoinRefused(f"no agent {name!r} is at work", "Join without take_up.")
        return client

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
        client.session = _kept_up(await self.domain.join(client.name, rank=rank))
        return client.session

    async def resumed(self, client: Client) -> AgentSession | None:
        """Return the session of a client's agent, also of one that an earlier connection has left at work.

        Raises:
            JoinRefused: Another process serves it.
        """
        await self.domain.catch_up()
        if self._is_at_work(client.name) and client.session is None and client.own_name:
            self._claims.take(client.name)
            client.session = _kept_up(await self.domain.attach(client.name))
            client.unheard = next(iter(client.session.calls[-1:]), None)
        return client.session

    def _is_at_work(self, name: str) -> bool:
        return any(agent.name == name and not agent.ended for agent in self.domain.agents)

    async def _joined_as_another(self, client: Client, rank: int | None) -> AgentSession:
        """Join under the first free name: other processes may take names at the same time."""
        base = client.name
        for number in range(1, _NAMES_MAX):
            client.name = base if number == 1 else f"{base}-{number}"
            if any(other.name == client.name for other in self._clients.values() if other is not client):
                continue
            if not self._claims.free(client.name):
                continue
            try:
                session = await self.domain.join(client.name, rank=rank)
            except JoinRefused:
                self._claims.give_back(client.name)
                if self._is_at_work(client.name):
                    continue
                raise
            return _kept_up(session)
        raise JoinRefused(
            f"there are {_NAMES_MAX} agents named {base!r}", "Give the client a name of its own."
        )

    def at_work(self) -> list[Client]:
        """Return the clients whose agents have not ended."""
        return [client for client in self._clients.values() if not client.over]

    async def gone(self, identity: str) -> None:
        """Let a client go; what becomes of its unfinished work is configured."""
        client = self._clients.pop(identity, None)
        if client is None or client.session is None or client.over:
            return
        self._claims.give_back(client.name)
        await client.session.came_back()  # the answer had been sent when it went
        await leave(client.session, self.leaves(client), "its client has gone")

    async def expire(self) -> list[str]:
        """Let those clients go whose lease has run out, and return their names."""
        now_s = self._now_s()
        late = [
            client
            for client in self._clients.values()
            if not client.busy and now_s - client.seen_s > self._lease_s
        ]
        for client in late:
            await self.gone(client.identity)
        return [client.name for client in late]

    async def all_gone(self) -> None:
        """Let every client go: the server ends."""
        for identity in list(self._clients):
            await self.gone(identity)

    def leaves(self, client: Client) -> OnLeave:
        """Return what becomes of a client's unfinished work when it goes, or the server dies."""
        return "keep" if client.kept else self._on_leave


def _kept_up(session: AgentSession) -> AgentSession:
    """Return the session of an agent whose client may outlive this process."""
    session.tell_when_back()
    return session
