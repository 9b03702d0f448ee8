"""People on the real platform: who gets in, what they reach, and how they are shut out."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from spaces_contracts.client_socket import Auth, Ready
from spaces_contracts.identifiers import new_id
from tests.support.api import Api, api, refusal
from tests.support.eventually import eventually
from tests.support.platform import Platform
from tests.support.wire import ClientSocket, client_socket, socket_url

ECHO = Path(__file__).parents[1] / "support/handlers/echo.py"
PASSWORD = "nine sheep on a hill"
ADMIN_EMAIL = "admin@spaces.internal"


@pytest.fixture(scope="module")
def admin_login(platform: Platform) -> dict[str, str]:
    """The form of the admin user whom the registry made at its first start."""
    password = (platform.folder / "admin-password").read_text().strip()
    return {"username": ADMIN_EMAIL, "password": password}


@asynccontextmanager
async def browser(platform: Platform) -> AsyncIterator[httpx2.AsyncClient]:
    """Keeps cookies and has no key."""
    async with httpx2.AsyncClient(
        base_url=platform.gateway_url, trust_env=False, timeout=30
    ) as client:
        yield client


class Person:
    """Somebody in a tenant."""

    def __init__(self, platform: Platform, email: str) -> None:
        self.platform = platform
        self.email = email

    async def token(self) -> str:
        """Signs in once more."""
        async with browser(self.platform) as client:
            form = {"username": self.email, "password": PASSWORD}
            answer = await client.post("/auth/jwt/login", data=form)
            assert answer.status_code == 200, answer.text
            token: str = answer.json()["access_token"]
            return token


async def invited(
    platform: Platform, admin: Api, role: str, tenant_id: str | None = None
) -> tuple[Person, str]:
    """A person with an invitation, in a tenant of their own unless one is named; and the tenant's id."""
    if tenant_id is None:
        tenant_id = (await admin.make("/api/tenants", name=f"tenant {new_id()}"))["tenant_id"]
    secret = (await admin.make("/api/invites", role=role, tenant_id=tenant_id))["secret"]
    email = f"{new_id()}@example.org"
    async with browser(platform) as client:
        body = {"email": email, "password": PASSWORD, "invite": secret}
        answer = await client.post("/auth/register", json=body)
        assert answer.status_code == 201, answer.text
        assert (answer.json()["role"], answer.json()["tenant_id"]) == (role, tenant_id)
        again = await client.post("/auth/register", json=body | {"email": f"x{email}"})
        assert refusal(again)[:2] == (403, "invite_invalid")
    return Person(platform, email), tenant_id


@pytest.mark.timeout(120)
async def test_the_script_of_the_former_platform_runs_as_it_did(
    platform: Platform, admin_login: dict[str, str]
) -> None:
    async with browser(platform) as script:
        assert (await script.post("/login", data=admin_login)).json()["success"]
        form = {"name": "former", "description": "d", "card_type": "websockets", "cover": "",
                "ws_enable_prompt": "on"}  # fmt: skip
        added = (await script.post("/admin/space/add", data=form)).json()
        assert added["success"], added
        space_id = added["space_id"]
        await asyncio.to_thread(
            lambda: platform.start_worker("former", spaces=[space_id], handler=str(ECHO))
        )
        answer = await script.post(f"/websockets/submit/{space_id}", data={"prompt": "hello"})
        request_id = answer.json()["request_id"]

        async def status() -> dict[str, Any]:
            found = await script.get("/websockets/status", params={"request_id": request_id})
            now: dict[str, Any] = found.json()
            assert now["status"] in ("queued", "processing", "completed"), now
            return now if now["status"] == "completed" else {}

        ended = await eventually(status, timeout_s=30)
        assert ended["result"]["echo"] == "hello"
        again = await script.post("/admin/space/add", data=form)
        assert refusal(again)[:2] == (409, "space_name_taken")
        assert again.json()["success"] is False
        assert (await script.post("/auth/jwt/logout")).status_code == 204
        gone = await script.get("/websockets/status", params={"request_id": request_id})
        assert refusal(gone)[:2] == (401, "unauthenticated")
    await asyncio.to_thread(platform.stop_worker, "former")


async def test_nobody_registers_without_an_invitation(platform: Platform) -> None:
    async with browser(platform) as client:
        body = {"email": "walkin@example.org", "password": PASSWORD}
        answer = await client.post("/auth/register", json=body)
    assert refusal(answer)[:2] == (403, "registration_closed")


async def test_what_a_tenant_has_does_not_exist_for_another(platform: Platform, admin: Api) -> None:
    one, _ = await invited(platform, admin, "owner")
    other, _ = await invited(platform, admin, "owner")
    async with (
        api(platform.gateway_url, await one.token()) as mine,
        api(platform.gateway_url, await other.token()) as theirs,
    ):
        space = await mine.make("/api/spaces", name="secret", policy={"when_offline": "queue"})
        request = await mine.submit(space["space_id"])
        key = await mine.make("/api/keys", name="k")
        me = (await mine.http.get("/api/me")).json()
        for method, path, body in (
            ("GET", f"/api/spaces/{space['space_id']}", None),
            ("GET", f"/api/spaces/{space['space_id']}/queue", None),
            ("DELETE", f"/api/spaces/{space['space_id']}", None),
            ("POST", f"/api/spaces/{space['space_id']}/requests", {"prompt": "hi"}),
            ("GET", f"/api/requests/{request['request_id']}", None),
            ("POST", f"/api/requests/{request['request_id']}/cancel", None),
            ("DELETE", f"/api/keys/{key['credential']['principal']['principal_id']}", None),
            ("PATCH", f"/api/users/{me['user_id']}", {"disabled": True}),
            ("DELETE", f"/auth/sessions/{me['principal_id']}", None),
        ):
            answer = await theirs.http.request(method, path, json=body)
            assert answer.status_code == 404, (path, answer.text)
        assert [
            user["email"] for user in (await theirs.http.get("/api/users")).json()["users"]
        ] == [other.email]
        assert (await theirs.http.get("/api/spaces")).json()["spaces"] == []
        listed = (await mine.http.get("/api/audit")).json()["entries"]
        assert "CreateSpace" in [entry["action"] for entry in listed]
        assert {entry["client_address"] for entry in listed if entry["user_id"]} == {"127.0.0.1"}
        foreign = (await theirs.http.get("/api/audit")).json()["entries"]
        assert me["user_id"] not in [entry["user_id"] for entry in foreign]


async def test_a_key_never_does_more_than_who_made_it(platform: Platform, admin: Api) -> None:
    owner, tenant_id = await invited(platform, admin, "owner")
    member, _ = await invited(platform, admin, "member", tenant_id)
    async with (
        api(platform.gateway_url, await owner.token()) as boss,
        api(platform.gateway_url, await member.token()) as clerk,
    ):
        space = await boss.make("/api/spaces", name="s", policy={"when_offline": "queue"})
        reader = (await boss.make("/api/keys", name="r", scopes=["requests:read"]))["secret"]
        clerks = (await clerk.make("/api/keys", name="c"))["secret"]
        changer = (await boss.make("/api/keys", name="w", scopes=["spaces:write"]))["secret"]
        watcher = (await boss.make("/api/keys", name="l", scopes=["workers:read"]))["secret"]
    place = f"/api/spaces/{space['space_id']}"
    async with api(platform.gateway_url, changer) as only_changes:
        changed = await only_changes.http.patch(place, json={"description": "d"})
        assert changed.status_code == 200, changed.text
        assert refusal(await only_changes.http.get("/api/requests"))[1] == "forbidden"
    async with api(platform.gateway_url, watcher) as only_watches:
        assert (await only_watches.http.get(place + "/connections")).status_code == 200
    async with api(platform.gateway_url, reader) as only_reads:
        mine = {"space": space["space_id"]}
        assert (await only_reads.http.get("/api/requests", params=mine)).status_code == 200
        assert refusal(await only_reads.try_submit(space["space_id"], prompt="x"))[1] == "forbidden"
    async with api(platform.gateway_url, clerks) as clerks_key:
        await clerks_key.submit(space["space_id"])
        change = await clerks_key.http.patch(place, json={"enabled": False})
        assert refusal(change)[1] == "forbidden"


# Cookies


async def test_each_cookie_is_good_for_its_own_purpose_only(
    platform: Platform, admin_login: dict[str, str]
) -> None:
    async with browser(platform) as client:
        await client.post("/auth/jwt/login", data=admin_login)
        await client.post("/login", data=admin_login)
        refresh, session = client.cookies["spaces_refresh"], client.cookies["spaces_session"]
    async with browser(platform) as client:
        crossed = {"cookie": f"spaces_session={refresh}"}
        answer = await client.get("/websockets/status?request_id=" + new_id(), headers=crossed)
        assert refusal(answer)[0] == 401
        crossed = {"cookie": f"spaces_refresh={session}"}
        assert refusal(await client.post("/auth/jwt/refresh", headers=crossed))[0] == 401
        for secret in (refresh, session):
            bearer = {"authorization": f"Bearer {secret}"}
            assert refusal(await client.get("/api/me", headers=bearer))[0] == 401


async def test_an_access_token_is_refreshed_and_the_cookie_moves_on(
    platform: Platform, admin_login: dict[str, str]
) -> None:
    async with browser(platform) as client:
        first = await client.post("/auth/jwt/login", data=admin_login)
        old = client.cookies["spaces_refresh"]
        second = await client.post("/auth/jwt/refresh")
        assert client.cookies["spaces_refresh"] != old
        for answer in (first, second):
            bearer = {"authorization": f"Bearer {answer.json()['access_token']}"}
            assert (await client.get("/api/me", headers=bearer)).json()["role"] == "admin"


async def test_guesses_are_slowed_down(platform: Platform, admin: Api) -> None:
    person, _ = await invited(platform, admin, "member")
    async with browser(platform) as client:
        form = {"username": person.email, "password": "not the password"}
        answers = [await client.post("/auth/jwt/login", data=form) for _ in range(12)]
        codes = [refusal(answer)[:2] for answer in answers]
        assert codes[0] == (401, "login_failed")
        assert codes[-1] == (429, "login_throttled")
        assert int(answers[-1].headers["retry-after"]) >= 1
        right = await client.post("/auth/jwt/login", data=form | {"password": PASSWORD})
        assert refusal(right)[1] == "login_throttled"


# Shutting out


async def closed_by(client: ClientSocket) -> tuple[int | None, float]:
    """The close code, and how long it took."""
    started = time.monotonic()
    with suppress(ConnectionClosed):
        async for _frame in client.connection:
            continue
    return client.connection.close_code, time.monotonic() - started


@pytest.mark.parametrize("way", ["log out", "end the login", "disable", "change the password"])
async def test_who_is_shut_out_loses_what_is_open_at_once(
    platform: Platform, admin: Api, way: str
) -> None:
    person, _ = await invited(platform, admin, "member")
    token, other = await person.token(), await person.token()
    async with (
        api(platform.gateway_url, token) as mine,
        api(platform.gateway_url, other) as elsewhere,
        client_socket(platform.gateway_url, token) as by_token,
    ):
        me = (await mine.http.get("/api/me")).json()
        ticket = (await mine.make("/api/ws-ticket"))["ticket"]
        async with connect(socket_url(platform.gateway_url, "/ws"), proxy=None) as connection:
            by_ticket = ClientSocket(connection)
            await by_ticket.send(Auth(ticket=ticket))
            await by_ticket.expect(Ready)
            if way == "log out":
                answer = await mine.http.post("/auth/jwt/logout")
            elif way == "end the login":
                answer = await elsewhere.http.delete(f"/auth/sessions/{me['principal_id']}")
            elif way == "disable":
                answer = await admin.http.patch(
                    f"/api/users/{me['user_id']}", json={"disabled": True}
                )
            else:
                body = {"current_password": PASSWORD, "new_password": "ten goats in a valley"}
                answer = await elsewhere.http.post("/auth/password", json=body)
            assert answer.status_code in (200, 204), answer.text
            for code, seconds in await asyncio.gather(closed_by(by_token), closed_by(by_ticket)):
                assert code == 4401
                assert seconds < 1
        assert refusal(await mine.http.get("/api/me"))[:2] == (401, "token_revoked")
        assert (await elsewhere.http.get("/api/me")).is_success is (way != "disable")


@pytest.fixture
def run_line(tmp_path: Path) -> Iterator[Any]:
    """Runs one line in a shell as a person would, beside a model.py, and stops it at the end."""
    shutil.copy(ECHO, tmp_path / "model.py")
    started: list[subprocess.Popen[bytes]] = []

    def run(line: str) -> None:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        env = {"PATH": path, "HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path)}
        with (tmp_path / "log").open("wb") as log:
            options: dict[str, Any] = {"cwd": tmp_path, "env": env, "start_new_session": True}
            started.append(subprocess.Popen(line, shell=True, stdout=log, stderr=log, **options))

    yield run
    for process in started:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


@pytest.mark.timeout(120)
async def test_the_line_that_comes_with_a_worker_token_serves_its_space(
    platform: Platform, admin: Api, run_line: Any
) -> None:
    owner, _ = await invited(platform, admin, "owner")
    async with api(platform.gateway_url, await owner.token()) as mine:
        space = await mine.make("/api/spaces", name="it's mine", policy={"when_offline": "queue"})
        token = await mine.make("/api/worker-tokens", name="host", spaces=["it's mine"])
        run_line(token["command"])
        ended = await mine.ended((await mine.submit(space["space_id"], "hello"))["request_id"])
        assert ended["output"]["echo"] == "hello"
