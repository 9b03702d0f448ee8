"""What browsers are told, which pages may call, and bodies that would have to be unpacked."""

import base64
import gzip
import hashlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest

from spaces_chassis.settings import SettingsError
from spaces_chassis.testing import MemoryBroker, MemoryBus
from spaces_gateway.app import build
from spaces_gateway.settings import GatewaySettings
from tests.integration.gateway.backends import Backends
from tests.integration.gateway.conftest import USER, Running, settings, start

PAGE = "https://app.example.org"
NOT_ALLOWED = "https://app.example.org.evil.test"
HTML = {"accept": "text/html"}
MakeRunning = Callable[..., Awaitable[Running]]


@pytest.fixture
async def make_running(tmp_path: Path) -> AsyncIterator[MakeRunning]:
    """A gateway with settings of the test's own."""
    async with AsyncExitStack() as stack:

        async def make(**changes: Any) -> Running:
            broker = MemoryBroker()
            backends = Backends(MemoryBus(broker))
            gateway = build(settings(tmp_path, **changes), MemoryBus(broker))
            await backends.start()
            stack.push_async_callback(backends.bus.stop)
            await start(stack, gateway)
            client = httpx2.AsyncClient(base_url=gateway.server.url, headers=USER, trust_env=False)
            await stack.enter_async_context(client)
            return Running(gateway, backends, broker, client)

        yield make


# Pages


@pytest.mark.parametrize("path", ["/", "/docs", "/docs/problems"])
async def test_a_page_runs_nothing_and_is_framed_by_nobody(running: Running, path: str) -> None:
    answer = await running.get(path, headers=HTML)
    policy = answer.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert policy.startswith("default-src 'none'; ")
    for part in ("base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"):
        assert part in policy
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["permissions-policy"].startswith("camera=()")
    assert answer.headers["cross-origin-opener-policy"] == "same-origin"


@pytest.mark.parametrize("path", ["/", "/docs", "/docs/problems"])
async def test_a_pages_own_style_is_the_one_that_its_policy_names(
    running: Running, path: str
) -> None:
    answer = await running.get(path, headers=HTML)
    (style,) = re.findall(r"<style>(.*?)</style>", answer.text, re.S)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in answer.headers["content-security-policy"]
    assert not re.search(r"<script|\son[a-z]+=|style=|javascript:", answer.text, re.I)


@pytest.mark.parametrize("path", ["/health", "/api/me", "/nowhere", "/openapi.json", "/metrics"])
async def test_no_answer_is_taken_for_another_type(running: Running, path: str) -> None:
    answer = await running.get(path)
    assert answer.headers.get_list("x-content-type-options") == ["nosniff"]
    assert "strict-transport-security" not in answer.headers  # nobody promised TLS


async def test_hot_answers_have_the_header_too(running: Running) -> None:
    running.backends.add_space("poems")
    answer = await running.post("/api/spaces/poems/requests", json={"prompt": "hi"})
    assert answer.status_code == 202
    assert answer.headers.get_list("x-content-type-options") == ["nosniff"]


async def test_a_public_https_address_is_kept_to(make_running: MakeRunning) -> None:
    running = await make_running(public_url="https://spaces.example.org")
    answer = await running.get("/health")
    assert answer.headers["strict-transport-security"] == "max-age=31536000"


@pytest.mark.parametrize(
    ("media_type", "content"),
    [
        ("text/html", b"<html><script>alert(1)</script></html>"),
        ("image/svg+xml", b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>"),
        ("application/xhtml+xml", b"<html xmlns='http://www.w3.org/1999/xhtml'></html>"),
    ],
)
async def test_an_upload_that_is_a_page_is_saved_and_never_shown(
    running: Running, media_type: str, content: bytes
) -> None:
    headers = {"content-type": media_type, "x-file-name": "a%22%3B.svg"}
    answer = await running.post("/api/files", content=content, headers=headers)
    file_id = answer.json()["file_id"]
    shown = await running.get(f"/api/files/{file_id}")
    assert shown.headers["content-disposition"] == "attachment; filename*=UTF-8''a%22%3B.svg"
    assert shown.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert shown.headers.get_list("x-content-type-options") == ["nosniff"]
    assert shown.headers["referrer-policy"] == "no-referrer"
    assert shown.headers["x-frame-options"] == "DENY"


# Pages of other origins


async def test_without_a_list_no_other_page_may_read_anything(running: Running) -> None:
    answer = await running.get("/api/me", headers={"origin": PAGE})
    assert not [name for name in answer.headers if name.startswith("access-control-")]
    asked = {"origin": PAGE, "access-control-request-method": "POST"}
    preflight = await running.client.options("/api/me", headers=asked)
    assert preflight.status_code == 405
    assert "access-control-allow-origin" not in preflight.headers


async def test_a_listed_page_may_call_and_read(make_running: MakeRunning) -> None:
    running = await make_running(cors_origins=[PAGE])
    running.backends.add_space("poems")
    asked = {"origin": PAGE, "access-control-request-method": "POST"}
    preflight = await running.client.options("/api/spaces/poems/requests", headers=asked)
    assert preflight.status_code == 200
    assert "authorization" in preflight.headers["access-control-allow-headers"]
    assert "POST" in preflight.headers["access-control-allow-methods"]
    hot = await running.post(
        "/api/spaces/poems/requests", json={"prompt": "hi"}, headers={"origin": PAGE}
    )
    usual = await running.get("/api/me", headers={"origin": PAGE})
    refusal = await running.get("/api/nowhere", headers={"origin": PAGE})
    for answer in (preflight, hot, usual, refusal):
        assert answer.headers["access-control-allow-origin"] == PAGE
        assert answer.headers["vary"] == "Origin"


async def test_no_answer_lets_cookies_come_along(make_running: MakeRunning) -> None:
    for allowed in ([PAGE], ["*"]):
        running = await make_running(cors_origins=allowed)
        for origin in (PAGE, NOT_ALLOWED):
            answer = await running.get("/api/me", headers={"origin": origin})
            assert "access-control-allow-credentials" not in answer.headers


async def test_a_page_that_is_not_listed_reads_nothing(make_running: MakeRunning) -> None:
    running = await make_running(cors_origins=[PAGE])
    for origin in (NOT_ALLOWED, "null", "http://app.example.org", f"{PAGE}:8443"):
        answer = await running.get("/api/me", headers={"origin": origin})
        assert "access-control-allow-origin" not in answer.headers
        assert answer.headers["vary"] == "Origin"  # a cache must not give it the other's answer
        asked = {"origin": origin, "access-control-request-method": "POST"}
        assert (await running.client.options("/api/me", headers=asked)).status_code == 405


async def test_a_star_is_any_page(make_running: MakeRunning) -> None:
    running = await make_running(cors_origins=["*"])
    answer = await running.get("/api/me", headers={"origin": NOT_ALLOWED})
    assert answer.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize("name", ["CORS_ORIGINS", "ALLOWED_ORIGINS", "PUBLIC_URL"])
@pytest.mark.parametrize("value", ["app.example.org", "https://*.example.org", "https://a/b"])
def test_an_origin_that_no_browser_sends_is_refused_at_the_start(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=rf"SPACES_GATEWAY_{name}: .*is no origin"):
        GatewaySettings.from_env({f"SPACES_GATEWAY_{name}": value})


def test_origins_are_kept_as_browsers_write_them() -> None:
    environ = {
        "SPACES_GATEWAY_CORS_ORIGINS": "https://App.example.org:443, http://localhost:5173",
        "SPACES_GATEWAY_PUBLIC_URL": "https://spaces.example.org/",
    }
    found = GatewaySettings.from_env(environ)
    assert found.cors_origins == ["https://app.example.org", "http://localhost:5173"]
    assert found.public_url == "https://spaces.example.org"


# Bodies that would have to be unpacked


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/spaces/poems/requests"),
        ("POST", "/api/spaces"),
        ("POST", "/api/files"),
        ("POST", "/websockets/submit/poems"),
        ("PUT", "/api/results/x/files"),
    ],
)
@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd", "identity, gzip", "x"])
async def test_a_compressed_body_is_refused_and_not_unpacked(
    running: Running, method: str, path: str, encoding: str
) -> None:
    running.backends.add_space("poems")
    headers = {"content-encoding": encoding, "content-type": "application/json"}
    body = gzip.compress(b'{"prompt": "hi"}')
    answer = await running.client.request(method, path, content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (415, "content_encoding_refused")


async def test_a_body_that_says_it_is_not_compressed_is_taken(running: Running) -> None:
    running.backends.add_space("poems")
    headers = {"content-encoding": "identity"}
    answer = await running.post(
        "/api/spaces/poems/requests", json={"prompt": "hi"}, headers=headers
    )
    assert answer.status_code == 202
