"""The load generator's own process: a Load as JSON on standard input, lines of JSON on standard output."""

import asyncio
import gc
import json
import random
import sys
from collections.abc import Callable
from functools import partial

import uvloop

from tests.bench.load.connections import Arrivals, HttpWalker, SocketWalker, Walker
from tests.bench.load.figures import Figures
from tests.bench.load.flow import Flow, Load, clock
from tests.bench.load.flows import FLOWS, TASKS
from tests.bench.load.recorder import Recorder

_CONNECT_AT_ONCE = 64
_AFTERWARDS_CLIENTS = 16
# What was offered in the measured time is read afterwards; on a busy machine that takes longer than offering it.
_AFTERWARDS_S = 60.0
_AFTERWARDS_TIMES = 4.0
Tell = Callable[[dict[str, object]], None]


async def run(load: Load, tell: Tell) -> Figures:
    """Connects, warms up, measures, leaves."""
    recorder = Recorder()
    if load.flow in TASKS:
        await _run_task(load, recorder, tell)
        return recorder.figures()
    entry = FLOWS[load.flow]
    arrivals = Arrivals() if load.rate else None
    kind: type[Walker] = SocketWalker if entry.socket else HttpWalker
    walkers = await _connect(load, entry.flow, recorder, arrivals, kind)
    offering = asyncio.create_task(_offer(load, arrivals)) if arrivals else None
    await _phases(load, recorder, tell)
    if offering:
        offering.cancel()
    for walker in walkers:
        walker.close()
    if entry.afterwards:
        few = Load(**{**vars(load), "clients": _AFTERWARDS_CLIENTS})
        walkers = await _connect(few, entry.afterwards, recorder, None, HttpWalker)
        async with asyncio.timeout(_AFTERWARDS_S + _AFTERWARDS_TIMES * load.seconds):
            await asyncio.gather(*(walker.ended for walker in walkers))
    return recorder.figures()


async def _phases(load: Load, recorder: Recorder, tell: Tell) -> None:
    await asyncio.sleep(load.warm_s)
    tell({"phase": "measuring"})
    recorder.begin()
    await asyncio.sleep(load.seconds)
    recorder.end()
    tell({"phase": "measured"})


async def _run_task(load: Load, recorder: Recorder, tell: Tell) -> None:
    phases = asyncio.create_task(_phases(load, recorder, tell))
    work = asyncio.ensure_future(TASKS[load.flow](load, recorder))
    await asyncio.wait([phases, work], return_when=asyncio.FIRST_COMPLETED)
    if work.done():
        await work  # raises what went wrong
    work.cancel()


async def _connect(
    load: Load, flow: Flow, recorder: Recorder, arrivals: Arrivals | None, kind: type[Walker]
) -> list[Walker]:
    loop = asyncio.get_running_loop()
    walkers: list[Walker] = []
    for first in range(0, load.clients, _CONNECT_AT_ONCE):
        numbers = range(first, min(first + _CONNECT_AT_ONCE, load.clients))
        made = await asyncio.gather(
            *(
                loop.create_connection(
                    partial(kind, partial(flow, load, number, recorder), recorder, arrivals),
                    "127.0.0.1",
                    load.port,
                )
                for number in numbers
            )
        )
        walkers += [walker for _, walker in made]
    return walkers


async def _offer(load: Load, arrivals: Arrivals) -> None:
    """Requests become due at random, the same way each time."""
    chance = random.Random(1)
    due = clock()
    while True:
        due += chance.expovariate(load.rate)
        delay = due - clock()
        if delay > 0:
            await asyncio.sleep(delay)
        arrivals.arrive(due)


def _tell(fact: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(fact) + "\n")
    sys.stdout.flush()


def main() -> None:
    """One load, then the end."""
    facts = json.loads(sys.stdin.readline())
    load = Load(**{**facts, "spaces": tuple(facts["spaces"])})
    gc.freeze()
    gc.disable()  # a run is short and leaves no cycles; a collection would show in the percentiles
    figures = uvloop.run(run(load, _tell))
    _tell({"phase": "done", "figures": figures.as_json()})


if __name__ == "__main__":
    main()
