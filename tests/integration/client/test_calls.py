"""Calls over HTTP: submits, results, files, what is refused, and what lies in between."""

import asyncio
import logging
import ssl
from pathlib import Path

import pytest

from spaces_client import (
    AsyncSpaces,
    ConfigError,
    NotFinished,
    Refused,
    RequestFailed,
    RequestState,
    Spaces,
    SpacesError,
    Unreachable,
)
from spaces_client.client import FileSource
from spaces_contracts.problems import Code, Problem
from spaces_contracts.spaces import Visibility
from tests.integration.client.cable import stranger
from tests.integration.client.scripted_gateway import API_KEY, ScriptedGateway
from tests.integration.client.scripted_job import Job


async def shout(job: Job) -> None:
    """A worker."""
    await job.start()
    await job.chunk(job.body["prompt"].upper())
    await job.finish(output={"text": job.body["prompt"].upper()})


async def test_a_submit_sends_what_was_given_and_nothing_else(
    gateway: ScriptedGateway, spaces: AsyncSpaces
) -> None:
    request = await spaces.submit("echo", prompt="hello", parameters={"t": 0.5}, timeout_s=9)
    job = gateway.jobs[request.request_id]
    assert job.body == {"prompt": "hello", "parameters": {"t": 0.5}, "timeout_s": 9, "priority": 0}
    assert request.state is RequestState.QUEUED


async def test_a_submit_that_waits_gives_the_finished_request(
    gateway: ScriptedGateway, spaces: AsyncSpaces
) -> None:
    gateway.serve = shout
    assert (await spaces.submit("echo", prompt="hello", wait=5)).text == "HELLO"


async def test_retries_of_a_submit_carry_one_key_and_make_one_request(
    gateway: ScriptedGateway, spaces: AsyncSpaces
) -> None:
    gateway.problems = [Problem(code=Code.UNAVAILABLE), Problem(code=Code.GOING_AWAY)]
    request = await spaces.submit("echo", prompt="once")
    keys = [headers["idempotency-key"] for method, _, headers in gateway.calls if method == "POST"]
    assert len(keys) == 3
    assert len(set(keys)) == 1
    assert list(gateway.jobs) == [request.request_id]


async def test_the_callers_idempotency_key_is_used(
    gateway: ScriptedGateway, spaces: AsyncSpaces
) -> None:
    one = await spaces.submit("echo", prompt="x", idempotency_key="mine")
    two = await spaces.submit("echo", prompt="x", idempotency_key="mine")
    assert one.request_id == two.request_id
    assert (one.duplicate, two.duplicate) == (False, True)


async def test_a_result_comes_when_the_request_succeeds(
    gateway: ScriptedGateway, spaces: AsyncSpaces
) -> None:
    request = await spaces.submit("echo", prompt="hello")
    waiting = asyncio.create_task(spaces.result(request.request_id, timeout=5))
    await shout(gateway.jobs[request.request_id])
    assert (await waiting).text == "HELLO"


async def test_a_result_that_does_not_come_in_time_is_not_a_failure(
    gateway: ScriptedGateway, spaces: AsyncSpaces
) -> None:
    request = await spaces.submit("echo", prompt="hello")
    with pytest.raises(NotFinished) as caught:
        await spaces.result(request.request_id, timeout=0.05)
    assert caught.value.request_id == request.request_id


async def test_a_failed_request_raises_with_its_code(
    gateway: ScriptedGateway, spaces: AsyncSpaces
) -> None:
    request = await spaces.submit("echo", prompt="hello")
    job = gateway.jobs[request.request_id]
    job.error = Problem(code=Code.HANDLER_FAILED, message="ValueError: no")
    await job.finish(RequestState.FAILED)
    with pytest.raises(RequestFailed) as caught:
        await spaces.result(request.request_id)
    assert (caught.value.code, caught.value.message) == ("handler_failed", "ValueError: no")
    assert caught.value.request.state is RequestState.FAILED


async def test_a_cancelled_request_says_so(gateway: ScriptedGateway, spaces: AsyncSpaces) -> None:
    request = await spaces.submit("echo", prompt="hello")
    assert (await spaces.cancel(request.request_id)).state is RequestState.CANCELLED
    with pytest.raises(RequestFailed) as caught:
        await spaces.result(request.request_id)
    assert caught.value.code == "cancelled"


@pytest.mark.parametrize("code", [Code.WORKER_NOT_CONNECTED, Code.QUEUE_FULL, Code.EMPTY_PROMPT])
async def test_refusals_come_at_once_with_code_text_and_advice(
    gateway: ScriptedGateway, spaces: AsyncSpaces, code: Code
) -> None:
    gateway.problems = [Problem(code=code, message="As the gateway says it.")]
    with pytest.raises(Refused) as caught:
        await spaces.submit("echo", prompt="hello")
    error = caught.value
    assert (error.code, error.message) == (code.value, "As the gateway says it.")
    assert (error.what_to_do, error.retry) == (
        code and Problem(code=code).kind.what_to_do,
        Problem(code=code).kind.retry,
    )
    assert len([call for call in gateway.calls if call[0] == "POST"]) == 1


async def test_a_wrong_key_is_refused(gateway: ScriptedGateway) -> None:
    async with AsyncSpaces(gateway.url, "wrong") as client:
        with pytest.raises(Refused) as caught:
            await client.me()
    assert caught.value.code == "unauthenticated"


async def test_files_travel_whole_under_their_names(
    gateway: ScriptedGateway, spaces: AsyncSpaces, tmp_path: Path
) -> None:
    content = bytes(range(256)) * 4096
    photo = tmp_path / "My photo Ä.png"
    photo.write_bytes(content)
    earlier = await spaces.upload(b"raw", name="note.txt")
    sources: list[FileSource] = [photo, b"sound", earlier]
    request = await spaces.submit("echo", files=sources)
    file_ids = gateway.jobs[request.request_id].body["files"]
    assert [gateway.uploads[file_id] for file_id in file_ids] == [content, b"sound", b"raw"]
    sent = [headers for _, path, headers in gateway.calls if path == "/api/files"]
    assert sent[1]["x-file-name"] == "My%20photo%20%C3%84.png"
    assert sent[1]["content-type"] == "image/png"
    assert sent[1]["content-length"] == str(len(content))


async def test_a_file_that_cannot_be_read_is_said_before_anything_is_sent(
    gateway: ScriptedGateway, spaces: AsyncSpaces, tmp_path: Path
) -> None:
    with pytest.raises(SpacesError) as caught:
        await spaces.submit("echo", files=[tmp_path / "missing"])
    assert caught.value.code == "file_unreadable"
    assert gateway.calls == []


async def test_a_downloaded_file_is_checked_and_never_overwrites(
    gateway: ScriptedGateway, spaces: AsyncSpaces, tmp_path: Path
) -> None:
    stored = await spaces.upload(b"content", name="../out.txt")
    (tmp_path / "out.txt").write_text("mine")
    saved = await spaces.download(stored, tmp_path)
    assert saved == tmp_path / "out-2.txt"
    assert saved.read_bytes() == b"content"
    assert (tmp_path / "out.txt").read_text() == "mine"
    gateway.uploads[stored.file_id] = b"damaged"
    with pytest.raises(SpacesError) as caught:
        await spaces.download(stored, tmp_path)
    assert caught.value.code == "file_damaged"
    left = await asyncio.to_thread(lambda: sorted(path.name for path in tmp_path.iterdir()))
    assert left == ["out-2.txt", "out.txt"]


async def test_spaces_are_made_changed_and_removed(
    gateway: ScriptedGateway, spaces: AsyncSpaces
) -> None:
    made = await spaces.create_space("new", inputs=["image"], policy={"max_queue": 5})
    assert (made.name, made.policy.max_queue, made.policy.max_attempts) == ("new", 5, 3)
    changed = await spaces.update_space("default/new", policy={"max_attempts": 2}, enabled=False)
    assert (changed.enabled, changed.policy.max_queue, changed.policy.max_attempts) == (False, 5, 2)
    assert [space.name for space in (await spaces.list_spaces()).spaces] == ["echo", "new"]
    assert (await spaces.queue("new")).queue_size == 3
    assert await spaces.connections("new") == []
    assert made.visibility is Visibility.TENANT
    hidden = await spaces.update_space("new", visibility="private")
    assert hidden.visibility is Visibility.PRIVATE
    other = await spaces.create_space("other", visibility=Visibility.PRIVATE)
    assert other.visibility is Visibility.PRIVATE
    await spaces.delete_space("new")
    with pytest.raises(Refused) as caught:
        await spaces.get_space("new")
    assert caught.value.code == "space_not_found"


async def test_credentials_and_tenants_are_made_listed_and_revoked(
    gateway: ScriptedGateway, spaces: AsyncSpaces
) -> None:
    assert (await spaces.create_tenant("acme")).name == "acme"
    assert [tenant.name for tenant in await spaces.list_tenants()] == ["default", "acme"]
    token = await spaces.create_worker_token(["echo"], tenant="acme")
    key = await spaces.create_key("mine")
    assert token.secret not in repr(token)
    assert len((await spaces.list_worker_tokens()).credentials) == 1
    await spaces.revoke_worker_token(token.credential.principal.principal_id)
    await spaces.revoke_key(key.credential.principal.principal_id)
    assert (await spaces.list_worker_tokens()).credentials == []
    assert (await spaces.list_keys()).credentials == []
    with pytest.raises(SpacesError) as caught:
        await spaces.create_key("mine", tenant="nobody")
    assert caught.value.code == "tenant_not_found"


async def test_a_removal_whose_answer_was_lost_is_done(
    gateway: ScriptedGateway, spaces: AsyncSpaces
) -> None:
    gateway.lose_deletes = 1
    await spaces.delete_space("echo")
    assert gateway.admin.spaces == {}
    with pytest.raises(Refused):
        await spaces.delete_space("echo")


async def test_wrong_settings_fail_the_synchronous_client_as_well(gateway: ScriptedGateway) -> None:
    with pytest.raises(ConfigError) as caught:
        await asyncio.to_thread(Spaces)
    assert caught.value.code == "no_url"


async def test_nobody_at_the_address_is_unreachable_after_the_patience(
    gateway: ScriptedGateway,
) -> None:
    gateway.cable.plugged = False
    async with AsyncSpaces(gateway.url, API_KEY, retry_for_s=0.3) as client:
        with pytest.raises(Unreachable) as caught:
            await client.me()
    assert caught.value.code == "unreachable"
    assert caught.value.what_to_do


async def test_a_stranger_at_the_address_is_told_from_a_gateway() -> None:
    hello = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello"
    async with stranger(hello) as url, AsyncSpaces(url, API_KEY) as client:
        with pytest.raises(Unreachable) as caught:
            await client.me()
        assert caught.value.code == "not_a_gateway"
        with pytest.raises(Unreachable) as caught:
            await anext(client.stream("z" * 26))
        assert caught.value.code == "no_socket"


async def test_a_silent_gateway_is_given_up_after_the_timeout() -> None:
    async with (
        stranger(None) as url,
        AsyncSpaces(url, API_KEY, timeout_s=0.1, retry_for_s=0.1) as client,
    ):
        with pytest.raises(Unreachable) as caught:
            await client.me()
        assert "in time" in caught.value.message


async def test_calls_and_sockets_go_through_the_proxy_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    refusal = b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    async with stranger(refusal, asked) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        async with AsyncSpaces("https://spaces.invalid", API_KEY, retry_for_s=0.05) as client:
            with pytest.raises(Unreachable):
                await client.me()
            asked_by_http = len(asked)
            with pytest.raises(Unreachable):
                await anext(client.stream("z" * 26))
    assert 0 < asked_by_http < len(asked)
    assert {line.rsplit(" ", 1)[0] for line in asked} == {"CONNECT spaces.invalid:443"}


async def test_only_an_authority_that_was_given_is_trusted(
    gateway: ScriptedGateway, certificate: Path
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    async with gateway.cable.laid(gateway.cable.target, tls=context):
        url = gateway.url.replace("http://127.0.0.1", "https://localhost")
        async with AsyncSpaces(url, API_KEY) as client:
            with pytest.raises(Unreachable) as caught:
                await client.me()
            assert caught.value.code == "tls_failed"
            with pytest.raises(Unreachable) as caught:
                await anext(client.stream("z" * 26))
            assert caught.value.code == "tls_failed"
        async with AsyncSpaces(url, API_KEY, ca_file=certificate) as client:
            assert (await client.me()).name == "admin"
            job, _ = gateway.accept("echo", {}, None)
            async with client.stream(job.request_id) as stream:
                assert (await anext(stream)).type == "status"


async def test_a_closed_client_says_so(gateway: ScriptedGateway) -> None:
    client = AsyncSpaces(gateway.url, API_KEY)
    await client.close()
    with pytest.raises(Unreachable) as caught:
        await anext(client.stream("z" * 26))
    assert caught.value.code == "closed"


async def test_the_synchronous_client_does_the_same(gateway: ScriptedGateway) -> None:
    gateway.serve = shout

    def use() -> tuple[str | None, list[str], str]:
        with Spaces(gateway.url, API_KEY) as client:
            request = client.submit("echo", prompt="hello")
            result = client.result(request.request_id, timeout=5)
            kinds = [str(event.type) for event in client.stream(request.request_id)]
            with client.watch_space("echo") as changes:
                assert next(changes).connected
            with pytest.raises(Refused) as caught:
                client.get("z" * 26)
            return result.text, kinds, caught.value.code

    text, kinds, code = await asyncio.to_thread(use)
    assert (text, code) == ("HELLO", "request_not_found")
    assert kinds == ["status", "chunk", "finished"]


async def test_a_closed_synchronous_client_says_so(gateway: ScriptedGateway) -> None:
    def use() -> str:
        client = Spaces(gateway.url, API_KEY)
        client.close()
        client.close()
        with pytest.raises(Unreachable) as caught:
            client.me()
        return caught.value.code

    assert await asyncio.to_thread(use) == "closed"


async def test_no_log_shows_the_key(
    gateway: ScriptedGateway, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    job, _ = gateway.accept("echo", {}, None)
    async with AsyncSpaces(gateway.url, API_KEY) as client:
        await client.me()
        await anext(client.stream(job.request_id))
    assert caplog.records
    assert API_KEY not in caplog.text
