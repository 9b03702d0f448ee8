"""Files over HTTP: whole, in parts, by signed addresses, and never anybody else's."""

import hashlib
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import httpx2
import pytest

from spaces_contracts.access import PrincipalKind
from spaces_contracts.files import FileRef
from spaces_contracts.identifiers import new_id
from spaces_contracts.problems import Code, Problem
from spaces_contracts.requests import AskHolder
from spaces_gateway.files.signing import Purpose
from tests.integration.gateway.backends import some_file
from tests.integration.gateway.conftest import ADMIN, Running
from tests.support.keys import bearer, key_called

PNG = b"\x89PNG\r\n\x1a\n" + bytes(60)
NOBODY = {"authorization": ""}


def stored_files(running: Running) -> list[Path]:
    folder = running.gateway.services.settings.files_dir
    return [path for path in folder.rglob("*") if path.is_file()]


async def upload(running: Running, content: bytes, **headers: str) -> dict[str, object]:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = await running.post("/api/files", content=content, headers=sent)
    assert answer.status_code == 201, answer.text
    found: dict[str, object] = answer.json()
    return found


async def test_a_raw_upload_is_stored_with_its_facts(running: Running) -> None:
    file = await upload(running, PNG, content_type="image/png", x_file_name="na%C3%AFve%20a.png")
    assert file == {
        "file_id": file["file_id"],
        "name": "naïve a.png",
        "kind": "image",
        "media_type": "image/png",
        "size_bytes": len(PNG),
        "sha256": hashlib.sha256(PNG).hexdigest(),
        "url": None,
    }


async def test_a_form_upload_is_stored(running: Running) -> None:
    files = {"file": ("notes.txt", b"hello", "text/plain")}
    answer = await running.post("/api/files", files=files, data={"ignored": "field"})
    assert answer.status_code == 201
    assert (answer.json()["name"], answer.json()["media_type"]) == ("notes.txt", "text/plain")


async def test_an_upload_without_a_type_is_what_its_content_is(running: Running) -> None:
    file = await upload(running, PNG, content_type="application/octet-stream")
    assert (file["kind"], file["media_type"], file["name"]) == ("image", "image/png", "file")


async def test_a_download_is_the_same_bytes_and_no_page(running: Running) -> None:
    file = await upload(running, b"<html>", content_type="text/html", x_file_name="a.html")
    answer = await running.get(f"/api/files/{file['file_id']}")
    assert answer.content == b"<html>"
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''a.html"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["etag"] == f'"{file["sha256"]}"'


@pytest.mark.parametrize(
    ("wanted", "status", "content", "content_range"),
    [
        ("bytes=2-4", 206, b"234", "bytes 2-4/10"),
        ("bytes=7-", 206, b"789", "bytes 7-9/10"),
        ("bytes=-2", 206, b"89", "bytes 8-9/10"),
        ("bytes=5-99", 206, b"56789", "bytes 5-9/10"),
        ("bytes=10-", 200, b"0123456789", None),
        ("bytes=0-1,3-4", 200, b"0123456789", None),
        ("lines=1-2", 200, b"0123456789", None),
    ],
)
async def test_a_part_of_a_file_is_downloaded(
    running: Running, wanted: str, status: int, content: bytes, content_range: str | None
) -> None:
    file = await upload(running, b"0123456789")
    answer = await running.get(f"/api/files/{file['file_id']}", headers={"range": wanted})
    assert (answer.status_code, answer.content) == (status, content)
    assert answer.headers.get("content-range") == content_range


async def test_an_empty_file_is_a_file(running: Running) -> None:
    file = await upload(running, b"")
    assert (await running.get(f"/api/files/{file['file_id']}")).content == b""


async def test_a_file_of_another_tenant_is_not_found(running: Running) -> None:
    file = await upload(running, b"mine")
    running.backends.add_principal("other", PrincipalKind.API_KEY, tenant_id=new_id())
    other = bearer("other")
    answer = await running.get(f"/api/files/{file['file_id']}", headers=other)
    assert (answer.status_code, answer.json()["code"]) == (404, "file_not_found")
    admin = await running.get(f"/api/files/{file['file_id']}", headers=ADMIN)
    assert admin.content == b"mine"


async def test_a_file_of_another_tenant_cannot_be_submitted(running: Running) -> None:
    running.backends.add_principal("other", PrincipalKind.API_KEY, tenant_id=new_id())
    other = bearer("other")
    theirs = (await running.post("/api/files", content=b"x", headers=other)).json()["file_id"]
    running.backends.add_space("files", inputs=["file"])
    answer = await running.post("/api/spaces/files/requests", json={"files": [theirs]})
    assert answer.json()["code"] == "file_not_found"


async def test_an_admin_submits_its_own_file_to_any_tenants_space(running: Running) -> None:
    mine = (await running.post("/api/files", content=b"x", headers=ADMIN)).json()["file_id"]
    running.backends.add_space("files", inputs=["file"])
    answer = await running.post("/api/spaces/files/requests", json={"files": [mine]}, headers=ADMIN)
    assert answer.status_code == 202


INSTANCE = new_id()
# The agent that has the job, at its first attempt.
WORKER = {
    "authorization": f"Bearer {key_called('worker', PrincipalKind.WORKER_TOKEN)}",
    "spaces-instance": INSTANCE,
    "spaces-attempt": "1",
}


async def submit_with_file(running: Running, content: bytes) -> tuple[str, str, str]:
    """Request id, the worker's address of the input, and where it uploads; WORKER has the job."""
    space = running.backends.add_space("files", inputs=["file"])
    file = await upload(running, content)
    await running.post("/api/spaces/files/requests", json={"files": [file["file_id"]]})
    request = running.backends.submitted.values[-1]
    assert request.files[0].url
    assert request.upload_url
    running.backends.add_principal("worker", PrincipalKind.WORKER_TOKEN, space_ids=[space.space_id])
    running.backends.held.add((request.request_id, 1, INSTANCE))
    return request.request_id, request.files[0].url, request.upload_url


async def test_a_worker_reads_inputs_and_uploads_outputs_with_its_token(running: Running) -> None:
    request_id, input_url, upload_url = await submit_with_file(running, b"in")
    assert (await running.get(input_url, headers=WORKER)).content == b"in"
    for method in ("PUT", "POST"):
        answer = await running.client.request(
            method,
            upload_url,
            content=PNG,
            headers=WORKER | {"content-type": "image/png", "x-file-name": "out.png"},
        )
        assert answer.status_code == 201, answer.text
    ref = answer.json()
    running.backends.end(request_id, "null", output_files=[FileRef.model_validate(ref)])
    shown = (await running.get(f"/api/requests/{request_id}")).json()["output_files"][0]
    assert (await running.get(shown["url"], headers=NOBODY)).content == PNG
    assert (await running.get(f"/api/files/{ref['file_id']}")).content == PNG


@pytest.mark.parametrize(
    ("who", "status", "code"),
    [
        ({"authorization": ""}, 401, "unauthenticated"),
        ({"authorization": "Bearer nobody"}, 401, "unauthenticated"),
        (bearer("user"), 403, "forbidden"),
        (bearer("admin", PrincipalKind.ADMIN), 403, "forbidden"),
        (bearer("other", PrincipalKind.WORKER_TOKEN), 403, "forbidden"),  # of another space
        ({"spaces-instance": new_id()}, 403, "forbidden"),  # another worker of this space
        ({"spaces-instance": "x"}, 403, "forbidden"),
        ({"spaces-instance": ""}, 403, "forbidden"),
        ({"spaces-attempt": "2"}, 403, "forbidden"),
        ({"spaces-attempt": "x"}, 422, "invalid_request"),
    ],
)
async def test_the_addresses_of_a_job_serve_nobody_but_the_worker_that_has_it(
    running: Running, who: dict[str, str], status: int, code: str
) -> None:
    _, input_url, upload_url = await submit_with_file(running, b"in")
    elsewhere = running.backends.add_space("elsewhere")
    running.backends.add_principal(
        "other", PrincipalKind.WORKER_TOKEN, space_ids=[elsewhere.space_id]
    )
    before = len(stored_files(running))
    for answer in (
        await running.get(input_url, headers=WORKER | who),
        await running.client.put(upload_url, content=b"out", headers=WORKER | who),
    ):
        assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert len(stored_files(running)) == before


async def test_the_address_of_one_request_does_not_serve_another_that_the_worker_has(
    running: Running,
) -> None:
    _, input_url, upload_url = await submit_with_file(running, b"in")
    other = new_id()
    running.backends.held.add((other, 1, INSTANCE))
    foreign_input = re.sub(r"request=\w+", f"request={other}", input_url)
    foreign_upload = re.sub(r"results/\w+", f"results/{other}", upload_url)
    for method, url in (("GET", foreign_input), ("PUT", foreign_upload)):
        answer = await running.client.request(method, url, headers=WORKER)
        assert (answer.status_code, answer.json()["code"]) == (403, "signature_invalid")


async def test_without_a_scheduler_a_job_s_files_are_asked_for_again(running: Running) -> None:
    _, input_url, _ = await submit_with_file(running, b"in")
    running.backends.refusals[AskHolder] = Problem(code=Code.UNAVAILABLE)
    answer = await running.get(input_url, headers=WORKER)
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")


async def test_an_output_is_checked_by_content_too(running: Running) -> None:
    _, _, upload_url = await submit_with_file(running, b"in")
    answer = await running.client.put(
        upload_url, content=b"text", headers=WORKER | {"content-type": "image/png"}
    )
    assert (answer.status_code, answer.json()["code"]) == (415, "file_type_mismatch")


async def test_a_changed_address_is_refused(running: Running) -> None:
    _, input_url, upload_url = await submit_with_file(running, b"in")
    path, _, query = input_url.partition("?")
    parameters = dict(httpx2.QueryParams(query))
    for name, value in (("request", new_id()), ("exp", "9999999999"), ("sig", "0" * 64)):
        answer = await running.get(path, params=parameters | {name: value}, headers=NOBODY)
        assert (answer.status_code, answer.json()["code"]) == (403, "signature_invalid")
    other = (await upload(running, b"other"))["file_id"]
    answer = await running.get(f"/files/{other}?{query}", headers=NOBODY)
    assert answer.json()["code"] == "signature_invalid"
    foreign = upload_url.replace("tenant=", "tenant=x")
    answer = await running.client.put(foreign, content=b"x", headers=NOBODY)
    assert answer.json()["code"] == "signature_invalid"


async def test_an_address_that_is_too_old_is_refused(running: Running) -> None:
    file_id = str((await upload(running, b"in"))["file_id"])
    links = running.gateway.services.links
    exp = int((running.gateway.services.clock.now() - timedelta(seconds=1)).timestamp())
    sig = links.sign(Purpose.INPUT, file_id, "r", exp)
    answer = await running.get(f"/files/{file_id}?request=r&exp={exp}&sig={sig}", headers=NOBODY)
    assert (answer.status_code, answer.json()["code"]) == (403, "signature_expired")
    assert answer.json()["detail"] == "This address has expired."


async def test_a_worker_cannot_open_a_file_by_calling_it_its_output(running: Running) -> None:
    request_id, _, _ = await submit_with_file(running, b"in")
    secret = await upload(running, b"another request's input")
    forged = some_file(file_id=secret["file_id"])
    running.backends.end(request_id, "null", output_files=[forged])
    shown = (await running.get(f"/api/requests/{request_id}")).json()["output_files"][0]
    answer = await running.get(shown["url"], headers=NOBODY)
    assert (answer.status_code, answer.json()["code"]) == (403, "signature_invalid")


async def test_an_upload_that_is_refused_or_breaks_off_leaves_nothing(running: Running) -> None:
    async def too_much() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield bytes(65536)

    answer = await running.post("/api/files", content=too_much())
    assert (answer.status_code, answer.json()["code"]) == (413, "file_too_large")

    async def breaks() -> AsyncIterator[bytes]:
        yield bytes(300_000)
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await running.post("/api/files", content=breaks())
    await running.gateway.server.drain()
    assert stored_files(running) == []


async def test_files_are_removed_when_they_are_old_enough(running: Running) -> None:
    file = await upload(running, b"old")
    services = running.gateway.services
    today = services.clock.now().date()
    assert await services.files.days() == [today]
    assert await services.files.remove_day(today) == 2
    answer = await running.get(f"/api/files/{file['file_id']}")
    assert answer.json()["code"] == "file_not_found"
    assert stored_files(running) == []
