"""The web application as the gateway serves it: files, deep links, caches, and what stays the API's."""

import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.gateway.conftest import Running, running_with, settings

HTML = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
SCRIPT = b"export const answer = 42;"
INDEX = b'<!doctype html><script type="module" src="/assets/index-1a2b.js"></script>'


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Running]:
    """A gateway with a small application."""
    folder = tmp_path / "web"
    (folder / "assets").mkdir(parents=True)
    (folder / ".vite").mkdir()
    (folder / ".vite/manifest.json").write_text("{}")
    (folder / "index.html").write_bytes(INDEX)
    (folder / "icon.svg").write_text("<svg/>")
    (folder / "assets/index-1a2b.js").write_bytes(SCRIPT)
    (folder / "assets/index-1a2b.js.gz").write_bytes(gzip.compress(SCRIPT))
    (folder / "assets/index-1a2b.js.br").write_bytes(b"packed")
    async with running_with(settings(tmp_path, web_dir=folder)) as running:
        yield running


@pytest.mark.parametrize("path", ["/", "/spaces", "/spaces/acme%2Fpoems", "/sign-in?next=/spaces"])
async def test_every_address_of_a_page_shows_the_application(site: Running, path: str) -> None:
    answer = await site.get(path, headers=HTML)
    assert (answer.status_code, answer.content) == (200, INDEX)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    again = await site.get(path, headers=HTML | {"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


async def test_the_application_runs_only_what_this_origin_serves(site: Running) -> None:
    answer = await site.get("/spaces", headers=HTML)
    policy = dict(
        part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; ")
    )
    assert policy.pop("default-src") == "'none'"
    for part in ("script-src", "style-src", "connect-src", "font-src"):
        assert policy[part] == "'self'"
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["permissions-policy"].startswith("camera=()")
    assert answer.headers["cross-origin-opener-policy"] == "same-origin"


async def test_files_named_by_their_content_are_kept_for_ever(site: Running) -> None:
    answer = await site.get("/assets/index-1a2b.js", headers={"accept-encoding": "identity"})
    assert answer.content == SCRIPT
    assert answer.headers["content-type"].startswith("text/javascript")
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert "content-encoding" not in answer.headers
    icon = await site.get("/icon.svg")
    assert (icon.headers["content-type"], icon.headers["cache-control"]) == (
        "image/svg+xml",
        "no-cache",
    )


async def test_a_browser_gets_the_packed_file_that_it_takes(site: Running) -> None:
    path = "/assets/index-1a2b.js"
    zipped = await site.get(path, headers={"accept-encoding": "gzip, deflate"})
    assert (zipped.headers["content-encoding"], zipped.content) == ("gzip", SCRIPT)
    assert "accept-encoding" in zipped.headers["vary"].lower()
    raw = site.client.stream("GET", path, headers={"accept-encoding": "gzip, br;q=0.9"})
    async with raw as best:
        assert best.headers["content-encoding"] == "br"
        assert b"".join([part async for part in best.aiter_raw()]) == b"packed"


async def test_an_address_of_the_api_stays_the_apis(site: Running) -> None:
    for path in ("/api/nothing", "/auth/nothing", "/docs/nothing", "/.well-known/nothing"):
        answer = await site.get(path, headers=HTML)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert (await site.get("/nowhere")).json()["code"] == "not_found"  # a client that takes no page
    assert (await site.post("/spaces", headers=HTML)).json()["code"] == "not_found"
    assert (await site.get("/")).json()["docs"] == "/docs"
    assert (await site.get("/health", headers=HTML)).json()["status"] == "ready"


@pytest.mark.parametrize(
    "path",
    [
        "/assets/gone-3c4d.js",
        "/assets/",
        "/.vite/manifest.json",
        "/assets/index-1a2b.js.br",
        "/assets/..%2f..%2f..%2fetc%2fpasswd",
        "/%2e%2e/%2e%2e/etc/passwd",
    ],
)
async def test_nothing_else_is_served(site: Running, path: str) -> None:
    answer = await site.get(path, headers={"accept": "*/*"})
    assert answer.json()["code"] == "not_found"


async def test_without_a_build_browsers_are_told_how_to_make_one(running: Running) -> None:
    answer = await running.get("/", headers=HTML)
    assert answer.status_code == 200
    assert "make web" in answer.text
    assert (await running.get("/spaces", headers=HTML)).status_code == 404
