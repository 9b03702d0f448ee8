"""The real agent on the direct NATS link: the same promises as through the gateway."""

import asyncio
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from spaces_contracts.client_socket import ChunkFrame, FinishedFrame, ResetFrame
from spaces_contracts.requests import RequestState
from tests.support.api import Api
from tests.support.eventually import eventually
from tests.support.platform import Platform
from tests.support.wire import ClientSocket, client_socket

HANDLERS = Path(__file__).parents[1] / "support/handlers/echo.py"
CHUNKS = 300


class Direct:
    """A space that one agent serves over NATS."""

    def __init__(self, platform: Platform, name: str, executions: Path) -> None:
        self.platform = platform
        self.worker = f"direct {name}"
        self.space_id = platform.create_space(
            name, inputs=["prompt", "file"], policy={"when_offline": "queue"}
        )["space_id"]
        self.executions = executions

    def serve(self, handler: str) -> None:
        """Starts the agent; it dials NATS for work, and the gateway for files only."""
        nats_url = self.platform.processes.describe().nats_url
        self.platform.start_worker(
            self.worker,
            spaces=[self.space_id],
            handler=f"{HANDLERS}:{handler}",
            arguments=["--link", "nats", "--nats-url", str(nats_url), "--verbose"],
            env={"EXECUTIONS": str(self.executions)},
        )

    def runs(self, request_id: str) -> list[int]:
        """The attempts whose handler began."""
        if not self.executions.exists():
            return []
        lines = (line.split() for line in self.executions.read_text().splitlines())
        return [int(attempt) for ran, attempt in lines if ran == request_id]


@pytest.fixture
def direct(request: pytest.FixtureRequest, platform: Platform, tmp_path: Path) -> Iterator[Direct]:
    """A space of this test's own, and the agent that serves it."""
    name = request.node.name.removeprefix("test_").replace("_", " ")[:60]
    direct = Direct(platform, name, tmp_path / "executions")
    yield direct
    platform.stop_worker(direct.worker)


async def chunks_of(client: ClientSocket, request_id: str) -> tuple[list[str], FinishedFrame]:
    """A request's whole stream, from its beginning."""
    await client.subscribe(request_id)
    chunks: list[str] = []
    while not isinstance(frame := await client.receive(), FinishedFrame):
        if isinstance(frame, ResetFrame):
            chunks = []
        elif isinstance(frame, ChunkFrame):
            assert frame.n == len(chunks) + 1, "a chunk is missing or came twice"
            chunks += [str(each) for each in frame.data]
    return chunks, frame


async def readable(admin: Api, request_id: str) -> bool:
    """Whether gateway and scheduler have found each other again."""
    return (await admin.http.get(f"/api/requests/{request_id}")).status_code == 200


async def test_a_prompt_is_answered_by_a_worker_that_only_dialled_nats(
    admin: Api, direct: Direct
) -> None:
    await asyncio.to_thread(direct.serve, "handler")
    request = await admin.ended((await admin.submit(direct.space_id, "hello"))["request_id"])
    assert (request["state"], request["output"]) == ("succeeded", {"echo": "hello", "attempt": 1})


async def test_chunks_are_streamed_live_and_replayed_afterwards(
    platform: Platform, admin: Api, direct: Direct
) -> None:
    await asyncio.to_thread(direct.serve, "count")
    submitted = await admin.submit(direct.space_id, parameters={"chunks": CHUNKS, "pace_s": 0.003})
    expected = [f"{n} " for n in range(1, CHUNKS + 1)]
    async with client_socket(platform.gateway_url, platform.admin_key) as client:
        live, finished = await chunks_of(client, submitted["request_id"])
    assert live == expected
    assert (finished.state, finished.recovered) == (RequestState.SUCCEEDED, True)
    async with client_socket(platform.gateway_url, platform.admin_key) as client:
        replayed, finished = await chunks_of(client, submitted["request_id"])
    assert replayed == expected
    assert (finished.output, finished.recovered) == ({"text": "".join(expected)}, True)


async def test_a_cancel_stops_the_handler(admin: Api, direct: Direct) -> None:
    await asyncio.to_thread(direct.serve, "handler")
    request_id = (await admin.submit(direct.space_id, parameters={"run_s": 60}))["request_id"]
    await eventually(lambda: direct.runs(request_id) == [1], timeout_s=10)
    await admin.cancel(request_id)
    request = await admin.ended(request_id)
    assert request["state"] == "cancelled"
    assert request["error"]["code"] == "cancelled"
    # The slot is free again.
    next_one = await admin.ended((await admin.submit(direct.space_id))["request_id"])
    assert next_one["state"] == "succeeded"


async def test_files_come_over_the_gateway(admin: Api, direct: Direct) -> None:
    await asyncio.to_thread(direct.serve, "digest")
    content = b"0123456789abcdef" * 100_000
    file = (
        await admin.http.post("/api/files", content=content, headers={"X-File-Name": "in.txt"})
    ).json()
    submitted = await admin.submit(direct.space_id, files=[file["file_id"]])
    request = await admin.ended(submitted["request_id"])
    assert request["state"] == "succeeded", request
    assert request["output"]["files"] == [
        {
            "name": "in.txt",
            "size_bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
    ]


async def test_a_killed_agent_comes_back_and_its_work_ends_once(
    platform: Platform, admin: Api, direct: Direct
) -> None:
    await asyncio.to_thread(direct.serve, "handler")
    running = (await admin.submit(direct.space_id, "first", parameters={"run_s": 2}))["request_id"]
    waiting = [(await admin.submit(direct.space_id, f"{n}"))["request_id"] for n in range(5)]
    await eventually(lambda: direct.runs(running) == [1], timeout_s=10)
    await asyncio.to_thread(platform.kill, direct.worker)
    await asyncio.to_thread(platform.revive, direct.worker)
    first = await admin.ended(running)
    # A handler died with its agent, so the work is run once more; had it been finished, never.
    assert (first["state"], first["output"]) == ("succeeded", {"echo": "first", "attempt": 2})
    assert direct.runs(running) == [1, 2]
    ended = [await admin.ended(request_id) for request_id in waiting]
    assert [one["output"]["echo"] for one in ended] == [f"{n}" for n in range(5)]
    assert [direct.runs(request_id) for request_id in waiting] == [[1]] * 5
    started = [one["started_at"] for one in ended]
    assert started == sorted(started), "the queue kept its order"


async def test_a_brokers_death_does_not_end_what_runs(
    platform: Platform, admin: Api, direct: Direct
) -> None:
    """The broker dies under a running job: the agent goes on, and its result is stored once."""
    await asyncio.to_thread(direct.serve, "handler")
    running = (await admin.submit(direct.space_id, "first", parameters={"run_s": 3}))["request_id"]
    await eventually(lambda: direct.runs(running) == [1], timeout_s=10)
    await asyncio.to_thread(platform.kill, "nats")
    await asyncio.to_thread(platform.revive, "nats")
    await eventually(lambda: readable(admin, running), timeout_s=20)
    request = await admin.ended(running)
    assert (request["state"], request["attempt"]) == ("succeeded", 1)
    assert direct.runs(running) == [1]
