"""A stream survives its client's and its gateway's troubles: no chunk missing, none twice, in order."""

import asyncio
import random
from pathlib import Path

import httpx2
import pytest
from websockets.exceptions import WebSocketException

from spaces_contracts.client_socket import ChunkFrame, FinishedFrame, ResetFrame
from spaces_contracts.requests import RequestState
from tests.support.platform import Platform
from tests.support.wire import client_socket

HANDLERS = Path(__file__).parents[1] / "support/handlers/echo.py"
CHUNKS = 1000
CUTS = 50
# Trouble that a client meets while its gateway is away: it comes back for as long as that takes.
AWAY = (OSError, WebSocketException, EOFError)


class Listener:
    """Collects a stream over as many sockets as it takes."""

    def __init__(self, platform: Platform, request_id: str, dice: random.Random) -> None:
        self.platform = platform
        self.request_id = request_id
        self.dice = dice
        self.attempt = 0
        self.chunks: list[str] = []
        self.cuts = 0
        self.finished: FinishedFrame | None = None

    async def listen(self, cuts: int) -> FinishedFrame:
        """Listens to the end, breaking its own socket `cuts` times at random points."""
        while self.finished is None:
            limit = self.dice.randint(1, CHUNKS // CUTS - 4) if self.cuts < cuts else None
            try:
                await self._one_socket(limit)
            except AWAY:
                await asyncio.sleep(0)
        return self.finished

    async def _one_socket(self, limit: int | None) -> None:
        async with client_socket(self.platform.gateway_url, self.platform.admin_key) as client:
            await client.subscribe(self.request_id, attempt=self.attempt, n=len(self.chunks))
            taken = 0
            while self.finished is None:
                frame = await client.receive()
                if isinstance(frame, ResetFrame):
                    self.attempt, self.chunks = frame.attempt, []
                elif isinstance(frame, ChunkFrame):
                    assert frame.n == len(self.chunks) + 1, "a chunk is missing or came twice"
                    self.attempt = frame.attempt
                    self.chunks += [str(each) for each in frame.data]
                    taken += len(frame.data)
                elif isinstance(frame, FinishedFrame):
                    self.finished = frame
                if limit is not None and taken >= limit:
                    self.cuts += 1
                    client.cut()
                    return


async def _start_stream(platform: Platform, name: str, pace_s: float) -> str:
    space = platform.create_space(name, policy={"run_timeout_s": 300, "timeout_s": 300})
    platform.start_worker(name, spaces=[space["space_id"]], handler=f"{HANDLERS}:count")
    async with httpx2.AsyncClient(trust_env=False) as http:
        answer = await http.post(
            f"{platform.gateway_url}/api/spaces/{space['space_id']}/requests",
            json={"prompt": "count", "parameters": {"chunks": CHUNKS, "pace_s": pace_s}},
            headers={"Authorization": f"Bearer {platform.admin_key}"},
        )
    assert answer.status_code == 202, answer.text
    request_id: str = answer.json()["request_id"]
    return request_id


@pytest.mark.timeout(180)
async def test_a_client_cut_50_times_gets_all_1000_chunks_once_and_in_order(
    platform: Platform,
) -> None:
    request_id = await _start_stream(platform, "long stream", pace_s=0.005)
    listener = Listener(platform, request_id, random.Random(50))
    finished = await listener.listen(CUTS)
    assert finished.state is RequestState.SUCCEEDED
    assert finished.recovered
    assert listener.cuts == CUTS
    assert listener.chunks == [f"{n} " for n in range(1, CHUNKS + 1)]
    platform.stop_worker("long stream")


@pytest.mark.timeout(180)
async def test_a_gateway_killed_mid_stream_costs_no_chunk(platform: Platform) -> None:
    request_id = await _start_stream(platform, "killed stream", pace_s=0.01)
    listener = Listener(platform, request_id, random.Random(51))
    listening = asyncio.create_task(listener.listen(CUTS))
    while len(listener.chunks) < CHUNKS // 4:
        await asyncio.wait([listening], timeout=0.05)
    await asyncio.to_thread(platform.kill, "gateway")
    await asyncio.to_thread(platform.revive, "gateway")
    finished = await listening
    assert finished.state is RequestState.SUCCEEDED
    assert finished.attempt == 1, "the worker's job went on through the gateway's death"
    assert listener.chunks == [f"{n} " for n in range(1, CHUNKS + 1)]
    platform.stop_worker("killed stream")
