"""What attacks are tried on: two tenants on real services, and a judge of what came back."""

import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import httpx2
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin, Subprotocol

from spaces_contracts.access import PrincipalKind
from spaces_contracts.frames import PROTOCOL
from spaces_contracts.identifiers import new_id
from spaces_stack.postgres_server import DATABASE
from spaces_stack.state_dir import StateDir
from tests.security.campaign import Campaign
from tests.security.matrix_world import PASSWORD, Credential, Tenant, World
from tests.support.platform import Platform

EVIL = "https://evil.example"
ANSWER_S = 15.0


class Scene:
    """The world, and the findings so far."""

    def __init__(self, platform: Platform, world: World, found: Campaign) -> None:
        self.platform = platform
        self.world = world
        self.found = found

    @property
    def http(self) -> httpx2.AsyncClient:
        """Without a credential; its cookies are to be cleared by who let any be set."""
        return self.world.http

    @property
    def ours(self) -> Tenant:
        """The tenant that the attacker belongs to, or begins from."""
        return self.world.tenants["ours"]

    @property
    def theirs(self) -> Tenant:
        """The other one."""
        return self.world.tenants["theirs"]

    def credential(self, name: str) -> Credential:
        """One of the world's, such as "ours: owner"."""
        return next(one for one in self.world.credentials if one.name == name)

    def worker_token(self, tenant: str) -> Credential:
        """A tenant's worker token."""
        return next(
            one
            for one in self.world.credentials
            if one.principal is not None
            and one.tenant == tenant
            and one.principal.kind is PrincipalKind.WORKER_TOKEN
        )

    async def person(self) -> tuple[str, str]:
        """Somebody new in our tenant: their user id and email; the password is PASSWORD."""
        user_id, _ = await self.world.person(self.ours, "member")
        listed = await self.world.call(self.world.admin, "GET", "/api/users")
        users = listed.raise_for_status().json()["users"]
        return user_id, next(str(one["email"]) for one in users if one["user_id"] == user_id)

    async def logged_in(self, email: str) -> tuple[str, str]:
        """A token and the refresh cookie, as `name=value`, of one more login."""
        form = {"username": email, "password": PASSWORD}
        answer = (await self.http.post("/auth/jwt/login", data=form)).raise_for_status()
        self.http.cookies.clear()
        return answer.json()["access_token"], cookie_of(answer)

    async def session(self, email: str, **headers: str) -> str:
        """The session cookie of one more login with the form, as `name=value`."""
        form = {"email": email, "password": PASSWORD}
        answer = (await self.http.post("/login", data=form, headers=headers)).raise_for_status()
        self.http.cookies.clear()
        return cookie_of(answer)

    async def me(self, token: str) -> httpx2.Response:
        """Who a bearer is."""
        return await self.http.get(
            "/api/me", headers={b"Authorization": b"Bearer " + token.encode()}
        )

    @asynccontextmanager
    async def database(self) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
        """The platform's own, as its administrator: to make what would take days to come about."""
        port = self.platform.processes.ports[0]
        password = StateDir(self.platform.folder).secrets.get("postgres-admin")
        connection = await asyncpg.connect(
            f"postgresql://spaces_admin:{password}@127.0.0.1:{port}/{DATABASE}"
        )
        try:
            yield connection
        finally:
            await connection.close()

    # Judging

    def refused(
        self, case: str, answer: httpx2.Response, statuses: Iterable[int] = (401, 403, 404)
    ) -> None:
        """The attack must have failed, and with one of these."""
        self.found.attempts += 1
        if answer.status_code < 400:
            self.found.wrongly_allowed.append(f"{case}: {answer.status_code} {answer.text[:200]}")
        elif answer.status_code not in statuses:
            self.found.errors.append(f"{case}: {answer.status_code} {answer.text[:200]}")

    def told(self, case: str, answer: dict[str, Any], *codes: str) -> None:
        """The same for the first frame of a socket."""
        self.found.attempts += 1
        if answer.get("type") in ("ready", "registered"):
            self.found.wrongly_allowed.append(f"{case}: {answer}")
        elif answer.get("code") not in codes:
            self.found.errors.append(f"{case}: {answer}")

    def holds(self, case: str, right: bool, said: object = "") -> None:
        """Something that an attack must not have brought about."""
        self.found.attempts += 1
        if not right:
            self.found.wrongly_allowed.append(f"{case}: {said}")

    def works(self, case: str, right: bool, said: object = "") -> None:
        """A control: what is right must still work, or the refusals mean nothing."""
        self.found.attempts += 1
        if not right:
            self.found.wrongly_refused.append(f"{case}: {said}")


def cookie_of(answer: httpx2.Response) -> str:
    """The one cookie that an answer sets, as `name=value`."""
    return str(answer.headers["set-cookie"]).partition(";")[0]


async def first_frame(
    url: str, path: str, frame: dict[str, Any], *, origin: str | None = None
) -> dict[str, Any]:
    """What a socket answers to its first frame; the code of the refusal when it is not opened at all."""
    address = url.replace("http", "ws", 1) + path
    try:
        async with connect(
            address,
            subprotocols=[Subprotocol(PROTOCOL)],
            origin=None if origin is None else Origin(origin),
            proxy=None,
            open_timeout=ANSWER_S,
        ) as socket:
            await socket.send(json.dumps(frame))
            answer: dict[str, Any] = json.loads(await socket.recv())
            return answer
    except InvalidStatus as error:
        body = error.response.body or b"{}"
        return {"type": "refused", "code": json.loads(body).get("code")}
    except ConnectionClosed as error:
        return {"type": "closed", "code": error.rcvd.reason if error.rcvd else "lost"}


def registration(token: str, space: str) -> dict[str, Any]:
    """A worker's first frame."""
    return {
        "type": "register",
        "token": token,
        "spaces": [space],
        "instance_id": new_id(),
        "agent": {"version": "1"},
        "resume": {"secret": new_id()},
    }


@asynccontextmanager
async def opened(world: World) -> AsyncIterator[World]:
    """A world that was built before, in the event loop of now."""
    world.http = httpx2.AsyncClient(base_url=world.url, trust_env=False, timeout=60)
    try:
        yield world
    finally:
        await world.close()


async def built(platform: Platform) -> World:
    """Two new tenants on a running platform."""
    world = World(platform.gateway_url, platform.admin_key)
    try:
        await world.build()
    finally:
        await world.close()
    return world
