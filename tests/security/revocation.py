"""Who is shut out loses every socket that is open, within a second, and nobody else loses one."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import httpx2

from spaces_contracts.identifiers import new_id
from tests.security.campaign import Campaign
from tests.support.platform import Platform

LIMIT_S = 1.0  # for 99 of 100 sockets
PATIENCE_S = 10.0  # for all of them
BYSTANDERS = 20
PASSWORD = "nine sheep on a hill"

_UPGRADE = (
    "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Protocol: spaces.v1.json\r\n\r\n"
)
_REVOKED = (4401).to_bytes(2, "big") + b"token_revoked"  # the end of a close frame
_AWAY = (1012).to_bytes(2, "big") + b"going_away"
_DISABLED = (4409).to_bytes(2, "big") + b"space_disabled"


@dataclass(frozen=True)
class Kind:
    """How a socket of one kind is opened, and what it hears."""

    path: str
    first_frame: Callable[[str], bytes]
    ready: bytes
    closed: bytes = _REVOKED
    refused: bytes = b""  # what it hears instead of `ready`, where the socket itself stays


class Socket(asyncio.Protocol):
    """A socket that only notes when it was opened and closed: a thousand of them must cost nothing."""

    def __init__(self, kind: Kind, host: str, token: str) -> None:
        loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[None] = loop.create_future()
        self.closed: asyncio.Future[float] = loop.create_future()
        self.transport: asyncio.Transport
        self._kind = kind
        self._host = host
        self._first_frame = kind.first_frame(token)
        self._seen = b""
        self._asked = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(_UPGRADE.format(path=self._kind.path, host=self._host).encode())

    def data_received(self, data: bytes) -> None:
        self._seen = self._seen[-4096:] + data
        if not self._asked and b"\r\n\r\n" in self._seen:
            self._asked = True
            self.transport.write(self._first_frame)
        if not self.opened.done() and self._kind.ready in self._seen:
            self.opened.set_result(None)
        refused = self._kind.refused
        if refused and refused in self._seen and not self.opened.done():
            self.opened.set_exception(ConnectionError("refused"))
        if not self.closed.done() and self._kind.closed in self._seen:
            self.closed.set_result(time.monotonic())

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.opened.done():
            self.opened.set_exception(ConnectionError(self._seen[-300:].decode("latin-1")))
        self.closed.cancel()


def masked(frame: dict[str, Any]) -> bytes:
    """A text frame as clients send it."""
    payload = json.dumps(frame).encode()
    size = len(payload)
    head = bytes([0x81, 0x80 | size]) if size < 126 else b"\x81\xfe" + size.to_bytes(2, "big")
    return head + bytes(4) + payload


def _auth(token: str) -> bytes:
    return masked({"type": "auth", "token": token})


def _register(token: str) -> bytes:
    """Each is another agent, all of them in one space."""
    agent = {"version": "test"}
    return masked(
        {
            "type": "register",
            "token": token,
            "spaces": [CROWDED],
            "instance_id": new_id(),
            "agent": agent,
            "resume": {"secret": new_id()},
        }
    )


CROWDED = "crowded"
CLIENT = Kind("/ws", _auth, b'"ready"')
WORKER = Kind("/ws/worker", _register, b'"registered"')


def _watcher(space_id: str) -> Kind:
    """A client that looks at a space."""
    look = masked({"type": "subscribe", "space_id": space_id})
    return Kind(
        "/ws",
        lambda token: _auth(token) + look,
        b'"type":"space"',
        closed=_AWAY,
        refused=b"space_not_found",
    )


@dataclass
class Way:
    """One way to be shut out: the credential of the sockets, and what ends it."""

    name: str
    token: str
    end: Callable[[], Awaitable[httpx2.Response]]
    kind: Kind = CLIENT


async def run(platform: Platform, *, sockets: int = 1000) -> Campaign:
    """Each way with so many open sockets, beside some of others."""
    found = Campaign("revocation")
    headers = {"authorization": f"Bearer {platform.admin_key}"}
    async with httpx2.AsyncClient(
        base_url=platform.gateway_url, headers=headers, trust_env=False, timeout=30
    ) as admin:
        async for way in _ways(admin):
            await _try(platform, admin, way, sockets, found)
    return found


async def _ways(admin: httpx2.AsyncClient) -> AsyncIterator[Way]:
    key = await _made(admin, "/api/keys", name="many sockets")
    key_id = key["credential"]["principal"]["principal_id"]
    yield Way("revoke the key", key["secret"], partial(admin.delete, f"/api/keys/{key_id}"))
    for name in ("log out", "disable the user"):
        user_id, token = await _person(admin)
        bearer = {"authorization": f"Bearer {token}"}
        if name == "log out":
            yield Way(name, token, partial(admin.post, "/auth/jwt/logout", headers=bearer))
        else:
            path, change = f"/api/users/{user_id}", {"disabled": True}
            yield Way(name, token, partial(admin.patch, path, json=change))
    await _made(admin, "/api/spaces", name=CROWDED, policy={"max_connections": 1000})
    made = await _made(admin, "/api/worker-tokens", name="many agents", spaces=[CROWDED])
    token_id = made["credential"]["principal"]["principal_id"]
    end = partial(admin.delete, f"/api/worker-tokens/{token_id}")
    yield Way("revoke the worker token", made["secret"], end, WORKER)
    made = await _made(admin, "/api/worker-tokens", name="many agents", spaces=[CROWDED])
    end = partial(admin.patch, f"/api/spaces/{CROWDED}", json={"enabled": False})
    yield Way("disable the space", made["secret"], end, replace(WORKER, closed=_DISABLED))
    space = await _made(admin, "/api/spaces", name="to be hidden")
    scopes = ["requests:read", "spaces:read"]
    key = await _made(admin, "/api/keys", name="many watchers", scopes=scopes)
    end = partial(admin.patch, f"/api/spaces/{space['space_id']}", json={"visibility": "private"})
    yield Way("make the space private", key["secret"], end, _watcher(space["space_id"]))


async def _person(admin: httpx2.AsyncClient) -> tuple[str, str]:
    tenant = await _made(admin, "/api/tenants", name=f"revoked {new_id()}")
    invite = await _made(admin, "/api/invites", role="owner", tenant_id=tenant["tenant_id"])
    email = f"{new_id()}@example.org"
    body = {"email": email, "password": PASSWORD, "invite": invite["secret"]}
    user = await _made(admin, "/auth/register", **body)
    form = {"username": email, "password": PASSWORD}
    answer = await admin.post("/auth/jwt/login", data=form)
    admin.cookies.clear()
    return user["user_id"], answer.raise_for_status().json()["access_token"]


async def _made(admin: httpx2.AsyncClient, path: str, **body: Any) -> dict[str, Any]:
    made: dict[str, Any] = (await admin.post(path, json=body)).raise_for_status().json()
    return made


async def _try(
    platform: Platform, admin: httpx2.AsyncClient, way: Way, count: int, found: Campaign
) -> None:
    other = (await _made(admin, "/api/keys", name="bystander"))["secret"]
    with ExitStack() as stack:
        bystanders = await _open(platform, CLIENT, other, BYSTANDERS, stack)
        mine = await _open(platform, way.kind, way.token, count, stack)
        found.attempts += count + BYSTANDERS + 1
        started = time.monotonic()
        ended = asyncio.ensure_future(way.end())
        await asyncio.wait([socket.closed for socket in mine], timeout=PATIENCE_S)
        answer = await ended
        if answer.is_error:
            found.errors.append(f"{way.name}: {answer.status_code} {answer.text[:200]}")
        _judge(way.name, [_seconds(socket, started) for socket in mine], found)
        lost = sum(socket.closed.done() for socket in bystanders)
        if lost:
            found.wrongly_refused.append(f"{way.name}: {lost} sockets of others were closed")
        try:
            await _open(platform, way.kind, way.token, 1, stack)
            found.wrongly_allowed.append(f"{way.name}: a new socket opened afterwards")
        except ConnectionError:
            pass  # as it should be


def _judge(name: str, seconds: Sequence[float | None], found: Campaign) -> None:
    open_still = sum(one is None for one in seconds)
    if open_still:
        found.wrongly_allowed.append(f"{name}: {open_still} of {len(seconds)} sockets stayed open")
    closed = sorted(one for one in seconds if one is not None)
    if closed:
        p99 = closed[min(len(closed) - 1, int(len(closed) * 0.99))]
        print(f"revocation, {name}: {len(closed)} sockets closed, p99 {p99 * 1e3:.0f} ms")
        if p99 > LIMIT_S:
            found.wrongly_allowed.append(f"{name}: p99 was {p99:.3f} s for {len(closed)} sockets")


def _seconds(socket: Socket, started: float) -> float | None:
    closed = socket.closed
    return closed.result() - started if closed.done() and not closed.cancelled() else None


async def _open(
    platform: Platform, kind: Kind, token: str, count: int, stack: ExitStack
) -> list[Socket]:
    """So many sockets, fifty at a time; they are gone when the stack is."""
    address = urlsplit(platform.gateway_url)
    assert address.hostname is not None
    assert address.port is not None
    loop = asyncio.get_running_loop()
    opened: list[Socket] = []
    for some in _portions(count, 50):
        made = await asyncio.gather(
            *(
                loop.create_connection(
                    partial(Socket, kind, address.netloc, token), address.hostname, address.port
                )
                for _ in range(some)
            )
        )
        for transport, _ in made:
            stack.callback(transport.abort)
        opened += [socket for _, socket in made]
        await asyncio.gather(*(socket.opened for _, socket in made))
    return opened


def _portions(count: int, most: int) -> Iterator[int]:
    while count > 0:
        yield min(count, most)
        count -= most
