"""What is revoked while a gateway is cut off from NATS ends as soon as it is back, although nobody told it."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.exceptions import ConnectionClosed

from spaces_contracts.connections import LEASE_S
from spaces_contracts.problems import Code
from spaces_contracts.worker_socket import Registered, RegisterError
from spaces_stack.platform import Platform as Processes
from tests.faults.tcp_proxy import Proxy, ProxyThread
from tests.security.matrix_world import PASSWORD
from tests.support.api import Api, api
from tests.support.eventually import eventually
from tests.support.platform import Platform, running_platform
from tests.support.wire import ClientSocket, WorkerSocket, client_socket, worker_socket

LOOPBACK = "127.0.0.1"
# A second to dial again, a second to look, and a slow machine.
BACK_S = 15.0


class Cable:
    """Between the first gateway and NATS."""

    def __init__(self, proxies: ProxyThread, platform: Platform, proxy: Proxy) -> None:
        self._proxies = proxies
        self._proxy = proxy
        self._target = proxy.target
        self.platform = platform

    async def cut(self) -> None:
        """Until `mend`."""

        def break_off(proxy: Proxy) -> None:
            proxy.target = (LOOPBACK, 1)
            proxy.reset_peer()

        self._proxies.change(self._proxy, break_off)
        await eventually(lambda: self._connected() == 0, timeout_s=20)

    async def mend(self) -> None:
        """The gateway is connected again when this returns."""
        self._proxies.change(self._proxy, lambda proxy: setattr(proxy, "target", self._target))
        await eventually(lambda: self._connected() == 1, timeout_s=30)

    def _connected(self) -> float:
        lines = self.platform.metrics("gateway").splitlines()
        return float(
            next(one for one in lines if one.startswith("spaces_bus_connected")).split()[-1]
        )


@pytest.fixture(scope="module")
def cable() -> Iterator[Cable]:
    proxies = ProxyThread()
    environ: dict[str, dict[str, str]] = {"gateway": {}}
    proxy = proxies.add("gateway-nats")

    def before_start(processes: Processes, _folder: Path) -> None:
        proxy.target = (LOOPBACK, processes.ports[1])
        environ["gateway"]["SPACES_GATEWAY_NATS_URL"] = f"nats://{LOOPBACK}:{proxy.port}"

    try:
        with running_platform(
            gateways=2, environ_of=environ, before_start=before_start
        ) as platform:
            yield Cable(proxies, platform, proxy)
    finally:
        proxies.close()


async def closed(socket: ClientSocket | WorkerSocket) -> tuple[int, str]:
    """How the other side ended it; answers its heartbeats until then."""
    with pytest.raises(ConnectionClosed) as ended:
        await endlessly(socket)
    received = ended.value.rcvd
    return (received.code, received.reason) if received else (0, "no goodbye")


async def endlessly(socket: ClientSocket | WorkerSocket) -> None:
    while True:
        await socket.receive(timeout_s=100)


async def person(admin: Api) -> tuple[str, str]:
    """A user id and a token."""
    tenant = await admin.make("/api/tenants", name="cut off")
    invite = await admin.make("/api/invites", role="owner", tenant_id=tenant["tenant_id"])
    body = {"email": "cut@example.org", "password": PASSWORD, "invite": invite["secret"]}
    user = await admin.make("/auth/register", **body)
    form = {"username": "cut@example.org", "password": PASSWORD}
    answer = (await admin.http.post("/auth/jwt/login", data=form)).raise_for_status()
    admin.http.cookies.clear()
    return user["user_id"], answer.json()["access_token"]


def id_of(made: dict[str, Any]) -> str:
    return str(made["credential"]["principal"]["principal_id"])


@pytest.mark.timeout(180)
async def test_what_was_revoked_behind_a_cut_ends_and_nothing_else(cable: Cable) -> None:
    platform = cable.platform
    here, there = platform.gateway_urls
    space = platform.create_space("cut", policy={"max_connections": 2})["space_id"]
    async with AsyncExitStack() as stack:
        admin = await stack.enter_async_context(api(there, platform.admin_key))
        revoked, kept = [await admin.make("/api/keys", name=name) for name in ("revoked", "kept")]
        tokens = [
            await admin.make("/api/worker-tokens", name=name, spaces=[space])
            for name in ("revoked", "kept")
        ]
        user_id, login = await person(admin)
        clients = [
            await stack.enter_async_context(client_socket(here, secret))
            for secret in (revoked["secret"], kept["secret"], login)
        ]
        workers = [await stack.enter_async_context(worker_socket(here)) for _ in tokens]
        for worker, token in zip(workers, tokens, strict=True):
            await worker.register(token["secret"], [space])
            await worker.expect(Registered)

        sockets: list[ClientSocket | WorkerSocket] = [*clients, *workers]
        ends = [asyncio.create_task(closed(socket)) for socket in sockets]
        stack.push_async_callback(given_up, ends)

        cut_at = time.monotonic()
        await cable.cut()
        for path in (f"/api/keys/{id_of(revoked)}", f"/api/worker-tokens/{id_of(tokens[0])}"):
            (await admin.http.delete(path)).raise_for_status()
        change = {"disabled": True}
        (await admin.http.patch(f"/api/users/{user_id}", json=change)).raise_for_status()
        assert not any(end.done() for end in ends)
        await cable.mend()
        cut_s = time.monotonic() - cut_at

        async with asyncio.timeout(BACK_S):
            assert await ends[0] == (4401, "token_revoked")
            assert await ends[2] == (4401, "token_revoked")
            await ends[3]
        async with worker_socket(here) as again:
            await again.register(tokens[0]["secret"], [space])
            assert (await again.expect(RegisterError)).code is Code.TOKEN_REVOKED
        async with httpx2.AsyncClient(base_url=here, trust_env=False) as http:
            bearer = {"Authorization": f"Bearer {revoked['secret']}"}
            answer = await http.get("/api/me", headers=bearer)
            assert answer.status_code == 401, "nor is it remembered"
            bearer = {"Authorization": f"Bearer {kept['secret']}"}
            assert (await http.get("/api/me", headers=bearer)).status_code == 200
        assert not ends[1].done()
        # A worker whose gateway is away for as long as a lease loses its place for that.
        assert cut_s > LEASE_S - 2 or not ends[4].done()


async def given_up(tasks: list["asyncio.Task[tuple[int, str]]"]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
