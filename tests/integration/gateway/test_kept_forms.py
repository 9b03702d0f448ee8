"""The forms of the former platform: a script that used them runs as it did."""

import pytest

from spaces_contracts.keys import kind_of
from spaces_contracts.spaces import CreateSpace
from spaces_contracts.users import LogIn
from spaces_gateway.access import sha256_hex
from tests.integration.gateway.conftest import ADMIN, Running
from tests.integration.gateway.test_accounts import (
    EMAIL,
    EVIL,
    LOGIN,
    PASSWORD,
    asked,
    browser,
    member,
    refused,
)
from tests.integration.gateway.test_covers import PNG


async def test_the_former_script_signs_in_adds_a_space_submits_and_polls(running: Running) -> None:
    async with browser(running) as client:
        answer = await client.post("/login", data={"email": EMAIL, "password": PASSWORD})
        assert answer.json() == {"success": True, "username": EMAIL}
        assert asked(running, LogIn)[0].is_session
        form = {
            "name": "poems", "description": "", "card_type": "websockets", "cover": "",
            "ws_enable_prompt": "on", "ws_enable_image": "true", "ws_enable_audio": "",
        }  # fmt: skip
        added = await client.post("/admin/space/add", data=form)
        assert added.json() == {
            "success": True,
            "space_id": asked_space(running),
            "name": "poems",
        }
        assert [str(one) for one in asked(running, CreateSpace)[0].inputs] == ["prompt", "image"]
        path = f"/websockets/submit/{added.json()['space_id']}"
        submitted = (await client.post(path, data={"prompt": "hi"})).json()
        assert submitted["success"]
        query = {"request_id": submitted["request_id"]}
        await running.backends.finish(submitted["request_id"], '{"text":"roses"}')
        status = (await client.get("/websockets/status", params=query)).json()
        assert (status["status"], status["result"]["text"]) == ("completed", "roses")


def asked_space(running: Running) -> str:
    return next(iter(running.backends.spaces))


async def test_a_browser_that_signs_in_goes_to_the_start_page(running: Running) -> None:
    async with browser(running) as client:
        headers = {"accept": "text/html,*/*", "origin": running.gateway.server.url}
        answer = await client.post("/login", data=LOGIN, headers=headers)
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert "spaces_session=sps_" in answer.headers["set-cookie"]


async def test_a_session_that_was_there_before_is_replaced(running: Running) -> None:
    """An attacker who planted it would share the login otherwise."""
    planted = f"spaces_session={'x' * 20}"
    answer = await running.client.post("/login", data=LOGIN, headers={"cookie": planted})
    given = answer.headers["set-cookie"].partition(";")[0].partition("=")[2]
    assert kind_of(given) is not None
    assert asked(running, LogIn)[0].secret_sha256 == sha256_hex(given)


async def test_a_session_cookie_opens_the_kept_routes_and_nothing_else(running: Running) -> None:
    space = running.backends.add_space("poems")
    async with browser(running) as client:
        await client.post("/login", data=LOGIN)
        path = f"/websockets/submit/{space.space_id}"
        assert (await client.post(path, data={"prompt": "hi"})).status_code == 200
        for method, other in (
            ("GET", "/api/me"), ("GET", "/api/spaces"), ("POST", "/api/keys"), ("GET", "/auth/sessions"),
            ("POST", f"/api/spaces/{space.space_id}/requests"), ("POST", "/auth/jwt/refresh"),
        ):  # fmt: skip
            answer = await client.request(method, other, json={"prompt": "hi"})
            assert refused(answer) == (401, "unauthenticated"), other
        as_bearer = {"authorization": f"Bearer {client.cookies['spaces_session']}"}
        assert refused(await client.get("/api/me", headers=as_bearer)) == (401, "unauthenticated")


@pytest.mark.parametrize("path", ["/admin/space/add", "/websockets/submit/poems"])
async def test_a_page_of_another_site_uses_nobodys_session(running: Running, path: str) -> None:
    running.backends.add_space("poems")
    async with browser(running) as client:
        await client.post("/login", data=LOGIN)
        form = {"name": "mine now", "prompt": "hi"}
        assert refused(await client.post(path, data=form, headers=EVIL)) == (403, "cross_site")
        assert not asked(running, CreateSpace)
        # A key is no cookie: whoever holds it may call from where they like.
        answer = await client.post(path, data=form, headers=EVIL | ADMIN)
        assert answer.status_code == 200


async def test_members_add_no_spaces(running: Running) -> None:
    answer = await running.post(
        "/admin/space/add", data={"name": "x"}, headers=await member(running)
    )
    assert refused(answer) == (403, "forbidden")


@pytest.mark.parametrize(
    ("form", "pointer"),
    [
        ({}, "#/name"),
        ({"name": "x", "card_type": "iframe"}, "#/card_type"),
        ({"name": "x", "ws_enable_image": "perhaps"}, "#/ws_enable_image"),
        ({"name": "a/b"}, "#/name"),
    ],
)
async def test_what_is_wrong_with_a_space_form_is_said_in_both_shapes(
    running: Running, form: dict[str, str], pointer: str
) -> None:
    answer = await running.post("/admin/space/add", data=form or {"x": "y"})
    assert refused(answer) == (422, "invalid_request")
    assert answer.json()["success"] is False
    assert answer.json()["errors"][0]["pointer"] == pointer


@pytest.mark.parametrize(
    ("picture", "kept"),
    [(PNG, True), (b"\x89PNG", False), (b"", False), (PNG + bytes(600_000), False)],
)
async def test_a_space_form_may_bring_a_cover_and_no_boxes(
    running: Running, picture: bytes, kept: bool
) -> None:
    files = {"name": (None, "poems"), "cover": ("cover.png", picture, "image/png")}
    answer = await running.post("/admin/space/add", files=files)
    assert answer.json()["success"] is True
    assert [str(one) for one in asked(running, CreateSpace)[0].inputs] == ["prompt"]
    shown = await running.get(f"/api/spaces/{asked_space(running)}/cover")
    assert (shown.status_code, shown.content == picture) == ((200, True) if kept else (404, False))
