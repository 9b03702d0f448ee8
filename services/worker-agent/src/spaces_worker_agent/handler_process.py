"""A handler process: loads the handler once, then runs one request at a time.

It is started by the agent (`python -m spaces_worker_agent.handler_process`), in its own process group, with one end of
a socket pair. The main thread runs the handler; a second thread reads, so that a cancel reaches a busy handler.
"""

import ctypes
import os
import queue
import signal
import socket
import sys
import threading
import traceback
from typing import Any

from spaces_worker_agent.handler_run import Invoker, RunningRequest, describe
from spaces_worker_agent.handler_target import TargetError, load_method, load_target
from spaces_worker_agent.pipe import BlockingPipe, Kind, PipeClosed, pack_json

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> int:
    """`fd parent_pid target`."""
    fd, parent, target = int(arguments[0]), int(arguments[1]), arguments[2]
    die_with(parent)
    pipe = BlockingPipe(socket.socket(fileno=fd))
    invoker = Invoker(pipe)
    if not _load(pipe, invoker, target):
        return 1
    jobs: queue.SimpleQueue[RunningRequest] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(pipe, invoker, jobs), daemon=True).start()
    try:
        while True:
            invoker.run(jobs.get())
    except PipeClosed:
        return 0


def die_with(parent: int) -> None:
    """Asks the kernel to kill this process when the agent dies, however it dies."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the call above
        os._exit(1)


def _load(pipe: BlockingPipe, invoker: Invoker, target: str) -> bool:
    stage = "find"
    try:
        handler = load_target(target)
        stage = "load"
        load = load_method(handler)
        invoker.prepare(handler, load)
    # Foreign code: whatever it raises is reported, with its traceback in the agent's log.
    except BaseException as error:
        if not isinstance(error, TargetError):
            traceback.print_exc()
        facts = {"stage": stage, "target_error": isinstance(error, TargetError)}
        pipe.send(pack_json(Kind.BROKEN, facts | {"error": describe(error)}))
        return False
    pipe.send(pack_json(Kind.READY, {"pid": os.getpid()}))
    return True


def _read(pipe: BlockingPipe, invoker: Invoker, jobs: "queue.SimpleQueue[RunningRequest]") -> None:
    try:
        while True:
            kind, body = pipe.receive()
            if kind is Kind.JOB:
                jobs.put(invoker.admit(body))
            else:
                invoker.hear(kind, body)
    except PipeClosed:
        # The agent is gone or wants us gone; the main thread may be inside foreign code that never returns.
        os._exit(0)


def run(*arguments: Any) -> None:
    """Entry of `python -m`."""
    sys.exit(main([str(argument) for argument in arguments]))


if __name__ == "__main__":
    run(*sys.argv[1:])
