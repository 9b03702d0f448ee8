"""A handler process whose handler is async: all its requests run side by side as tasks of one event loop."""

import asyncio
import inspect
import json
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Never

from spaces_worker_agent.async_pipe import AsyncPipe, Part
from spaces_worker_agent.handler_output import Collected, done_body, failed_facts
from spaces_worker_agent.pipe import COUNT, Kind, pack, pack_json
from spaces_worker_agent.running import Running, bounded_progress
from spaces_worker_agent.sdk import FileUnavailable, Request

# A generator that never waits gives way to its neighbours, and to what it has yielded, after so much.
TURN_CHUNKS = 64
TURN_S = 0.001


class ConcurrentRequest:
    """One of the requests of this process; also its channel to the agent."""

    def __init__(self, pipe: AsyncPipe, number: int, body: bytes, root: Path) -> None:
        self._pipe = pipe
        self._number = number
        self.running = Running(number, body, root, self)
        self.request = self.running.request
        self.task: asyncio.Task[None] | None = None
        self.begun = False
        self._chunks: list[bytes] = []
        self._turn_ends_at = 0.0
        self._progress: dict[str, Any] | None = None
        self._room: asyncio.Future[None] | None = None
        self._answer: asyncio.Future[dict[str, Any]] | None = None
        self._files: list[Path | FileUnavailable] = []
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()

    def say(self, kind: Kind, body: bytes) -> None:
        self._send(pack(kind, self._number, body))

    # From the agent

    def cancel(self) -> None:
        self.running.stop.set()
        if self.begun and self.task is not None:
            self.task.cancel()

    def credit(self, n: int) -> None:
        self.running.window.stored(n)
        if self._room is not None and not self._room.done() and self.running.window.open:
            self._room.set_result(None)

    def answer(self, facts: dict[str, Any]) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(facts)

    async def bring_files(self) -> None:
        """Fetches all files before the handler starts: its `path` must not stop the loop."""
        for index in range(len(self.request.files)):
            self._answer = self._loop.create_future()
            self._send(pack_json(Kind.FETCH, self._number, {"index": index}))
            facts = await self._answer
            failed = "error" in facts
            self._files.append(FileUnavailable(facts["error"]) if failed else Path(facts["path"]))

    # From the handler

    async def consume(self, chunks: AsyncIterator[Any]) -> Any:
        """Sends what a generator yields; the final output made of it."""
        collected = Collected()
        try:
            async for chunk in chunks:
                self._chunk(collected.add(chunk))
                if not self.running.window.open:
                    await self._wait_for_room()
                elif len(self._chunks) >= TURN_CHUNKS or time.monotonic() >= self._turn_ends_at:
                    await asyncio.sleep(0)
                self.request.check_cancelled()
        finally:
            close = getattr(chunks, "aclose", None)
            if close is not None:
                await close()
        return collected.output()

    def progress(self, percent: float | None, message: str | None) -> None:
        """From any thread; of one turn of the loop only the newest is told."""
        facts = bounded_progress(percent, message)
        if threading.get_ident() == self._thread:
            self._tell(facts)
        else:
            self._loop.call_soon_threadsafe(self._tell, facts)

    def fetch(self, index: int) -> Path:
        found = self._files[index]
        if isinstance(found, FileUnavailable):
            raise found
        return found

    def work_dir(self) -> Path:
        return self.running.work_dir()

    # Inside

    def _send(self, part: Part) -> None:
        self._pipe.send(part)
        self._pipe.flush_soon()

    def _chunk(self, body: bytes) -> None:
        if not self._chunks:
            self._send(self._take_chunks)
            self._turn_ends_at = time.monotonic() + TURN_S
        self._chunks.append(body)
        self.running.window.sent(body)

    def _take_chunks(self) -> bytes:
        body = b"\n".join(self._chunks)
        self._chunks.clear()
        return pack(Kind.CHUNKS, self._number, body)

    async def _wait_for_room(self) -> None:
        self._room = self._loop.create_future()
        await self._room

    def _tell(self, facts: dict[str, Any]) -> None:
        if self._progress is None:
            self._send(self._take_progress)
        self._progress = facts

    def _take_progress(self) -> bytes:
        facts, self._progress = self._progress, None
        return pack_json(Kind.PROGRESS, self._number, facts)


class ConcurrentHandler:
    """Runs requests as they come and reports how they ended."""

    def __init__(self, handler: Callable[[Request], Any], root: Path) -> None:
        self._handler = handler
        self._root = root
        self._loop = asyncio.get_running_loop()
        self._requests: dict[int, ConcurrentRequest] = {}
        self._pipe = AsyncPipe(self._hear, self._heard, _leave)

    async def serve(self, end: socket.socket) -> None:
        """Never returns: the process ends with its pipe."""
        await self._loop.create_connection(lambda: self._pipe, sock=end)
        self._pipe.send(pack(Kind.READY, 0))
        self._pipe.flush()
        await self._loop.create_future()

    def _hear(self, kind: int, number: int, body: bytes) -> None:
        if kind == Kind.JOB:
            request = ConcurrentRequest(self._pipe, number, body, self._root)
            self._requests[number] = request
            request.task = self._loop.create_task(self._run(number, request))
            return
        known = self._requests.get(number)
        if known is None:
            return
        if kind == Kind.CANCEL:
            known.cancel()
        elif kind == Kind.CREDIT:
            known.credit(COUNT.unpack(body)[0])
        elif kind == Kind.FILE:
            known.answer(json.loads(body))

    def _heard(self) -> None:
        """A flush that comes right after the first steps of new tasks saves many a turn of the loop."""
        self._pipe.flush_soon()

    async def _run(self, number: int, current: ConcurrentRequest) -> None:
        running = current.running
        try:
            current.begun = True  # a cancel before this line would be lost with the task
            current.request.check_cancelled()
            if current.request.files:
                await current.bring_files()
            value = self._handler(current.request)
            if inspect.isasyncgen(value):
                value = await current.consume(value)
            elif inspect.isawaitable(value):
                value = await value
            body = done_body(value, work_dir=running.made_dir)
        # Foreign code: whatever it raises ends this request and not the process, even SystemExit.
        except BaseException as error:
            stopped = running.stop.is_set()
            facts = failed_facts(error, stopped=stopped, work_dir=running.made_dir)
            current.say(Kind.FAILED, json.dumps(facts).encode())
        else:
            current.say(Kind.DONE, body)
        del self._requests[number]


def _leave() -> Never:
    """The agent is gone or wants us gone; foreign code might keep an orderly end from coming."""
    os._exit(0)
