"""People sign in and out over HTTP: what they send, what they get, and what their browser keeps."""

import json
from typing import Any

import httpx2
import pytest

from spaces_contracts.access import CreateCredential, Permission, Role
from spaces_contracts.message import Command
from spaces_contracts.users import (
    EndLogin,
    LogIn,
    RefreshLogin,
    RegisterUser,
    UpdateUser,
    password_digest,
)
from spaces_gateway.access import sha256_hex
from tests.integration.gateway.conftest import ADMIN, USER, Running
from tests.support.keys import bearer

EMAIL, PASSWORD = "ada@example.org", "nine sheep on a hill"
LOGIN = {"username": EMAIL, "password": PASSWORD}
NOBODY = {"authorization": ""}
EVIL = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}


def asked(running: Running, kind: type[Command[Any]]) -> list[Any]:
    return [command for command in running.backends.asked if isinstance(command, kind)]


def browser(running: Running) -> httpx2.AsyncClient:
    """A client that keeps cookies and sends no key."""
    return httpx2.AsyncClient(base_url=running.gateway.server.url, trust_env=False)


def refused(answer: httpx2.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["code"]


def token_of(answer: httpx2.Response) -> dict[str, str]:
    assert answer.status_code == 200, answer.text
    return {"authorization": f"Bearer {answer.json()['access_token']}"}


# Registering


async def test_somebody_registers_and_the_password_stays_here(running: Running) -> None:
    body = {"email": " Bob@Example.org", "password": PASSWORD, "tenant_name": "engines"}
    answer = await running.post("/auth/register", json=body, headers=NOBODY)
    assert (answer.status_code, answer.json()["email"]) == (201, "bob@example.org")
    (command,) = asked(running, RegisterUser)
    assert command.password_digest == password_digest(PASSWORD)
    assert (command.tenant_name, command.invite_sha256) == ("engines", None)
    assert command.client_address == "127.0.0.1"
    assert PASSWORD not in command.model_dump_json() + answer.text
    again = await running.post("/auth/register", json=body, headers=NOBODY)
    assert refused(again) == (409, "email_taken")


async def test_a_page_learns_who_may_register_and_what_a_caller_may(running: Running) -> None:
    answer = await running.get("/auth/registration", headers={"authorization": ""})
    assert answer.json()["registration"] == "invite"
    me = (await running.get("/api/me")).json()
    assert "requests:write" in me["permissions"]
    assert "users:manage" not in me["permissions"]


async def test_an_invitation_travels_as_its_hash(running: Running) -> None:
    made = await running.post("/api/invites", json={"role": "member"}, headers=await owner(running))
    secret = made.json()["secret"]
    body = {"email": "bob@example.org", "password": PASSWORD, "invite": secret}
    await running.post("/auth/register", json=body, headers=NOBODY)
    assert asked(running, RegisterUser)[0].invite_sha256 == sha256_hex(secret)


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"password": "short"}, "#/password"),
        ({"password": "x" * 257}, "#/password"),
        ({"password": "password123"}, "#/password"),
        ({"password": "bob@example.org"}, "#/password"),
        ({"password": None}, "#/password"),
        ({"password": "\ud800" * 12}, "#/password"),
        ({"email": "nobody"}, "#/email"),
        ({"email": "a @b"}, "#/email"),
        ({"username": "\0"}, "#/username"),
        ({"tenant_name": "a/b"}, "#/tenant_name"),
        ({"role": "admin"}, "#/role"),
    ],
)
async def test_what_is_wrong_with_a_registration_is_said_by_field(
    running: Running, change: dict[str, Any], pointer: str
) -> None:
    body = {"email": "bob@example.org", "password": PASSWORD} | change
    answer = await running.post("/auth/register", content=json.dumps(body), headers=NOBODY)
    assert refused(answer) == (422, "invalid_request")
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    assert not asked(running, RegisterUser)


# Access tokens and the refresh cookie


@pytest.mark.parametrize(
    "form", [{"data": LOGIN}, {"files": {k: (None, v) for k, v in LOGIN.items()}}]
)
async def test_a_form_gives_a_token_and_a_cookie_that_refreshes_it(
    running: Running, form: dict[str, Any]
) -> None:
    async with browser(running) as client:
        answer = await client.post("/auth/jwt/login", **form)
        assert answer.json().keys() == {"access_token", "token_type", "expires_in"}
        assert (answer.json()["token_type"], answer.json()["expires_in"]) == ("bearer", 900)
        assert answer.headers["cache-control"] == "no-store"
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("spaces_refresh=sps_")
        assert "; HttpOnly; Max-Age=2592000; Path=/auth/jwt; SameSite=strict" in cookie
        (command,) = asked(running, LogIn)
        assert command.secret_sha256 == sha256_hex(client.cookies["spaces_refresh"])
        assert command.user_agent.startswith("python-httpx")
        assert PASSWORD not in command.model_dump_json()
        me = await client.get("/api/me", headers=token_of(answer))
        assert (me.json()["kind"], me.json()["role"]) == ("user", "owner")
        first = client.cookies["spaces_refresh"]
        again = await client.post("/auth/jwt/refresh")
        assert client.cookies["spaces_refresh"] != first
        assert (await client.get("/api/me", headers=token_of(again))).status_code == 200


async def test_a_refresh_secret_works_once(running: Running) -> None:
    async with browser(running) as client:
        await client.post("/auth/jwt/login", data=LOGIN)
        old = {"cookie": f"spaces_refresh={client.cookies['spaces_refresh']}"}
    async with browser(running) as client:
        assert (await client.post("/auth/jwt/refresh", headers=old)).status_code == 200
    async with browser(running) as client:
        assert refused(await client.post("/auth/jwt/refresh", headers=old)) == (
            401,
            "unauthenticated",
        )


@pytest.mark.parametrize("cookie", ["", "spaces_refresh=x", "spaces_refresh=", "spaces_session=x"])
async def test_nothing_is_refreshed_without_the_cookie(running: Running, cookie: str) -> None:
    headers = {"cookie": cookie} if cookie else {}
    answer = await running.post("/auth/jwt/refresh", headers=headers)
    assert refused(answer) == (401, "unauthenticated")
    assert not asked(running, RefreshLogin)


@pytest.mark.parametrize(
    "path", ["/auth/jwt/login", "/auth/jwt/refresh", "/auth/jwt/logout", "/login"]
)
async def test_a_page_of_another_site_signs_nobody_in_or_out(running: Running, path: str) -> None:
    async with browser(running) as client:
        await client.post("/auth/jwt/login", data=LOGIN)
        await client.post("/login", data=LOGIN)
        before = len(running.backends.asked)
        answer = await client.post(path, data=LOGIN, headers=EVIL)
        assert refused(answer) == (403, "cross_site")
        assert "set-cookie" not in answer.headers
        assert len(running.backends.asked) == before


@pytest.mark.parametrize(
    "form",
    [
        {"data": {"username": EMAIL, "password": "wrong one!!"}},
        {"data": {"username": "nobody@example.org", "password": PASSWORD}},
    ],
)
async def test_a_wrong_password_and_a_wrong_name_are_told_alike(
    running: Running, form: dict[str, Any]
) -> None:
    for path in ("/auth/jwt/login", "/login"):
        answer = await running.post(path, headers=NOBODY, **form)
        assert refused(answer) == (401, "login_failed")
        assert answer.json()["detail"] == "Name or password is wrong."
        assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "body",
    [
        {"json": LOGIN},
        {"data": {"username": EMAIL}},
        {"data": {"username": EMAIL, "password": "x" * 300}},
        {"content": b"username=%ff", "headers": {"content-type": "application/x-www-form-urlencoded"}},
        {"content": b"--x\r\n", "headers": {"content-type": "multipart/form-data; boundary=x"}},
        {"files": {"username": (None, EMAIL), "password": ("a.txt", b"nine sheep on a hill")}},
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/auth/jwt/login", "/login"])
async def test_what_is_no_login_form_is_refused(
    running: Running, body: dict[str, Any], path: str
) -> None:
    assert refused(await running.client.post(path, **body)) == (422, "invalid_request")
    assert not asked(running, LogIn)


async def test_signing_out_ends_the_login_and_drops_both_cookies(running: Running) -> None:
    async with browser(running) as client:
        token = token_of(await client.post("/auth/jwt/login", data=LOGIN))
        await client.post("/login", data=LOGIN)
        assert len(client.cookies) == 2
        answer = await client.post("/auth/jwt/logout", headers=token)
        assert answer.status_code == 204
        assert len(client.cookies) == 0
        assert len(asked(running, EndLogin)) == 2
        assert refused(await client.get("/api/me", headers=token)) == (401, "token_revoked")


async def test_the_refresh_cookie_is_enough_to_sign_out(running: Running) -> None:
    async with browser(running) as client:
        token = token_of(await client.post("/auth/jwt/login", data=LOGIN))
        assert (await client.post("/auth/jwt/logout")).status_code == 204
        assert refused(await client.get("/api/me", headers=token)) == (401, "token_revoked")


async def test_cookies_of_a_login_that_has_ended_are_dropped_all_the_same(running: Running) -> None:
    async with browser(running) as client:
        await client.post("/auth/jwt/login", data=LOGIN)
        running.backends.people.logins.clear()
        assert (await client.post("/auth/jwt/logout")).status_code == 204
        assert len(client.cookies) == 0


async def test_only_people_sign_out(running: Running) -> None:
    assert refused(await running.post("/auth/jwt/logout", headers=NOBODY))[0] == 401
    assert refused(await running.post("/auth/jwt/logout")) == (403, "forbidden")
    assert not asked(running, EndLogin)


async def test_the_public_keys_are_published(running: Running) -> None:
    answer = await running.get("/.well-known/jwks.json", headers=NOBODY)
    (key,) = answer.json()["keys"]
    assert set(key) == {"kid", "x", "kty", "crv", "alg", "use"}
    assert key["kid"] == running.backends.people.signer.kid


# One's own account and other people


async def owner(running: Running) -> dict[str, str]:
    return token_of(await running.post("/auth/jwt/login", data=LOGIN, headers=NOBODY))


async def member(running: Running) -> dict[str, str]:
    running.backends.people.add("mem@example.org", PASSWORD, Role.MEMBER)
    form = {"username": "mem@example.org", "password": PASSWORD}
    return token_of(await running.post("/auth/jwt/login", data=form, headers=NOBODY))


async def test_a_password_is_changed_with_the_old_one(running: Running) -> None:
    me = await owner(running)
    body = {"current_password": "not the one", "new_password": "ten goats in a valley"}
    assert refused(await running.post("/auth/password", json=body, headers=me)) == (
        401,
        "login_failed",
    )
    body["current_password"] = PASSWORD
    assert (await running.post("/auth/password", json=body, headers=me)).status_code == 204
    body["new_password"] = EMAIL
    answer = await running.post("/auth/password", json=body, headers=me)
    assert [error["pointer"] for error in answer.json()["errors"]] == ["#/new_password"]


async def test_a_person_sees_and_ends_their_logins(running: Running) -> None:
    me, there = await owner(running), await owner(running)
    login_id = (await running.get("/api/me", headers=there)).json()["principal_id"]
    listed = (await running.get("/auth/sessions", headers=me)).json()["logins"]
    assert login_id in [login["login_id"] for login in listed]
    answer = await running.client.delete(f"/auth/sessions/{login_id}", headers=me)
    assert answer.status_code == 204
    assert refused(await running.get("/api/me", headers=there)) == (401, "token_revoked")
    assert (await running.get("/api/me", headers=me)).status_code == 200


async def test_owners_change_people_and_members_do_not(running: Running) -> None:
    one = running.backends.people.users[EMAIL].user_id
    change = {"role": "member", "disabled": True}
    path = f"/api/users/{one}"
    answer = await running.client.patch(path, json=change, headers=await owner(running))
    assert (answer.status_code, answer.json()["user_id"]) == (200, one)
    (command,) = asked(running, UpdateUser)
    assert (command.role, command.is_disabled) == (Role.MEMBER, True)
    for headers in (await member(running), USER):
        answer = await running.client.patch(path, json=change, headers=headers)
        assert refused(answer) == (403, "forbidden")
        assert answer.json()["facts"] == {"needs": ["users:manage"]}
    assert (await running.get("/api/users", headers=ADMIN)).status_code == 200


@pytest.mark.parametrize("path", ["/auth/sessions", "/auth/password"])
async def test_a_key_has_no_account(running: Running, path: str) -> None:
    method = "POST" if path.endswith("password") else "GET"
    body = {"current_password": PASSWORD, "new_password": "ten goats in a valley"}
    answer = await running.client.request(method, path, json=body)
    assert refused(answer) == (403, "forbidden")


async def test_a_key_with_scopes_does_only_that(running: Running) -> None:
    key = running.backends.add_principal("reader", running.backends.user.kind)
    scoped = key.model_copy(update={"scopes": [Permission.REQUESTS_READ]})
    for digest, principal in list(running.backends.principals.items()):
        if principal is key:
            running.backends.principals[digest] = scoped
    running.backends.add_space("poems")
    assert (await running.get("/api/requests", headers=bearer("reader"))).status_code == 200
    for path in ("/api/spaces/poems/requests", "/websockets/submit/poems"):
        answer = await running.post(path, json={"prompt": "hi"}, headers=bearer("reader"))
        assert refused(answer) == (403, "forbidden")
        assert answer.json()["facts"] == {"needs": ["requests:write"]}


async def test_a_key_is_made_with_scopes_and_an_end(running: Running) -> None:
    body = {"name": "k", "scopes": ["requests:read"], "expires_in_s": 60}
    answer = await running.post("/api/keys", json=body, headers=await owner(running))
    assert answer.status_code == 201, answer.text
    (command,) = asked(running, CreateCredential)
    assert (command.scopes, command.expires_in_s) == ([Permission.REQUESTS_READ], 60)
    assert command.actor.client_address == "127.0.0.1"


async def test_a_worker_token_comes_with_the_line_that_serves_its_spaces(running: Running) -> None:
    body = {"name": "host 1", "spaces": ["poems", "team/o'cr & co"]}
    made = (await running.post("/api/worker-tokens", json=body, headers=ADMIN)).json()
    assert made["command"] == (
        f"SPACES_WORKER_TOKEN={made['secret']} spaces-worker run model.py "
        f"--gateway {running.gateway.server.url} --space poems --space 'team/o'\"'\"'cr & co'"
    )
