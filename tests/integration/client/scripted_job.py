"""One request of the scripted gateway; the test plays its worker."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any, Protocol

from spaces_contracts.client_socket import (
    ChunkFrame,
    FinishedFrame,
    ProgressFrame,
    ResetFrame,
    StatusFrame,
)
from spaces_contracts.frames import Frame
from spaces_contracts.problems import Problem
from spaces_contracts.requests import RequestState

NOW = "2026-11-21T12:00:00Z"


class Listener(Protocol):
    """Whoever watches a job."""

    async def say(self, frame: Frame) -> None:
        """Takes one frame."""


@dataclass
class Job:
    """One request; the test plays its worker."""

    request_id: str
    space_id: str
    body: dict[str, Any]
    state: RequestState = RequestState.QUEUED
    attempt: int = 0
    chunks: list[Any] = field(default_factory=list)
    output: Any = None
    error: Problem | None = None
    recovered: bool = True
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    listeners: list[Listener] = field(default_factory=list)

    async def start(self) -> None:
        """A new attempt."""
        again = self.attempt > 0
        self.attempt += 1
        self.chunks = []
        self.state = RequestState.RUNNING
        await self.tell(self.status())
        if again:
            await self.tell(ResetFrame(request_id=self.request_id, attempt=self.attempt))

    async def progress(self, percent: float, message: str | None = None) -> None:
        """How far it is."""
        await self.tell(
            ProgressFrame(
                request_id=self.request_id, attempt=self.attempt, percent=percent, message=message
            )
        )

    async def chunk(self, *data: Any) -> None:
        """Some output."""
        first = len(self.chunks) + 1
        self.chunks.extend(data)
        await self.tell(self.chunk_frame(first))

    async def finish(
        self, state: RequestState = RequestState.SUCCEEDED, output: Any = None
    ) -> None:
        """The end."""
        self.state, self.output = state, output
        self.ended.set()
        await self.tell(self.finished())

    def chunk_frame(self, first: int) -> ChunkFrame:
        """The chunks from number `first` on."""
        return ChunkFrame(
            request_id=self.request_id,
            attempt=self.attempt,
            n=first,
            data=self.chunks[first - 1 :],
        )

    def status(self) -> StatusFrame:
        """Where it is."""
        return StatusFrame(
            request_id=self.request_id,
            space_id=self.space_id,
            state=self.state,
            attempt=self.attempt,
            position=1 if self.state is RequestState.QUEUED else None,
            queue_size=1 if self.state is RequestState.QUEUED else 0,
        )

    def finished(self) -> FinishedFrame:
        """The frame of its end."""
        return FinishedFrame(
            request_id=self.request_id,
            space_id=self.space_id,
            state=self.state,
            attempt=self.attempt,
            last_n=len(self.chunks),
            recovered=self.recovered,
            output=self.output,
            error=self.error,
            queue_ms=1,
            run_ms=2,
            processing_time_seconds=0.002,
        )

    def view(self) -> dict[str, Any]:
        """Its JSON in the HTTP API."""
        view: dict[str, Any] = json.loads(self.status().model_dump_json(exclude={"type", "ref"}))
        view |= {"created_at": NOW, "output": self.output}
        if self.state.terminal:
            view |= {"finished_at": NOW, "queue_ms": 1, "run_ms": 2}
        if self.error:
            view["error"] = {"code": self.error.code, "message": self.error.message}
        return view

    async def tell(self, frame: Frame) -> None:
        """To everybody who listens."""
        for session in list(self.listeners):
            await session.say(frame)
