"""A handler process: loads the handler once, then runs requests until its pipe closes.

It is started by the agent (`python -m spaces_worker_agent.handler_process`), in its own process group, with one end of
a socket pair. An async handler serves many requests side by side, any other one after another.
"""

import asyncio
import ctypes
import inspect
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from spaces_worker_agent.blocking_handler import BlockingHandler, awaited
from spaces_worker_agent.concurrent_handler import ConcurrentHandler
from spaces_worker_agent.handler_output import describe
from spaces_worker_agent.handler_target import TargetError, is_async, load_method, load_target
from spaces_worker_agent.pipe import BlockingPipe, Kind, pack, pack_json

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> int:
    """`fd parent_pid work_root target`."""
    fd, parent = int(arguments[0]), int(arguments[1])
    root, target = Path(arguments[2]), arguments[3]
    die_with(parent)
    end = socket.socket(fileno=fd)
    pipe = BlockingPipe(end)
    runner = asyncio.Runner()
    handler = _load(pipe, runner, target)
    if handler is None:
        return 1
    if is_async(handler):
        end.setblocking(False)
        runner.run(_serve(handler, root, end))
    pipe.send(pack(Kind.READY, 0))
    BlockingHandler(pipe, handler, runner, root).serve()
    return 0


def die_with(parent: int) -> None:
    """Asks the kernel to kill this process when the agent dies, however it dies."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the call above
        os._exit(1)


def _load(pipe: BlockingPipe, runner: asyncio.Runner, target: str) -> Callable[..., Any] | None:
    """The handler, ready to be called; None when it is not to be had, which was said then."""
    stage = "find"
    try:
        handler = load_target(target)
        pipe.send(pack_json(Kind.FOUND, 0, {"concurrent": is_async(handler)}))
        stage = "load"
        load = load_method(handler)
        outcome = None if load is None else load()
        if inspect.isawaitable(outcome):
            runner.run(awaited(outcome))
    # Foreign code: whatever it raises is reported, with its traceback in the agent's log.
    except BaseException as error:
        if not isinstance(error, TargetError):
            traceback.print_exc()
        facts = {"stage": stage, "target_error": isinstance(error, TargetError)}
        pipe.send(pack_json(Kind.BROKEN, 0, facts | {"error": describe(error)}))
        return None
    return handler


async def _serve(handler: Callable[..., Any], root: Path, end: socket.socket) -> None:
    await ConcurrentHandler(handler, root).serve(end)


def run(*arguments: Any) -> None:
    """Entry of `python -m`."""
    sys.exit(main([str(argument) for argument in arguments]))


if __name__ == "__main__":
    run(*sys.argv[1:])
