"""A handler process whose handler blocks: one request at a time on the main thread, read for by another."""

import asyncio
import inspect
import json
import os
import queue
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

from spaces_worker_agent.handler_output import Collected, done_body, failed_facts
from spaces_worker_agent.pipe import COUNT, BlockingPipe, Kind, PipeClosed, pack, pack_json
from spaces_worker_agent.running import Running, bounded_progress
from spaces_worker_agent.sdk import Cancelled, FileUnavailable, Request

Handler = Callable[[Request], Any]


class BlockingRequest:
    """The one request of this process; also its channel to the agent."""

    def __init__(self, pipe: BlockingPipe, number: int, body: bytes, root: Path) -> None:
        self._pipe = pipe
        self.running = Running(number, body, root, self)
        self.request = self.running.request
        self.stop_task: Callable[[], object] | None = None
        self.fetched: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._room = threading.Condition()

    @property
    def stopped(self) -> bool:
        return self.running.stop.is_set()

    def say(self, kind: Kind, body: bytes) -> None:
        self._pipe.send(pack(kind, self.running.number, body))

    def say_json(self, kind: Kind, facts: dict[str, Any]) -> None:
        self._pipe.send(pack_json(kind, self.running.number, facts))

    # Called by the reading thread

    def cancel(self) -> None:
        self.running.stop.set()
        self.fetched.put({"cancelled": True})
        if self.stop_task is not None:
            self.stop_task()
        with self._room:
            self._room.notify_all()

    def credit(self, n: int) -> None:
        with self._room:
            self.running.window.stored(n)
            self._room.notify_all()

    # Called by the handler

    def chunk(self, body: bytes) -> None:
        """Sends one chunk, and waits while too many are on their way."""
        self.say(Kind.CHUNKS, body)
        with self._room:
            if not self.running.window.sent(body):
                self._room.wait_for(lambda: self.stopped or self.running.window.open)

    def progress(self, percent: float | None, message: str | None) -> None:
        self.say_json(Kind.PROGRESS, bounded_progress(percent, message))

    def fetch(self, index: int) -> Path:
        self.say_json(Kind.FETCH, {"index": index})
        answer = self.fetched.get()
        if answer.get("cancelled"):
            raise Cancelled("the request was cancelled")
        if "error" in answer:
            raise FileUnavailable(answer["error"])
        return Path(answer["path"])

    def work_dir(self) -> Path:
        return self.running.work_dir()


class BlockingHandler:
    """Runs requests one after another and reports how they ended."""

    def __init__(
        self, pipe: BlockingPipe, handler: Handler, runner: asyncio.Runner, root: Path
    ) -> None:
        self._pipe = pipe
        self._handler = handler
        self._runner = runner
        self._root = root
        self._jobs: queue.SimpleQueue[BlockingRequest] = queue.SimpleQueue()
        self._current: BlockingRequest | None = None

    def serve(self) -> None:
        """Returns when the agent is gone."""
        threading.Thread(target=self._read, daemon=True).start()
        try:
            while True:
                self._run(self._jobs.get())
        except PipeClosed:
            return

    def _read(self) -> None:
        try:
            while True:
                for kind, number, body in self._pipe.receive():
                    self._hear(kind, number, body)
        except PipeClosed:
            # The agent is gone or wants us gone; the main thread may be inside foreign code that never returns.
            os._exit(0)

    def _hear(self, kind: int, number: int, body: bytes) -> None:
        if kind == Kind.JOB:
            # From here on a cancel finds the request.
            self._current = BlockingRequest(self._pipe, number, body, self._root)
            self._jobs.put(self._current)
            return
        current = self._current
        if current is None or current.running.number != number:
            return
        if kind == Kind.CANCEL:
            current.cancel()
        elif kind == Kind.CREDIT:
            current.credit(COUNT.unpack(body)[0])
        elif kind == Kind.FILE:
            current.fetched.put(json.loads(body))

    def _run(self, current: BlockingRequest) -> None:
        running = current.running
        try:
            value = self._outcome(current)
            body = done_body(value, work_dir=running.made_dir)
        except PipeClosed:
            raise
        # Foreign code: whatever it raises ends this request and not the process, even SystemExit.
        except BaseException as error:
            facts = failed_facts(error, stopped=current.stopped, work_dir=running.made_dir)
            current.say_json(Kind.FAILED, facts)
        else:
            current.say(Kind.DONE, body)

    def _outcome(self, current: BlockingRequest) -> Any:
        current.request.check_cancelled()
        value = self._handler(current.request)
        # A plain function may still return something to await.
        if inspect.isasyncgen(value):
            return self._drive(current, self._consume_async(current, value))
        if inspect.isawaitable(value):
            return self._drive(current, awaited(value))
        if inspect.isgenerator(value):
            return self._consume(current, value)
        return value

    def _drive(self, current: BlockingRequest, work: Any) -> Any:
        """Runs a coroutine on this process's loop so that a cancel reaches it as CancelledError."""
        loop = self._runner.get_loop()

        async def main() -> Any:
            task = asyncio.current_task()
            assert task is not None
            current.stop_task = lambda: loop.call_soon_threadsafe(task.cancel)
            if current.stopped:
                task.cancel()
            return await work

        return self._runner.run(main())

    def _consume(self, current: BlockingRequest, chunks: Iterator[Any]) -> Any:
        collected = Collected()
        while True:
            try:
                chunk = next(chunks)
            except StopIteration as end:
                return collected.output() if end.value is None else end.value
            current.chunk(collected.add(chunk))
            if current.stopped:
                close = getattr(chunks, "close", None)
                if close is not None:
                    close()
                raise Cancelled("the request was cancelled")

    async def _consume_async(self, current: BlockingRequest, chunks: AsyncIterator[Any]) -> Any:
        collected = Collected()
        try:
            async for chunk in chunks:
                current.chunk(collected.add(chunk))
                current.request.check_cancelled()
                # Without this a generator that never waits would keep a cancel from arriving.
                await asyncio.sleep(0)
        finally:
            close = getattr(chunks, "aclose", None)
            if close is not None:
                await close()
        return collected.output()


async def awaited(value: Any) -> Any:
    """A coroutine out of anything that can be awaited."""
    return await value
