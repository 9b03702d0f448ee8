"""Handlers for tests: what each does is told by the request's parameters."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from spaces_worker_agent import Request


def handler(request: Request) -> object:
    """Echoes the prompt after `run_s` seconds; `raise` or `die` as the parameters say."""
    until = time.monotonic() + float(request.parameters.get("run_s", 0))
    _note(request)
    while (left := until - time.monotonic()) > 0:
        request.check_cancelled()
        time.sleep(min(left, 0.02))
    if "raise" in request.parameters:
        raise ValueError(request.parameters["raise"])
    if "die" in request.parameters:
        os.kill(os.getpid(), signal.SIGKILL)
    return {"echo": request.prompt, "attempt": request.attempt}


def count(request: Request) -> Iterator[str]:
    """Streams `chunks` numbers, `pace_s` seconds apart."""
    _note(request)
    for n in range(1, int(request.parameters.get("chunks", 10)) + 1):
        time.sleep(float(request.parameters.get("pace_s", 0)))
        yield f"{n} "


def digest(request: Request) -> object:
    """Tells name, size and SHA-256 of each file that came."""
    import hashlib

    files = []
    for file in request.files:
        with file.path.open("rb") as stream:
            files.append(
                {
                    "name": file.name,
                    "size_bytes": file.path.stat().st_size,
                    "sha256": hashlib.file_digest(stream, "sha256").hexdigest(),
                }
            )
    return {"echo": request.prompt, "files": files}


def _note(request: Request) -> None:
    """Adds a line per execution to the file named by EXECUTIONS, so that tests can count re-runs."""
    if path := os.environ.get("EXECUTIONS"):
        with Path(path).open("a", encoding="utf-8") as log:
            log.write(f"{request.request_id} {request.attempt}\n")
