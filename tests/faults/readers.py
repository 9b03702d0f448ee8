"""Readers of streams that lose their socket again and again, and resume where they were."""

import asyncio
import random
from typing import Any

from websockets.exceptions import WebSocketException

from tests.faults.history import Reading
from tests.faults.load import LoadClient
from tests.support.wire import ClientSocket, client_socket

CHUNKS = 40
_PACE_S = 0.025
# Without a frame for so long a reader comes again; the gateway's heartbeats are frames, too.
_SILENCE_S = 4.0
_PAUSE_S = 0.1
_PATIENCE_S = 180.0


class Readers:
    """Several readers side by side, each with one stream after the other."""

    def __init__(
        self, url: str, api_key: str, client: LoadClient, space_id: str, seed: int
    ) -> None:
        self._url, self._api_key = url, api_key
        self._client, self._space_id = client, space_id
        self._seed = seed
        self.readings: list[Reading] = []

    async def run(self, count: int, stop: asyncio.Event) -> None:
        """Until it is stopped and every stream that was begun has ended."""
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                group.create_task(self._one(random.Random(f"{self._seed}-{number}"), stop))

    async def _one(self, dice: random.Random, stop: asyncio.Event) -> None:
        parameters = {"chunks": CHUNKS, "pace_s": _PACE_S}
        while not stop.is_set():
            submission = await self._client.submit("stream", self._space_id, parameters)
            if submission.acknowledged_at is None:
                continue
            reading = Reading(submission.request_ids[0], CHUNKS)
            self.readings.append(reading)
            try:
                async with asyncio.timeout(_PATIENCE_S):
                    await self._read(reading, dice)
            except TimeoutError:
                pass  # the checker finds a reading without an end

    async def _read(self, reading: Reading, dice: random.Random) -> None:
        position = _Position()
        while not position.finished:
            try:
                async with client_socket(self._url, self._api_key) as socket:
                    await socket.subscribe(
                        reading.request_id, attempt=position.attempt, n=position.n
                    )
                    await self._until_cut(socket, reading, position, dice)
            except (OSError, TimeoutError, WebSocketException, AssertionError):
                # The link broke, or the gateway is not ready and says so instead of `ready`.
                await asyncio.sleep(_PAUSE_S)
            reading.resumes += not position.finished

    @staticmethod
    async def _until_cut(
        socket: ClientSocket, reading: Reading, position: "_Position", dice: random.Random
    ) -> None:
        for _ in range(dice.randint(5, 120)):
            frame = await socket.receive(timeout_s=_SILENCE_S)
            if frame.type in ("chunk", "reset", "finished"):
                told = frame.model_dump(mode="json")
                reading.frames.append((frame.type, told))
                position.take(frame.type, told)
            if frame.type == "goaway" or position.finished:
                return
        socket.cut()


class _Position:
    """The last chunk that a reader has."""

    def __init__(self) -> None:
        self.attempt = 0
        self.n = 0
        self.finished = False

    def take(self, kind: str, frame: dict[str, Any]) -> None:
        """Counts a frame."""
        if kind == "finished":
            self.finished = True
        elif kind == "reset":
            self.attempt, self.n = frame["attempt"], 0
        else:
            self.attempt, self.n = frame["attempt"], frame["n"] + len(frame["data"]) - 1
