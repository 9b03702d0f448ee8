"""Malformed and adversarial frames on both sockets, beside a client that only wants its answers.

Nothing may be logged as an error, the client's answers stay as quick as they were, and the gateway does not grow.
"""

import json
import multiprocessing
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import OK, HTTPConnection
from typing import Any

import psutil
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from tests.conformance.websocket.broken_frames import PIECES
from tests.conformance.websocket.live_gateway import CLIENT, WORKER, LiveGateway, live_gateway
from tests.security.campaign import Campaign

# A sign-in costs a transaction; most strangers never get that far.
_SIGN_IN_EACH = 20
# Answers of the client that are compared: before, and meanwhile.
_CALM_S = 10.0
MOST_TIMES = 1.5
# What the first tenth of the frames costs is caches and pools.
MOST_MIB = 4.0
_PAUSE_S = 0.005
_SMALL = 10_000
_MIB = 1_048_576


class Neighbour:
    """A client whose requests a worker answers one by one, in a process of its own: not our load is measured."""

    def __init__(self, live: LiveGateway) -> None:
        spawning = multiprocessing.get_context("spawn")
        self._done = spawning.Event()
        self._told, child = spawning.Pipe(duplex=False)
        path = f"/api/spaces/{live.space_id}/requests?wait=20"
        self._process = spawning.Process(
            target=_ask, args=(live.port, path, live.platform.admin_key, self._done, child)
        )
        self._process.start()

    def heard(self) -> list[tuple[float, float]]:
        """Ends it: when each answer came by the monotonic clock, and how many seconds it took."""
        self._done.set()
        times: list[tuple[float, float]] = self._told.recv()
        self._process.join()
        return times


def _ask(port: int, path: str, key: str, done: Any, tell: Any) -> None:
    times: list[tuple[float, float]] = []
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    while not done.wait(_PAUSE_S):
        prompt = str(len(times))
        began = time.monotonic()
        connection.request("POST", path, json.dumps({"prompt": prompt}), headers)
        answer = connection.getresponse()
        content = json.loads(answer.read())
        if answer.status != OK or content["output"]["echo"] != prompt:
            break
        ended = time.monotonic()
        times.append((ended, ended - began))
    tell.send(times)


def run(frames: int = 100_000, number: int = 1) -> Campaign:
    """So many frames, half of them to each socket."""
    found = Campaign("frames")
    with live_gateway() as live:
        live.log.restart()
        neighbour = Neighbour(live)
        time.sleep(_CALM_S if frames > _SMALL else 1.0)
        calm_until = time.monotonic()
        with ThreadPoolExecutor(1, initializer=_out_of_the_way) as attacker:
            for path in (CLIENT, WORKER):
                attacker.submit(_attack, live, found, path, frames // 20, number).result()
            grown_from = _uss_mib(live)
            for path in (CLIENT, WORKER):
                rest = frames // 2 - frames // 20
                attacker.submit(_attack, live, found, path, rest, number + 1).result()
        busy_until = time.monotonic()
        times = neighbour.heard()
        live.assert_neighbours_are_well()
        grown = _uss_mib(live) - grown_from
        found.errors += live.log.problems()[:20]
    if not times or times[-1][0] < busy_until - 1.0:
        found.errors.append("the other client's answers stopped")
    calm = _p99([took for when, took in times if when < calm_until])
    busy = _p99([took for when, took in times if when >= calm_until])
    print(f"frames: p99 {calm * 1e3:.1f} -> {busy * 1e3:.1f} ms, {grown:+.1f} MiB")
    # A small run says little about time.
    if frames > _SMALL and busy > calm * MOST_TIMES:
        found.errors.append(f"the other client's p99 is {busy / calm:.2f} times what it was")
    if grown > MOST_MIB:
        found.errors.append(f"the gateway grew by {grown:.1f} MiB")
    return found


def _out_of_the_way() -> None:
    """Who attacks has machines of their own; here they share our processors, and must not be what is measured.

    On Linux a priority is a thread's: it goes with it, and the next campaign has its own.
    """
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)


def _attack(live: LiveGateway, found: Campaign, path: str, frames: int, number: int) -> None:
    left = frames
    connections = 0

    def feed(pieces: list[bytes]) -> None:
        nonlocal left, connections
        if left <= 0:
            return
        connections += 1
        known = connections % _SIGN_IN_EACH == 0
        peer = live.signed_in(path) if known else live.opened(path)
        for piece in pieces:
            peer.send(piece)
        peer.ended()  # times out unless the gateway hangs up
        left -= len(pieces)
        found.attempts += len(pieces)

    quiet = settings(
        max_examples=frames,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    seed(number)(quiet(given(st.lists(PIECES, min_size=3, max_size=8))(feed)))()


def _p99(times_s: list[float]) -> float:
    return sorted(times_s)[int(len(times_s) * 0.99)] if times_s else 0.0


def _uss_mib(live: LiveGateway) -> float:
    uss: int = psutil.Process(live.platform.pid("gateway")).memory_full_info().uss
    return uss / _MIB
