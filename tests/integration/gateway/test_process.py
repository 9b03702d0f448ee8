"""The gateway as a process: large files in little memory, what its log says, how it ends."""

import asyncio
import hashlib
import json
import os
import shutil
import signal
from collections.abc import AsyncIterator

import httpx2
import psutil
import pytest

from tests.integration.gateway.conftest import USER, Process
from tests.support.eventually import eventually
from tests.support.keys import key_called
from tests.support.servers import RunningNats

MIB = 1_048_576
SIZE = 200 * MIB
BLOCK = os.urandom(MIB)


class Memory:
    """How far a process's memory rises above what it was."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._before = self._process.memory_info().rss
        self.growth = 0

    def look(self) -> None:
        self.growth = max(self.growth, self._process.memory_info().rss - self._before)


async def test_200_mib_go_through_in_32_mib_of_memory(process: Process) -> None:
    expected = hashlib.sha256()
    async with httpx2.AsyncClient(
        base_url=process.url, headers=USER, trust_env=False, timeout=60
    ) as client:
        await client.post("/api/files", content=bytes(100_000))  # warms up what is loaded late
        memory = Memory(process.pid)

        async def body() -> AsyncIterator[bytes]:
            for _ in range(SIZE // MIB):
                expected.update(BLOCK)
                memory.look()
                yield BLOCK

        file = (await client.post("/api/files", content=body())).json()
        assert (file["size_bytes"], file["sha256"]) == (SIZE, expected.hexdigest())
        got = hashlib.sha256()
        async with client.stream("GET", f"/api/files/{file['file_id']}") as answer:
            async for chunk in answer.aiter_raw():
                got.update(chunk)
                memory.look()
        assert got.hexdigest() == expected.hexdigest()
    print(f"memory grew by {memory.growth / MIB:.1f} MiB")
    assert memory.growth <= 32 * MIB


async def test_the_access_log_has_paths_and_never_queries(process: Process) -> None:
    secret = "0123456789abcdef"
    async with httpx2.AsyncClient(base_url=process.url, trust_env=False) as client:
        path = "/files/01m7yzzzwxv8wkbzbk3ds3mfve"
        await client.get(f"{path}?request=r&exp=9999999999&sig={secret}")
        await client.get("/api/me", headers={"authorization": f"Bearer {secret}"})
    # A line is written after its answer was sent.
    await eventually(lambda: '"/api/me"' in process.log.read_text())
    log = process.log.read_text()
    lines = [json.loads(line) for line in log.splitlines()]
    answered = [(line["path"], line["status"]) for line in lines if line["event"] == "http"]
    assert (path, 404) in answered
    assert ("/api/me", 401) in answered
    assert secret not in log


async def test_sigterm_answers_who_waits_and_ends_well(process: Process) -> None:
    process.backends.add_space("poems")
    async with httpx2.AsyncClient(base_url=process.url, headers=USER, trust_env=False) as client:
        call = asyncio.create_task(
            client.post("/api/spaces/poems/requests?wait=30", json={"prompt": "hi"}, timeout=40)
        )
        request = await process.backends.submitted.next()
        process.process.send_signal(signal.SIGTERM)
        answer = await call
    assert (answer.status_code, answer.json()["request_id"]) == (202, request.request_id)
    assert await asyncio.wait_for(process.process.wait(), 10) == 0


async def test_sigterm_ends_event_streams(process: Process) -> None:
    process.backends.add_space("poems")
    async with httpx2.AsyncClient(base_url=process.url, headers=USER, trust_env=False) as client:
        submitted = await client.post("/api/spaces/poems/requests", json={"prompt": "hi"})
        path = f"/api/requests/{submitted.json()['request_id']}/events"
        async with client.stream("GET", path) as answer:
            lines = answer.aiter_lines()
            assert await anext(lines) == "event: status"
            process.process.send_signal(signal.SIGTERM)
            rest = [line async for line in lines]
    assert "event: finished" not in rest
    assert await asyncio.wait_for(process.process.wait(), 8) == 0


async def test_what_people_sign_in_with_is_in_no_log(process: Process) -> None:
    """At the level debug, for what goes well, what is refused and what does not fit."""
    password, long = "nine sheep on a hill", "another sheep " * 20
    async with httpx2.AsyncClient(base_url=process.url, trust_env=False) as client:
        form = {"username": "ada@example.org", "password": password}
        answer = await client.post("/auth/jwt/login", data=form)
        refresh, token = client.cookies["spaces_refresh"], answer.json()["access_token"]
        await client.post("/login", data=form)
        session = client.cookies["spaces_session"]
        await client.post("/auth/jwt/login", data={"username": "ada", "password": long})
        await client.post("/auth/register", json={"email": "no", "password": password})
        await client.get("/api/me", headers={"authorization": f"Bearer {token}x"})
        await client.post("/auth/jwt/refresh")
        await client.get("/docs/problems")
    await eventually(lambda: '"/docs/problems"' in process.log.read_text())
    log = process.log.read_text()
    assert '"/auth/jwt/refresh"' in log
    for secret in (password, long.strip(), refresh, session, token):
        assert secret not in log


async def test_a_client_that_leaves_while_uploading_is_no_error(process: Process) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", httpx2.URL(process.url).port)
    head = f"POST /api/files HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key_called('user')}\r\n"
    writer.write(f"{head}Content-Length: 1000000\r\n\r\n".encode() + bytes(500_000))
    await writer.drain()
    writer.transport.abort()
    await eventually(lambda: "http_client_left" in process.log.read_text())
    assert '"level": "error"' not in process.log.read_text()
    files = process.folder / "files"
    await eventually(lambda: not [path for path in files.rglob("*") if path.is_file()])


async def test_health_is_answered_to_head_without_a_body(process: Process) -> None:
    async with httpx2.AsyncClient(base_url=process.url, trust_env=False) as client:
        answer = await client.head("/health/ready")
        assert (answer.status_code, answer.content) == (200, b"")
        assert (await client.head("/api/me")).status_code == 405


async def test_metrics_have_routes_and_no_ids(process: Process) -> None:
    async with httpx2.AsyncClient(base_url=process.url, headers=USER, trust_env=False) as client:
        await client.get("/api/requests/01m7yzzzwxv8wkbzbk3ds3mfve")

        async def counted() -> bool:
            text = (await client.get("/metrics")).text
            assert "01m7yzzzwxv8wkbzbk3ds3mfve" not in text
            return (
                'spaces_http_requests_total{method="GET",'
                'route="/api/requests/{request_id}",status="404"} 1.0'
            ) in text

        await eventually(counted)


async def test_a_bus_that_dies_makes_the_gateway_not_ready_and_it_comes_back(
    process: Process, nats_server: RunningNats
) -> None:
    async with httpx2.AsyncClient(base_url=process.url, headers=USER, trust_env=False) as client:

        async def answers(path: str, status: int) -> bool:
            return (await client.get(path)).status_code == status

        nats_server.kill()
        try:
            await eventually(lambda: answers("/health/ready", 503), timeout_s=15)
            assert await answers("/health/live", 200)
            answer = await client.get("/api/spaces")
            assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
            assert answer.headers["retry-after"] == "1"
        finally:
            nats_server.revive()
        await eventually(lambda: answers("/health/ready", 200), timeout_s=15)
        await eventually(lambda: answers("/api/spaces", 200), timeout_s=15)


async def test_promtool_finds_nothing_wrong_with_the_metrics(process: Process) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian and Ubuntu: apt install prometheus)")
    process.backends.add_space("poems")
    async with httpx2.AsyncClient(base_url=process.url, headers=USER, trust_env=False) as client:
        await client.post("/api/spaces/poems/requests", json={"prompt": "hi"})
        metrics = (await client.get("/metrics")).content
    check = await asyncio.create_subprocess_exec(
        promtool,
        "check",
        "metrics",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await check.communicate(metrics)
    assert (check.returncode, output) == (0, b"")
