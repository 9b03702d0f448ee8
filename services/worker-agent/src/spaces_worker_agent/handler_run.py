"""Runs one request inside a handler process, whatever shape the handler has."""

import asyncio
import inspect
import json
import math
import queue
import threading
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

from spaces_worker_agent.handler_target import TargetError
from spaces_worker_agent.pipe import BlockingPipe, Kind, PipeClosed, pack, pack_json
from spaces_worker_agent.sdk import Cancelled, FileUnavailable, OutputFile, Request

# A frame of the worker socket holds 1 MiB; 8 KiB are left for what surrounds the output.
MAX_OUTPUT_BYTES = 1_048_576 - 8_192
# Brokers carry it as a JSON string, in which quotes and backslashes take two bytes: a message there has 2 MiB, a stored
# chunk half of that.
MAX_QUOTED_BYTES = 2 * 1_048_576 - 65_536


class OutputTooLarge(Exception):
    """What the handler gave does not fit into a frame."""


class NotJson(Exception):
    """What the handler gave cannot be written as JSON."""


class RunningRequest:
    """One request inside this process; also its channel to the agent."""

    def __init__(self, pipe: BlockingPipe, job: dict[str, Any]) -> None:
        self._pipe = pipe
        self._dir = Path(job["work_dir"])
        self.stop = threading.Event()
        self.stop_task: Callable[[], object] | None = None
        self.fetched: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self.key: tuple[str, int] = (job["request_id"], job["attempt"])
        self.request = Request(
            job["payload"], facts=job, files=job["files"], channel=self, stop=self.stop
        )

    def cancel(self) -> None:
        """Called by the reading thread."""
        self.stop.set()
        self.fetched.put({"cancelled": True})
        if self.stop_task is not None:
            self.stop_task()

    def progress(self, percent: float | None, message: str | None) -> None:
        bounded: float | None = None
        if percent is not None and math.isfinite(percent):
            bounded = min(100.0, max(0.0, float(percent)))
        text = None if message is None else str(message)[:500]
        self._pipe.send(pack_json(Kind.PROGRESS, {"percent": bounded, "message": text}))

    def fetch(self, index: int) -> Path:
        self._pipe.send(pack_json(Kind.FETCH, {"index": index}))
        answer = self.fetched.get()
        if answer.get("cancelled"):
            raise Cancelled("the request was cancelled")
        if "error" in answer:
            raise FileUnavailable(answer["error"])
        return Path(answer["path"])

    def work_dir(self) -> Path:
        self._dir.mkdir(parents=True, exist_ok=True)
        return self._dir


class Invoker:
    """Holds the loaded handler; runs requests and reports how they ended."""

    def __init__(self, pipe: BlockingPipe) -> None:
        self._pipe = pipe
        self._handler: Callable[[Request], Any] | None = None
        self._runner: asyncio.Runner | None = None
        self._current: RunningRequest | None = None
        self._lock = threading.Lock()

    def prepare(self, handler: Callable[[Request], Any], load: Callable[[], Any] | None) -> None:
        """Calls `load()`, plain or async, once."""
        self._handler = handler
        if load is None:
            return
        outcome = load()
        if inspect.isawaitable(outcome):
            self._loop_runner().run(_awaited(outcome))

    def admit(self, body: bytes) -> RunningRequest:
        """Called by the reading thread: from here on a cancel finds the request."""
        running = RunningRequest(self._pipe, json.loads(body))
        with self._lock:
            self._current = running
        return running

    def hear(self, kind: Kind, body: bytes) -> None:
        """Called by the reading thread: a cancel, or a fetched file."""
        facts = json.loads(body)
        with self._lock:
            running = self._current
        if running is None or running.key != (facts["request_id"], facts["attempt"]):
            return
        if kind is Kind.CANCEL:
            running.cancel()
        elif kind is Kind.FILE:
            running.fetched.put(facts)

    def run(self, running: RunningRequest) -> None:
        """Runs one request to its end. Raises PipeClosed when the agent is gone."""
        try:
            message = self._outcome(running)
        except PipeClosed:
            raise
        except (Cancelled, asyncio.CancelledError) as error:
            if running.stop.is_set():
                message = pack_json(Kind.FAILED, {"code": "cancelled", "error": ""})
            else:
                message = self._failure("handler_failed", error)
        except OutputTooLarge as error:
            message = pack_json(Kind.FAILED, {"code": "output_too_large", "error": str(error)})
        # Foreign code: whatever it raises ends this request and not the process, even SystemExit.
        except BaseException as error:
            traceback.print_exc()
            message = self._failure("handler_failed", error)
        self._pipe.send(message)

    def _failure(self, code: str, error: BaseException) -> bytes:
        return pack_json(Kind.FAILED, {"code": code, "error": describe(error)})

    def _outcome(self, running: RunningRequest) -> bytes:
        assert self._handler is not None
        running.request.check_cancelled()
        value = self._handler(running.request)
        if inspect.isasyncgen(value):
            value = self._drive(running, self._consume_async(running, value))
        elif inspect.isawaitable(value):
            value = self._drive(running, _awaited(value))
        elif inspect.isgenerator(value):
            value = self._consume(running, value)
        return self._done(value)

    def _drive(self, running: RunningRequest, work: Any) -> Any:
        """Runs a coroutine on this process's loop so that a cancel reaches it as CancelledError."""
        runner = self._loop_runner()
        loop = runner.get_loop()

        async def main() -> Any:
            task = asyncio.current_task()
            assert task is not None
            running.stop_task = lambda: loop.call_soon_threadsafe(task.cancel)
            if running.stop.is_set():
                task.cancel()
            return await work

        return runner.run(main())

    def _loop_runner(self) -> asyncio.Runner:
        if self._runner is None:
            self._runner = asyncio.Runner()
        return self._runner

    def _consume(self, running: RunningRequest, chunks: Iterator[Any]) -> Any:
        streamed = Streamed(self._pipe)
        while True:
            try:
                chunk = next(chunks)
            except StopIteration as end:
                return streamed.output() if end.value is None else end.value
            streamed.send(chunk)
            if running.stop.is_set():
                close = getattr(chunks, "close", None)
                if close is not None:
                    close()
                raise Cancelled("the request was cancelled")

    async def _consume_async(self, running: RunningRequest, chunks: AsyncIterator[Any]) -> Any:
        streamed = Streamed(self._pipe)
        try:
            async for chunk in chunks:
                streamed.send(chunk)
                running.request.check_cancelled()
                # Without this a generator that never waits would keep a cancel from arriving.
                await asyncio.sleep(0)
        finally:
            close = getattr(chunks, "aclose", None)
            if close is not None:
                await close()
        return streamed.output()

    def _done(self, value: Any) -> bytes:
        files: list[OutputFile] = []
        value = _take_files(value, files)
        described = []
        for file in files:
            if not file.path.is_file():
                raise FileNotFoundError(f"output file {file.name!r} does not exist")
            path = str(file.path.resolve())
            described.append({"path": path, "name": file.name, "media_type": file.media_type})
        output = b"" if value is None else to_json(value)
        facts_line = json.dumps({"files": described}).encode()
        return pack(Kind.DONE, facts_line + b"\n" + output)


class Streamed:
    """Chunks on their way out, and the final output made of them."""

    def __init__(self, pipe: BlockingPipe) -> None:
        self._pipe = pipe
        self._kept: list[Any] = []
        self._kept_bytes = 0

    def send(self, chunk: Any) -> None:
        """Sends one chunk and keeps it for the final output."""
        if isinstance(chunk, OutputFile):
            raise NotJson("An OutputFile is returned, not yielded.")
        body = to_json(chunk, quoted_limit=MAX_OUTPUT_BYTES)
        self._pipe.send(pack(Kind.CHUNK, body))
        self._kept_bytes += len(body)
        if self._kept_bytes <= 2 * MAX_OUTPUT_BYTES:  # above that the output is refused anyway
            self._kept.append(chunk)

    def output(self) -> Any:
        """`{"text": …}` when every chunk was text, else `{"chunks": […]}`."""
        if self._kept_bytes > 2 * MAX_OUTPUT_BYTES:
            raise OutputTooLarge(
                f"The chunks add up to {self._kept_bytes} bytes and the final output may have "
                f"{MAX_OUTPUT_BYTES}; return a shorter value from the generator."
            )
        if all(isinstance(chunk, str) for chunk in self._kept):
            return {"text": "".join(self._kept)}
        return {"chunks": self._kept}


def to_json(value: Any, *, quoted_limit: int = MAX_QUOTED_BYTES) -> bytes:
    """JSON as bytes. Raises NotJson or OutputTooLarge."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        body = text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise NotJson(f"The handler's output is not JSON: {error}") from None
    quoted = len(body) + body.count(b'"') + body.count(b"\\")
    if quoted > quoted_limit or len(body) > MAX_OUTPUT_BYTES:
        raise OutputTooLarge(
            f"The output has {len(body)} bytes and may have {MAX_OUTPUT_BYTES}; "
            "return large content as an OutputFile."
        )
    return body


def describe(error: BaseException) -> str:
    """Type and text of an error, on one line of bounded length."""
    text = " ".join(str(error).split())
    if isinstance(error, TargetError | NotJson):
        return text[:2000]
    name = type(error).__name__
    return f"{name}: {text}"[:2000] if text else name


def _take_files(value: Any, files: list[OutputFile]) -> Any:
    """The value without its output files, which are collected."""
    if isinstance(value, OutputFile):
        files.append(value)
        return None
    if isinstance(value, list | tuple) and any(isinstance(item, OutputFile) for item in value):
        files.extend(item for item in value if isinstance(item, OutputFile))
        rest = [item for item in value if not isinstance(item, OutputFile)]
        return rest or None
    if isinstance(value, dict) and "files" in value:
        held = value["files"]
        members = list(held.values()) if isinstance(held, dict) else held
        members = members if isinstance(members, list | tuple) else [members]
        if members and all(isinstance(item, OutputFile) for item in members):
            files.extend(members)
            return {key: item for key, item in value.items() if key != "files"} or None
    return value


async def _awaited(value: Any) -> Any:
    return await value
