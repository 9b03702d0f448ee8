"""The client against the whole platform: real services, a real worker."""

import asyncio
import os
import shlex
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from spaces_client import (
    AsyncSpaces,
    ChunkFrame,
    FinishedFrame,
    Refused,
    RequestFailed,
    RequestState,
    Spaces,
)
from tests.support.eventually import eventually
from tests.support.platform import Platform

HANDLERS = Path(__file__).parents[2] / "support/handlers/echo.py"
COUNT, ECHO, DIGEST = "client count", "client echo", "client digest"
INPUTS = ["prompt", "image", "file"]
SERVED = {COUNT: "count", ECHO: "handler", DIGEST: "digest"}


@pytest.fixture(scope="module")
def served(platform: Platform) -> Platform:
    """Three spaces with a worker each."""
    for space, handler in SERVED.items():
        platform.create_space(space, inputs=INPUTS)
        platform.start_worker(space, spaces=[space], handler=f"{HANDLERS}:{handler}")
    return platform


@pytest.fixture
async def spaces(served: Platform) -> AsyncIterator[AsyncSpaces]:
    """A client of it."""
    async with AsyncSpaces(served.gateway_url, served.admin_key) as client:
        yield client


async def test_a_submit_that_waits_gets_its_result(spaces: AsyncSpaces) -> None:
    request = await spaces.submit(ECHO, prompt="hello", wait=30)
    assert request.state is RequestState.SUCCEEDED
    assert request.output == {"echo": "hello", "attempt": 1}
    assert request.queue_ms is not None
    assert request.run_ms is not None
    again = await spaces.get(request.request_id)
    assert again.output == request.output
    assert (await spaces.list(space=ECHO, state="succeeded")).requests


async def test_a_request_over_the_socket_is_streamed_whole(spaces: AsyncSpaces) -> None:
    request = await spaces.submit(
        COUNT, prompt="count", parameters={"chunks": 50}, over="socket", idempotency_key="a-key"
    )
    chunks: list[str] = []
    async for event in spaces.stream(request.request_id):
        if isinstance(event, ChunkFrame):
            chunks += event.data
        elif isinstance(event, FinishedFrame):
            assert event.recovered
    assert chunks == [f"{n} " for n in range(1, 51)]
    again = await spaces.submit(
        COUNT, prompt="count", parameters={"chunks": 50}, over="socket", idempotency_key="a-key"
    )
    assert (again.request_id, again.duplicate) == (request.request_id, True)
    with pytest.raises(Refused) as caught:
        await spaces.submit(COUNT, prompt="other", idempotency_key="a-key")
    assert caught.value.code == "idempotency_key_reused"


async def test_files_arrive_whole(spaces: AsyncSpaces) -> None:
    content = b"words and more words\n" * 50_000
    stored = await spaces.upload(content, name="größe.txt")
    request = await spaces.submit(DIGEST, files=[stored], wait=30)
    assert request.output["files"] == [
        {"name": "größe.txt", "size_bytes": len(content), "sha256": stored.sha256}
    ]


async def test_a_file_comes_back_as_it_was_sent(spaces: AsyncSpaces, tmp_path: Path) -> None:
    stored = await spaces.upload(b"some text\n" * 1000, name="note.txt")
    saved = await spaces.download(stored, tmp_path)
    assert await asyncio.to_thread(saved.read_bytes) == b"some text\n" * 1000


async def test_a_handler_that_raises_gives_a_failed_request(spaces: AsyncSpaces) -> None:
    request = await spaces.submit(ECHO, prompt="x", parameters={"raise": "no such thing"})
    with pytest.raises(RequestFailed) as caught:
        await spaces.result(request.request_id, timeout=30)
    assert caught.value.code == "handler_failed"
    assert "no such thing" in caught.value.message


async def test_a_running_request_is_cancelled(spaces: AsyncSpaces) -> None:
    request = await spaces.submit(ECHO, prompt="x", parameters={"run_s": 60})
    async with spaces.stream(request.request_id) as stream:
        async for event in stream:
            if event.type == "status" and event.state is RequestState.RUNNING:
                await spaces.cancel(request.request_id)
    assert (await spaces.wait(request.request_id)).state is RequestState.CANCELLED


async def test_refusals_come_with_their_codes(spaces: AsyncSpaces) -> None:
    await spaces.create_space("client offline")
    refused = {
        "worker_not_connected": spaces.submit("client offline", prompt="x"),
        "space_not_found": spaces.submit("client nowhere", prompt="x", over="socket"),
        "empty_prompt": spaces.submit(ECHO, prompt="  "),
        "request_not_found": spaces.get("z" * 26),
        "space_name_taken": spaces.create_space(ECHO),
    }
    for code, call in refused.items():
        with pytest.raises(Refused) as caught:
            await call
        assert caught.value.code == code
        assert caught.value.what_to_do


async def test_a_space_is_watched_changed_and_deleted(spaces: AsyncSpaces) -> None:
    made = await spaces.create_space("client short", policy={"max_queue": 5})
    async with await spaces.watch_space("client short") as changes:
        assert (await anext(changes)).connected is False
    hidden = await spaces.update_space(made.space_id, visibility="private")
    assert (made.visibility.value, hidden.visibility.value) == ("tenant", "private")
    changed = await spaces.update_space(made.space_id, policy={"max_attempts": 2}, enabled=False)
    assert (changed.enabled, changed.policy.max_queue, changed.policy.max_attempts) == (False, 5, 2)
    with pytest.raises(Refused) as caught:
        await spaces.submit("client short", prompt="x")
    assert caught.value.code == "space_disabled"
    assert await spaces.connections(ECHO)
    assert (await spaces.queue(ECHO)).slots == 1
    await spaces.delete_space("client short")


async def test_tenants_keys_and_tokens_do_what_they_are_for(
    served: Platform, spaces: AsyncSpaces
) -> None:
    tenant = await spaces.create_tenant("client tenant")
    key = await spaces.create_key("of the tenant", tenant="client tenant")
    async with AsyncSpaces(served.gateway_url, key.secret) as other:
        assert (await other.me()).tenant_id == tenant.tenant_id
        made = await other.create_space("of the tenant")
        assert [space.space_id for space in (await other.list_spaces()).spaces] == [made.space_id]
        token = await other.create_worker_token(["of the tenant"])
        await other.revoke_worker_token(token.credential.principal.principal_id)
        await spaces.revoke_key(key.credential.principal.principal_id)
        with pytest.raises(Refused) as caught:
            await eventually_refused(other)
        assert caught.value.code in ("token_revoked", "unauthenticated")


async def eventually_refused(client: AsyncSpaces) -> None:
    """Asks until a revoked key is no longer remembered."""

    async def still_known() -> bool:
        await client.me()
        return False

    await eventually(still_known)


async def test_a_stream_goes_on_through_the_gateways_death(
    served: Platform, spaces: AsyncSpaces
) -> None:
    request = await spaces.submit(
        COUNT, prompt="x", parameters={"chunks": 300, "pace_s": 0.01}, timeout_s=100
    )
    chunks: list[str] = []
    async for event in spaces.stream(request.request_id):
        if isinstance(event, ChunkFrame):
            assert event.n == len(chunks) + 1
            before = len(chunks)
            chunks += event.data
            if before < 50 <= len(chunks):
                await asyncio.to_thread(served.kill, "gateway")
                await asyncio.to_thread(served.revive, "gateway")
        elif isinstance(event, FinishedFrame):
            assert event.state is RequestState.SUCCEEDED
    assert chunks == [f"{n} " for n in range(1, 301)]


async def test_the_synchronous_client_works_against_the_platform(served: Platform) -> None:
    def use() -> list[str]:
        with Spaces(served.gateway_url, served.admin_key) as client:
            request = client.submit(COUNT, prompt="x", parameters={"chunks": 3})
            return [
                text
                for event in client.stream(request.request_id)
                if event.type == "chunk"
                for text in event.data
            ]

    assert await asyncio.to_thread(use) == ["1 ", "2 ", "3 "]


async def test_the_commands_that_create_prints_bring_a_space_to_life(
    served: Platform, tmp_path: Path
) -> None:
    environ = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "SPACES_URL": served.gateway_url,
        "SPACES_API_KEY": served.admin_key,
    }

    async def run(*command: str) -> tuple[str, str]:
        process = await asyncio.create_subprocess_exec(
            *command, env=environ, stdout=PIPE, stderr=PIPE
        )
        out, err = await process.communicate()
        assert process.returncode == 0, err.decode()
        return out.decode(), err.decode()

    out, err = await run("spaces", "spaces", "create", "client mock")
    assert shlex.split(out)[:2] == ["spaces-worker", "run"]
    mock = shlex.split(err.splitlines()[-1])
    assert mock[:2] == ["spaces-worker", "mock"]
    worker = await asyncio.create_subprocess_exec(
        *mock, "--spool-dir", str(tmp_path / "spool"), env=environ, stdout=PIPE, stderr=PIPE
    )
    try:
        async with (
            AsyncSpaces(served.gateway_url, served.admin_key) as client,
            await client.watch_space("client mock") as changes,
        ):
            async for change in changes:
                if change.connected:
                    break
        shown, told = await run("spaces", "submit", "client mock", "hi", "-p", "seconds=1")
        assert "Mock result for: hi" in shown
        assert "50 %" in told
    finally:
        worker.terminate()
        await worker.communicate()
