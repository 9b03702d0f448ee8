"""Handlers of every shape, run by the agents of these tests."""

import asyncio
import contextlib
import ctypes
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from pathlib import Path
from typing import Any

from spaces_worker_agent import OutputFile, Request


def handler(request: Request) -> dict[str, Any]:
    """The default: says what it got."""
    request.progress(50, "half")
    return {
        "text": f"{request.prompt}!",
        "request_id": request.request_id,
        "attempt": request.attempt,
        "space": request.space,
        "parameters": request.parameters,
        "queue_size": request.queue_size,
        "pid": os.getpid(),
        "group": os.getpgid(0),
        "has_token": "SPACES_WORKER_TOKEN" in os.environ,
    }


def told(request: Request) -> None:
    """Tells once and waits for its end."""
    request.progress(50, "half")
    request.wait_cancelled(60)


async def asynchronous(request: Request) -> dict[str, Any]:
    await asyncio.sleep(0)
    return {"text": request.prompt}


def streaming(request: Request) -> Iterator[Any]:
    for number in range(int(request.parameters.get("count", 3))):
        yield f"{number} "


def streaming_values(_request: Request) -> Iterator[Any]:
    yield {"token": 1}
    yield "two"


def streaming_with_return(_request: Request) -> Generator[Any, None, Any]:
    yield "a"
    return {"text": "all of it"}  # a generator's return value is the output


async def streaming_async(request: Request) -> AsyncIterator[Any]:
    for number in range(int(request.parameters.get("count", 3))):
        yield f"{number} "
        await asyncio.sleep(0)


class Model:
    def __init__(self) -> None:
        self.loads = 0
        self.handled = 0

    def load(self) -> None:
        self.loads += 1
        sys.stdout.write("model is loading\n")

    def handle(self, request: Request) -> dict[str, Any]:
        self.handled += 1
        return {"loads": self.loads, "handled": self.handled}


class AsyncModel:
    def __init__(self) -> None:
        self.loop: Any = None

    async def load(self) -> None:
        self.loop = asyncio.get_running_loop()

    async def handle(self, request: Request) -> bool:
        return self.loop is asyncio.get_running_loop()


class Unloadable:
    def load(self) -> None:
        raise RuntimeError("weights are missing")

    def handle(self, request: Request) -> None: ...


def raising(_request: Request) -> None:
    raise ValueError("no such voice:\n  'bob'")


def exiting(_request: Request) -> None:
    sys.exit(3)


def misbehaving(request: Request) -> Any:
    """Does what the prompt says."""
    deed = request.prompt
    if deed == "segfault":
        ctypes.string_at(0)
    elif deed == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif deed == "exit":
        os._exit(7)
    elif deed == "memory":
        # Above what this process has now, so that the next big allocation fails.
        limit = _address_space() + 64 * 1_048_576
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
        try:
            return len(bytearray(512 * 1_048_576))
        finally:
            hard = resource.getrlimit(resource.RLIMIT_AS)[1]
            resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
    elif deed == "set":
        return {1, 2}
    elif deed == "nan":
        return float("nan")
    elif deed == "surrogate":
        return "\ud800"
    elif deed == "large":
        return "x" * 1_100_000
    return {"text": "fine", "pid": os.getpid()}


def _address_space() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()


def blocking(request: Request) -> str:
    """Sleeps in one call, deaf to everything, and says in a file that it has begun."""
    Path(request.parameters["began"]).touch()
    time.sleep(float(request.parameters.get("seconds", 60)))
    return "slept"


def deaf(request: Request) -> str:
    """Ignores cancels and SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Path(request.parameters["began"]).touch()
    while True:
        time.sleep(60)


def cooperative(request: Request) -> dict[str, Any]:
    Path(request.parameters["began"]).touch()
    request.wait_cancelled(60)
    Path(request.parameters["stopped"]).touch()
    request.check_cancelled()
    return {"text": "not cancelled", "pid": os.getpid()}


async def cooperative_async(request: Request) -> str:
    mark(request, "began")
    try:
        await asyncio.sleep(60)
    finally:
        mark(request, "stopped")
    return "not cancelled"


def mark(request: Request, name: str) -> None:
    Path(request.parameters[name]).touch()


def gated(request: Request) -> Iterator[str]:
    """Yields one chunk, then waits for a file, then yields the rest."""
    yield "first "
    gate = Path(request.parameters["gate"])
    while not gate.exists() and not request.wait_cancelled(0.01):
        pass
    for number in range(int(request.parameters.get("count", 0))):
        yield f"{number} "
    yield "last"


def flooding(request: Request) -> Iterator[str]:
    """Notes how far it came, so that a test sees the back pressure."""
    far = Path(request.parameters["far"])
    for number in range(5000):
        far.write_text(str(number))
        yield "x" * 100


def with_files(request: Request) -> dict[str, Any]:
    content = request.files[0].path.read_bytes()
    out = request.work_dir / "copy.txt"
    out.write_bytes(content + b" copied")
    return {
        "place": str(request.files[0].path),
        "suffix": request.files[0].path.suffix,
        "files": [OutputFile(out, media_type="text/plain")],
    }


def chatty_progress(request: Request) -> str:
    for number in range(10_000):
        request.progress(number / 100)
    return "done"


def printing(_request: Request) -> str:
    sys.stdout.write("to stdout\n")
    sys.stderr.write("x" * 20_000)
    return "ok"


def missing_output(_request: Request) -> OutputFile:
    return OutputFile("/nowhere/none.txt")


def forking(request: Request) -> dict[str, Any]:
    """Leaves a child behind that holds everything open, and dies."""
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    Path(request.parameters["child"]).write_text(str(child))
    os._exit(9)


def threaded(request: Request) -> Generator[str, None, None]:
    """Tells progress from many threads while it yields."""

    def tell() -> None:
        for number in range(500):
            request.progress(number / 10, "x" * 400)

    threads = [threading.Thread(target=tell) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(500):
        yield f"{number} "
    for thread in threads:
        thread.join()


class LoadsOnce:
    """Cannot be loaded a second time."""

    def load(self) -> None:
        flag = Path(os.environ["LOADED_FLAG"])
        if flag.exists():
            raise RuntimeError("the GPU is taken")
        flag.touch()

    def handle(self, request: Request) -> None:
        os._exit(1)


def wide(_request: Request) -> Iterator[str]:
    """Chunks of characters that take four bytes each."""
    for _ in range(40):
        yield "\U0001d11e" * 20_000


def many_files(request: Request) -> dict[str, Any]:
    """Output that fits by itself, but not with its files."""
    out = request.work_dir / "out"
    out.touch()
    return {"text": "x" * 1_040_000, "files": [OutputFile(out)] * 40}


async def side_by_side(request: Request) -> dict[str, Any]:
    """Ends when its partner has begun too, which takes two at a time."""
    meeting = request.parameters["meeting"]
    mark_as(f"{meeting}/{request.request_id}")
    await until(lambda: how_many(meeting) >= request.parameters["count"])
    return {"pid": os.getpid()}


def how_many(place: str) -> int:
    return len(list(Path(place).iterdir()))


def mark_as(place: str) -> None:
    Path(place).touch()


async def until(true: Callable[[], bool]) -> None:
    for _ in range(12_000):
        if true():
            return
        await asyncio.sleep(0.005)


async def ignore_cancels() -> None:
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)


async def deeds(request: Request) -> Any:
    """Does what the prompt says, beside others."""
    if "began" in request.parameters:
        mark(request, "began")
    if request.prompt == "die":
        os._exit(5)
    elif request.prompt == "exit":
        sys.exit(3)
    elif request.prompt == "wait":
        await until(lambda: os.path.exists(request.parameters["gate"]))  # noqa: PTH110  # as a call
    elif request.prompt == "deaf":
        await ignore_cancels()
    return {"pid": os.getpid()}


async def progressing(request: Request) -> None:
    """Tells more than anybody wants to hear, last from another thread."""
    for number in range(5000):
        request.progress(number / 50)
    await asyncio.to_thread(request.progress, 100, "from a thread")


class Parallel:
    """Async, and says how often it was loaded in this process."""

    def __init__(self) -> None:
        self.loads = 0

    def load(self) -> None:
        self.loads += 1

    async def handle(self, request: Request) -> dict[str, Any]:
        return {"loads": self.loads, "pid": os.getpid()}


async def flooding_async(request: Request) -> AsyncIterator[str]:
    """Never waits by itself, and notes how far it came."""
    for number in range(5000):
        if number % 8 == 0:
            note(request, number)
        yield "x" * 100


def note(request: Request, number: int) -> None:
    Path(request.parameters["far"]).write_text(str(number))


async def reads_file(request: Request) -> dict[str, Any]:
    try:
        return {"content": request.files[0].path.read_text()}
    except OSError as error:
        return {"error": str(error)}


def nothing(_request: Request) -> None: ...
