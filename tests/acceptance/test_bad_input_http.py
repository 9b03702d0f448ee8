"""Bad input over HTTP: a stable code and a clear text for each, and nothing is accepted or lost."""

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest

from spaces_contracts.identifiers import new_id
from spaces_contracts.worker_socket import Registered
from tests.support.api import Api, api, refusal
from tests.support.keys import key_called
from tests.support.platform import Platform, running_platform
from tests.support.wire import worker_socket

MAX_FILE_BYTES = 4096
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 64


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    """A platform that takes small files only."""
    with running_platform(environ={"SPACES_MAX_FILE_BYTES": str(MAX_FILE_BYTES)}) as running:
        yield running


def space(platform: Platform, name: str, **policy: Any) -> str:
    """A space that queues while no worker is there."""
    made = platform.create_space(name, policy={"when_offline": "queue", **policy})
    space_id: str = made["space_id"]
    return space_id


async def test_an_unknown_space(admin: Api) -> None:
    expected = (404, "space_not_found", "No space 'nowhere' found")
    assert refusal(await admin.try_submit("nowhere", prompt="hi")) == expected
    assert refusal(await admin.http.get("/api/spaces/nowhere")) == expected
    assert refusal(await admin.http.get("/api/spaces/nowhere/queue")) == expected
    kept = await admin.http.post("/websockets/submit/nowhere", json={"prompt": "hi"})
    assert refusal(kept) == expected
    assert (kept.json()["success"], kept.json()["error"]) == (False, expected[2])


async def test_a_name_that_two_tenants_have(platform: Platform, admin: Api) -> None:
    first = space(platform, "twin")
    tenant = await admin.make("/api/tenants", name="other")
    second = platform.create_space("twin", tenant_id=tenant["tenant_id"])["space_id"]
    answer = await admin.try_submit("twin", prompt="hi")
    assert refusal(answer) == (
        409,
        "multiple_spaces",
        "Multiple spaces with name 'twin' found: default/twin, other/twin."
        " Say tenant/name, or the space's id.",
    )
    told = {candidate["space_id"] for candidate in answer.json()["facts"]["candidates"]}
    assert told == {first, second}
    assert (await admin.submit("default%2Ftwin"))["space_id"] == first


async def test_a_disabled_space(platform: Platform, admin: Api) -> None:
    space_id = space(platform, "off")
    assert (
        await admin.http.patch(f"/api/spaces/{space_id}", json={"enabled": False})
    ).status_code == 200
    assert refusal(await admin.try_submit("off", prompt="hi")) == (
        409,
        "space_disabled",
        "Space 'off' is disabled.",
    )


async def test_a_second_connection_is_foretold_by_the_check(platform: Platform, admin: Api) -> None:
    space_id = space(platform, "taken")
    token = platform.worker_token([space_id]).read_text().strip()
    async with (
        api(platform.gateway_url, token) as worker,
        worker_socket(platform.gateway_url) as holder,
    ):
        await holder.register(token, [space_id])
        await holder.expect(Registered)
        answer = await worker.http.get("/api/worker/check", params={"space": space_id})
        (found,) = answer.json()["spaces"]
        assert found["problem"] == {
            "code": "already_connected",
            "message": "Space 'taken' has 1 of 1 workers.",
        }


async def test_a_wrong_key(platform: Platform) -> None:
    async with api(platform.gateway_url, key_called("nobody")) as stranger:
        answer = await stranger.try_submit("any", prompt="hi")
    assert refusal(answer) == (401, "unauthenticated", "The key is not known")
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_no_key(platform: Platform, admin: Api) -> None:
    del admin.http.headers["Authorization"]
    status, code, text = refusal(await admin.try_submit("any", prompt="hi"))
    assert (status, code) == (401, "unauthenticated")
    assert "Authorization" in text


async def test_a_revoked_key(platform: Platform, admin: Api) -> None:
    key = await admin.make("/api/keys", name="short lived")
    async with api(platform.gateway_url, key["secret"]) as former:
        assert (await former.http.get("/api/me")).status_code == 200
        key_id = key["credential"]["principal"]["principal_id"]
        assert (await admin.http.delete(f"/api/keys/{key_id}")).status_code == 200
        answer = await former.try_submit("any", prompt="hi")
    assert refusal(answer) == (401, "token_revoked", "Credential was revoked")


async def test_a_worker_token_where_a_key_belongs(platform: Platform) -> None:
    space_id = space(platform, "for workers")
    token = platform.worker_token([space_id]).read_text().strip()
    async with api(platform.gateway_url, token) as worker:
        status, code, _ = refusal(await worker.try_submit(space_id, prompt="hi"))
    assert (status, code) == (403, "forbidden")


async def test_an_offline_space(platform: Platform, admin: Api) -> None:
    platform.create_space("offline")
    answer = await admin.try_submit("offline", prompt="hi")
    assert refusal(answer) == (409, "worker_not_connected", "Remote app not connected")
    assert answer.json()["retry"] is True
    kept = await admin.http.post("/websockets/submit/offline", data={"prompt": "hi"})
    assert kept.json()["error"] == "Remote app not connected"
    listed = (await admin.http.get("/api/requests", params={"space": "offline"})).json()
    assert listed["requests"] == [], "what was refused is not kept"


@pytest.mark.parametrize("prompt", [None, "", "  \n\t"])
async def test_an_empty_prompt(platform: Platform, admin: Api, prompt: str | None) -> None:
    space_id = space(platform, f"silence {prompt!r}".replace("\\", ""))
    assert refusal(await admin.try_submit(space_id, prompt=prompt)) == (
        422,
        "empty_prompt",
        "The prompt is empty and there is no file.",
    )


async def test_an_input_kind_that_is_not_enabled(platform: Platform, admin: Api) -> None:
    space_id = space(platform, "words only")
    file = await admin.http.post("/api/files", content=PNG, headers={"X-File-Name": "a.png"})
    answer = await admin.try_submit(space_id, files=[file.json()["file_id"]])
    assert refusal(answer) == (
        422,
        "input_not_enabled",
        "Space 'words only' does not take image input; it takes prompt.",
    )
    form = await admin.http.post(
        f"/api/spaces/{space_id}/requests", files={"image": ("a.png", PNG, "image/png")}
    )
    assert refusal(form)[:2] == (422, "input_not_enabled")


async def test_a_file_that_is_too_large(platform: Platform, admin: Api) -> None:
    space_id = space(platform, "small files")
    told = f"is larger than {MAX_FILE_BYTES} bytes."
    content = b"x" * (MAX_FILE_BYTES + 1)
    alone = await admin.http.post("/api/files", content=content, headers={"X-File-Name": "big.bin"})
    assert refusal(alone) == (413, "file_too_large", f"The file {told}")
    form = await admin.http.post(
        f"/api/spaces/{space_id}/requests",
        data={"prompt": "hi"},
        files={"file": ("big.bin", content, "application/octet-stream")},
    )
    assert refusal(form) == (413, "file_too_large", f"File 'big.bin' {told}")


async def test_a_file_of_another_type_than_it_says(admin: Api) -> None:
    answer = await admin.http.post(
        "/api/files", content=PNG, headers={"X-File-Name": "song.mp3", "Content-Type": "audio/mpeg"}
    )
    assert refusal(answer) == (
        415,
        "file_type_mismatch",
        "File 'song.mp3' says it is audio/mpeg, but its content looks like image/png.",
    )


async def test_an_unknown_file(platform: Platform, admin: Api) -> None:
    space_id, file_id = space(platform, "no files"), new_id()
    answer = await admin.try_submit(space_id, files=[file_id])
    assert refusal(answer) == (404, "file_not_found", f"There is no file {file_id!r}.")


async def test_a_full_queue(platform: Platform, admin: Api) -> None:
    space_id = space(platform, "short queue", max_queue=2)
    accepted = [(await admin.submit(space_id))["request_id"] for _ in range(2)]
    answer = await admin.try_submit(space_id, prompt="one too many")
    assert refusal(answer) == (429, "queue_full", "The space's queue is full")
    assert int(answer.headers["retry-after"]) >= 1
    for request_id in accepted:
        assert (await admin.request(request_id))["state"] == "queued", "nothing is lost"
    await admin.cancel(accepted[0])
    assert (await admin.submit(space_id))["state"] == "queued"


async def test_an_unknown_request(admin: Api) -> None:
    unknown = new_id()
    for answer in (
        await admin.http.get(f"/api/requests/{unknown}"),
        await admin.http.get(f"/api/requests/{unknown}", params={"wait": "1"}),
        await admin.http.post(f"/api/requests/{unknown}/cancel"),
        await admin.http.get(f"/api/requests/{unknown}/events"),
        await admin.http.get("/websockets/status", params={"request_id": unknown}),
    ):
        expected = (404, "request_not_found", f"There is no request {unknown!r}.")
        assert refusal(answer) == expected, answer.url


async def test_another_tenants_request_is_as_good_as_unknown(
    platform: Platform, admin: Api
) -> None:
    request_id = (await admin.submit(space(platform, "private")))["request_id"]
    tenant = await admin.make("/api/tenants", name="curious")
    key = await admin.make("/api/keys", name="curious", tenant_id=tenant["tenant_id"])
    async with api(platform.gateway_url, key["secret"]) as other:
        for answer in (
            await other.http.get(f"/api/requests/{request_id}"),
            await other.http.post(f"/api/requests/{request_id}/cancel"),
        ):
            assert refusal(answer)[:2] == (404, "request_not_found")
    assert (await admin.request(request_id))["state"] == "queued"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"{", "#: The body is not valid JSON: EOF while parsing"),
        (b'{"prompt": 5}', "#/prompt: Input should be a valid string"),
        (b'{"prompt": "x", "priority": 101}', "#/priority: Input should be less than or equal to"),
        (b'{"prompt": "x", "wait": 1}', "#/wait: Extra inputs are not permitted"),
    ],
    ids=["no JSON", "wrong type", "out of range", "unknown member"],
)
async def test_a_malformed_body(platform: Platform, admin: Api, body: bytes, text: str) -> None:
    space_id = space(platform, hashlib.sha256(body).hexdigest()[:12])
    answer = await admin.http.post(
        f"/api/spaces/{space_id}/requests",
        content=body,
        headers={"Content-Type": "application/json"},
    )
    status, code, told = refusal(answer)
    assert (status, code) == (422, "invalid_request")
    assert told.startswith(text)
    assert answer.json()["errors"][0]["pointer"] == text.split(":")[0]


async def test_a_body_that_is_too_large(platform: Platform, admin: Api) -> None:
    space_id = space(platform, "long talk")
    status, code, text = refusal(await admin.try_submit(space_id, prompt="x" * 2_000_000))
    assert (status, code) == (413, "payload_too_large")
    assert text
