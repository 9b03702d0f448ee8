"""HTTP calls whose target is checked when it is read and again at each connect (extra `fetch`).

The name is resolved once, here, and the connection goes to the address that was checked: a name that answers otherwise
the second time leads nowhere. Redirects are not followed, and proxies of the environment are not used.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import httpcore2
import httpx2

from spaces_chassis.destinations import DestinationRefused, Reach, check_address, read_destination

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
ANSWER_BYTES = 20 * 1024 * 1024
ANSWER_S = 20.0
KEEPALIVE_S = 5.0


class AnswerTooLarge(Exception):
    """The answer of a target has more bytes than are taken."""


class GuardedTransport(httpx2.AsyncHTTPTransport):
    """Given to a client as `transport=`. Raises DestinationRefused from any call that would lead too far."""

    def __init__(
        self,
        reach: Reach,
        *,
        resolve: Resolve | None = None,
        network: httpcore2.AsyncNetworkBackend | None = None,
        max_connections: int | None = None,
        verify: Any = True,
    ) -> None:
        super().__init__(trust_env=False)
        self._reach = reach
        # There is no public way to give httpx2 a network of one's own.
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=httpx2.create_ssl_context(verify=verify, trust_env=False),
            max_connections=max_connections,
            keepalive_expiry=KEEPALIVE_S,
            network_backend=_GuardedNetwork(
                reach, resolve or _resolve, network or httpcore2.AnyIOBackend()
            ),
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        read_destination(str(request.url), self._reach)
        return await super().handle_async_request(request)


def guarded_client(reach: Reach = Reach.STRANGER, **options: Any) -> httpx2.AsyncClient:
    """A client for targets that somebody else names; `options` go to httpx2.AsyncClient and GuardedTransport."""
    ours = {
        name: options.pop(name)
        for name in ("resolve", "network", "max_connections", "verify")
        if name in options
    }
    return httpx2.AsyncClient(
        **options,
        transport=GuardedTransport(reach, **ours),
        follow_redirects=False,
        trust_env=False,
    )


async def fetch_small(
    client: httpx2.AsyncClient, url: str, *, most: int = ANSWER_BYTES, within_s: float = ANSWER_S
) -> httpx2.Response:
    """A GET whose answer has at most `most` bytes, as they are sent. Raises AnswerTooLarge, TimeoutError,
    httpx2.TransportError, and DestinationRefused."""
    async with (
        asyncio.timeout(within_s),
        client.stream("GET", url, headers={"Accept-Encoding": "identity"}) as answer,
    ):
        body = b""
        async for piece in answer.aiter_raw():
            body += piece
            if len(body) > most:
                raise AnswerTooLarge(f"the answer has more than {most} bytes")
        headers = {k: v for k, v in answer.headers.items() if k != "content-encoding"}
        return httpx2.Response(answer.status_code, headers=headers, content=body)


class _GuardedNetwork(httpcore2.AsyncNetworkBackend):
    def __init__(
        self, reach: Reach, resolve: Resolve, network: httpcore2.AsyncNetworkBackend
    ) -> None:
        self._reach = reach
        self._resolve = resolve
        self._network = network

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        try:
            addresses = await self._resolve(host, port)
        except OSError as error:
            raise httpcore2.ConnectError(f"{host} cannot be resolved: {error}") from None
        # One bad address among good ones is enough: whoever answers so plays with the resolver.
        for address in addresses:
            check_address(address, self._reach)
        failure: Exception = httpcore2.ConnectError(f"{host} has no address")
        for address in addresses:
            try:
                return await self._network.connect_tcp(
                    address, port, timeout, local_address, socket_options
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure

    async def connect_unix_socket(
        self, path: str, *_: Any, **__: Any
    ) -> httpcore2.AsyncNetworkStream:
        raise DestinationRefused("only hosts are called")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


async def _resolve(host: str, port: int) -> list[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(place[0]) for *_, place in found))
