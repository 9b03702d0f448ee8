"""Covers: a picture that is one, shown to who sees the space, and nothing of it left when it goes."""

import struct
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from spaces_contracts.access import Permission, PrincipalKind
from spaces_contracts.problems import Code, Problem
from spaces_contracts.requests import RequestState, RequestView
from spaces_contracts.spaces import SetCover, Visibility
from spaces_gateway.files.covers import MAX_COVER_BYTES
from spaces_gateway.files.room import Uploader
from spaces_gateway.files.store import Upload
from tests.integration.gateway.backends import NOW
from tests.integration.gateway.conftest import Running
from tests.support.keys import bearer


def png(width: int = 2, height: int = 2, more: bytes = b"") -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(b"\0\1\2" * 2)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", pixels + more)
        + chunk(b"IEND", b"")
    )


PNG = png()
JPEG = (
    b"\xff\xd8\xff\xc0\x00\x11\x08\x00\x02\x00\x02\x03\x01\x22\x00\x02\x11\x01\x03\x11\x01\xff\xd9"
)
WEBP = b"RIFF\x1a\x00\x00\x00WEBPVP8L\x0d\x00\x00\x00\x2f\x01\x40\x00\x00\x07\x10\xfd\x8f\xfe\x07\x22\xa2\xff\x01\x00"


async def put(running: Running, data: bytes, kind: str = "image/png") -> httpx2.Response:
    space = next(iter(running.backends.spaces.values()))
    headers = {"content-type": kind}
    return await running.client.put(
        f"/api/spaces/{space.space_id}/cover", content=data, headers=headers
    )


def stored(running: Running) -> list[Path]:
    folder = running.gateway.services.settings.files_dir / "covers"
    return [one for one in folder.rglob("*") if one.is_file()]


@pytest.mark.parametrize(
    ("data", "media_type"), [(PNG, "image/png"), (JPEG, "image/jpeg"), (WEBP, "image/webp")]
)
async def test_a_picture_comes_back_as_what_it_is(
    running: Running, data: bytes, media_type: str
) -> None:
    running.backends.add_space("poems")
    answer = await put(running, data, "application/octet-stream")
    assert answer.json()["cover"]["media_type"] == media_type
    shown = await running.get("/api/spaces/poems/cover")
    assert shown.content == data
    assert shown.headers["content-type"] == media_type
    assert shown.headers["x-content-type-options"] == "nosniff"
    assert shown.headers["content-disposition"].startswith("attachment")
    assert "sandbox" in shown.headers["content-security-policy"]
    assert shown.headers["cache-control"] == "private, no-cache"


async def test_who_has_it_is_not_sent_it_again(running: Running) -> None:
    running.backends.add_space("poems")
    await put(running, PNG)
    etag = (await running.get("/api/spaces/poems/cover")).headers["etag"]
    for known in (etag, f"W/{etag}", f'"other", {etag}'):
        again = await running.get("/api/spaces/poems/cover", headers={"if-none-match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    other = await running.get("/api/spaces/poems/cover", headers={"if-none-match": '"other"'})
    assert other.status_code == 200


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"", 415, "file_type_mismatch"),
        (b"\x89PNG\r\n\x1a\nand so on", 415, "file_type_mismatch"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415, "file_type_mismatch"),
        (b"GIF89a\x01\x00\x01\x00", 415, "file_type_mismatch"),
        (b"<html><script>", 415, "file_type_mismatch"),
        (png(more=bytes(MAX_COVER_BYTES)), 413, "file_too_large"),
        (png(60_000, 60_000), 422, "file_unsafe"),
    ],
)
async def test_what_is_no_cover_is_refused_and_leaves_nothing(
    running: Running, data: bytes, status: int, code: str
) -> None:
    running.backends.add_space("poems")
    answer = await put(running, data)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert stored(running) == []
    assert not any(isinstance(one, SetCover) for one in running.backends.asked)


async def test_another_picture_replaces_the_first_and_nothing_stays(running: Running) -> None:
    space = running.backends.add_space("poems")
    await put(running, PNG)
    await put(running, JPEG)
    assert [one.read_bytes() for one in stored(running)] == [JPEG]
    await running.backends.changed("space", space.space_id)
    gone = await running.client.delete("/api/spaces/poems/cover")
    assert gone.json()["cover"] is None
    assert stored(running) == []
    await running.backends.changed("space", space.space_id)
    assert (await running.get("/api/spaces/poems/cover")).json()["code"] == "file_not_found"


async def test_a_cover_that_the_registry_refuses_is_not_kept(running: Running) -> None:
    running.backends.add_space("poems")
    running.backends.refusals[SetCover] = Problem(code=Code.FORBIDDEN)
    assert (await put(running, PNG)).status_code == 403
    assert stored(running) == []


async def test_a_cover_that_may_have_been_taken_is_kept(running: Running) -> None:
    running.backends.add_space("poems")
    running.backends.refusals[SetCover] = Problem(code=Code.UNAVAILABLE)
    assert (await put(running, PNG)).status_code == 503
    assert [one.read_bytes() for one in stored(running)] == [PNG]


async def test_the_cover_goes_with_the_space(running: Running) -> None:
    running.backends.add_space("poems")
    await put(running, PNG)
    await running.client.delete("/api/spaces/poems")
    assert stored(running) == []


async def test_old_files_are_found_beside_covers(running: Running) -> None:
    running.backends.add_space("poems")
    await put(running, PNG)
    assert await running.gateway.services.files.days() == []


async def test_a_space_is_made_and_changed_with_its_visibility(running: Running) -> None:
    made = await running.post("/api/spaces", json={"name": "poems", "visibility": "private"})
    assert made.json()["visibility"] == "private"
    path = "/api/spaces/poems"
    changed = await running.client.patch(path, json={"visibility": "tenant"})
    assert changed.json()["visibility"] == "tenant"
    wrong = await running.client.patch(path, json={"visibility": "everybody"})
    assert wrong.json()["errors"][0]["pointer"] == "#/visibility"


async def test_a_result_of_a_private_space_is_not_for_who_does_not_see_the_space(
    running: Running,
) -> None:
    backends = running.backends
    backends.add_principal("reader", PrincipalKind.API_KEY)
    reader = next(one for one in backends.principals.values() if one.name == "reader")
    backends.principals = {
        secret: one.model_copy(update={"scopes": [Permission.REQUESTS_READ]})
        if one is reader
        else one
        for secret, one in backends.principals.items()
    }
    space = backends.add_space("poems", visibility=Visibility.PRIVATE)
    view = RequestView(
        request_id=space.space_id, space_id=space.space_id, tenant_id=backends.tenant_id, private_to="",
        principal_id=reader.principal_id, state=RequestState.SUCCEEDED, created_at=NOW,
    )  # fmt: skip

    async def body() -> AsyncIterator[bytes]:
        yield b"roses"

    upload = Upload("roses.txt", "text/plain", Uploader(backends.tenant_id), view.request_id)
    file = await running.gateway.services.files.save(upload, body())
    path = f"/api/files/{file.file_id}"
    for private_to, status in (("", 404), (None, 200), (reader.principal_id, 200)):
        backends.views[view.request_id] = view.model_copy(update={"private_to": private_to})
        answer = await running.get(path, headers=bearer("reader"))
        assert answer.status_code == status
    backends.views[view.request_id] = view
    assert (await running.get(path)).content == b"roses"
