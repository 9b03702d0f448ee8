"""Behind a proxy that ends TLS: whose address is noted, and how cookies are marked."""

from pathlib import Path

import pytest

from spaces_contracts.users import LogIn
from tests.integration.gateway.conftest import running_with, settings
from tests.integration.gateway.test_accounts import LOGIN, asked, browser, refused

FORWARDED = {"x-forwarded-for": "203.0.113.9, 198.51.100.1", "x-forwarded-proto": "https"}


@pytest.mark.parametrize("trusted", [["127.0.0.0/8"], []], ids=["trusted", "a stranger"])
async def test_only_a_trusted_proxy_says_who_calls_and_how(
    tmp_path: Path, trusted: list[str]
) -> None:
    chosen = settings(tmp_path).model_dump() | {"trusted_proxies": trusted}
    async with running_with(settings(tmp_path).model_validate(chosen)) as running:
        answer = await running.post("/login", data=LOGIN, headers=FORWARDED)
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("__Host-spaces_session=") is bool(trusted)
        assert ("; Secure" in cookie) is bool(trusted)
        (command,) = asked(running, LogIn)
        assert command.client_address == ("198.51.100.1" if trusted else "127.0.0.1")


async def test_over_tls_a_cookie_that_was_set_without_it_is_nobodys(tmp_path: Path) -> None:
    chosen = settings(tmp_path).model_dump() | {"trusted_proxies": ["127.0.0.1"]}
    async with running_with(settings(tmp_path).model_validate(chosen)) as running:
        async with browser(running) as client:
            await client.post("/login", data=LOGIN)
            plain = f"spaces_session={client.cookies['spaces_session']}"
        call = {"cookie": plain} | FORWARDED
        path = "/websockets/status?request_id=01m7yzzzwxv8wkbzbk3ds3mfve"
        answer = await running.get(path, headers=call | {"authorization": ""})
        assert refused(answer) == (401, "unauthenticated")
        async with browser(running) as client:
            assert refused(await client.get(path, headers=call)) == (401, "unauthenticated")
            known = await client.get(path, headers={"cookie": plain})
            assert refused(known) == (404, "request_not_found")
