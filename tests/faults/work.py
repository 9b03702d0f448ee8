"""What the campaign's workers do; each execution writes a line when it begins and one when it ends."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

from spaces_worker_agent import Request


def echo(request: Request) -> object:
    """Echoes the prompt after `run_s` seconds; later attempts after `again_s`, if that is given."""
    _note("begun", request)
    asked = request.parameters.get("run_s", 0)
    if request.attempt > 1:
        asked = request.parameters.get("again_s", asked)
    until = time.monotonic() + float(asked)
    while (left := until - time.monotonic()) > 0:
        request.check_cancelled()
        time.sleep(min(left, 0.02))
    _note("ended", request)
    return {"echo": request.prompt, "attempt": request.attempt}


def count(request: Request) -> Iterator[str]:
    """Streams `chunks` numbers, `pace_s` seconds apart."""
    _note("begun", request)
    for n in range(1, int(request.parameters.get("chunks", 10)) + 1):
        time.sleep(float(request.parameters.get("pace_s", 0)))
        yield f"{n} "
    _note("ended", request)


def _note(what: str, request: Request) -> None:
    # The steady clock is one for all processes of a machine, whatever is done to their wall clocks.
    line = f"{what} {request.request_id} {request.attempt} {time.monotonic():.6f}\n"
    with Path(os.environ["EXECUTIONS"]).open("a", encoding="utf-8") as log:
        log.write(line)
