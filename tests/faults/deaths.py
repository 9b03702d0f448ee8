"""How long it takes to notice dead, frozen and cut off workers: `python -m tests.faults.deaths --workers 120`.

Many workers at once, each with a running request on a space of its own, die in different ways. A standby that
serves all these spaces gets their requests. Shards in build/deaths add up; the sum is build/reports/deaths.json.
"""

import argparse
import asyncio
import json
import math
import random
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx2

from spaces_contracts.client_socket import SpaceFrame, Subscribe
from spaces_contracts.frames import GoAway
from tests.faults.executions import Executions
from tests.faults.rig import Rig, running_rig
from tests.faults.tcp_proxy import Proxy
from tests.support.eventually import eventually
from tests.support.platform import Platform
from tests.support.wire import ClientSocket, client_socket

SHARDS = Path("build/deaths")
REPORT = Path("build/reports/deaths.json")
HANDLER = f"{Path(__file__).with_name('work.py')}:echo"
NOTICED_WITHIN_S = 15.0
REQUEUED_WITHIN_S = 20.0
# Longer than any of it takes; then it was not noticed at all.
_PATIENCE_S = 40.0
_POLICY = {
    "max_connections": 2,
    "when_offline": "queue",
    "run_timeout_s": 600,
    "timeout_s": 900,
    "queue_timeout_s": 600,
}


@dataclass(frozen=True)
class Death:
    """One worker's end."""

    fault: str
    noticed_s: float | None  # until watchers of its space were told that it is not connected
    requeued_s: float | None  # until its request began on another worker
    succeeded: bool


def _kill(rig: Rig, name: str) -> None:
    rig.platform.kill(name)


def _freeze(rig: Rig, name: str) -> None:
    rig.platform.signal(name, signal.SIGSTOP)


def _hole(*directions: str) -> Callable[[Rig, str], None]:
    def cut(proxy: Proxy) -> None:
        proxy.up.hole = "up" in directions
        proxy.down.hole = "down" in directions

    return lambda rig, name: rig.proxies.change(rig.link(name), cut)


FAULTS: dict[str, Callable[[Rig, str], None]] = {
    "kill -9": _kill,
    "frozen (SIGSTOP)": _freeze,
    "partitioned": _hole("up", "down"),
    "partitioned, one way": _hole("up"),
}


class Batch:
    """Workers that die together."""

    def __init__(self, rig: Rig, count: int, seed: int) -> None:
        self._rig = rig
        self._dice = random.Random(seed)
        self._log = rig.platform.folder / f"deaths-{seed}"
        self._executions = Executions(self._log)
        self._names = [f"victim-{seed}-{n}" for n in range(count)]
        self._spaces: dict[str, str] = {}  # worker -> space id
        self._requests: dict[str, str] = {}  # worker -> request id
        self._left_at: dict[str, float] = {}  # space id -> when its watchers were told

    async def run(self) -> list[Death]:
        """All of it, until each was noticed and its request began elsewhere, or patience ended."""
        platform = self._rig.platform
        await asyncio.to_thread(self._gather, platform)
        async with client_socket(platform.gateway_url, platform.admin_key) as socket:
            watch = asyncio.create_task(self._watch(socket))
            try:
                inflicted = await self._inflict()
                began = await self._began_elsewhere()
            finally:
                watch.cancel()
        await asyncio.to_thread(self._clear, platform)
        return [
            Death(
                fault,
                self._since(at, self._left_at.get(self._spaces[name])),
                self._since(at, began.get(name)),
                await self._succeeded(self._requests[name]),
            )
            for name, (fault, at) in inflicted.items()
        ]

    def _gather(self, platform: Platform) -> None:
        environ = {"EXECUTIONS": str(self._log)}
        for name in self._names:
            space = platform.create_space(name, policy=_POLICY)
            self._spaces[name] = space["space_id"]
            platform.start_worker(
                name,
                spaces=[name],
                handler=HANDLER,
                gateway_url=self._rig.worker_link(name),
                env=environ,
            )
        for name, space_id in self._spaces.items():
            self._requests[name] = self._submit(platform, space_id)
        until = time.monotonic() + 30.0
        while self._executions.read() < len(self._names) and time.monotonic() < until:
            time.sleep(0.05)
        # It joins after the requests have begun, so that each began at its victim.
        platform.start_worker(
            "standby", spaces=self._names, handler=HANDLER, slots=len(self._names), env=environ
        )

    @staticmethod
    def _submit(platform: Platform, space_id: str) -> str:
        answer = httpx2.post(
            f"{platform.gateway_url}/api/spaces/{space_id}/requests",
            json={"prompt": "long", "parameters": {"run_s": 300, "again_s": 0}},
            headers={"Authorization": f"Bearer {platform.admin_key}"},
            trust_env=False,
        )
        request_id: str = answer.raise_for_status().json()["request_id"]
        return request_id

    async def _watch(self, socket: ClientSocket) -> None:
        for space_id in self._spaces.values():
            await socket.send(Subscribe(space_id=space_id))
        while True:
            frame = await socket.receive(timeout_s=600)
            assert not isinstance(frame, GoAway)
            if isinstance(frame, SpaceFrame) and frame.connections == 1:
                self._left_at.setdefault(frame.space_id, time.monotonic())

    async def _inflict(self) -> dict[str, tuple[str, float]]:
        """Worker -> its fault and when; spread over a second or two, as chance has it."""
        inflicted = {}
        for number, name in enumerate(self._names):
            fault = list(FAULTS)[number % len(FAULTS)]
            await asyncio.sleep(self._dice.uniform(0.0, 0.1))
            self._left_at.pop(self._spaces[name], None)
            inflicted[name] = (fault, time.monotonic())
            await asyncio.to_thread(FAULTS[fault], self._rig, name)
        return inflicted

    async def _began_elsewhere(self) -> dict[str, float]:
        def settled() -> bool:
            self._executions.read()
            again = {one.request_id for one in self._executions.begun if one.attempt > 1}
            return len(again) == len(self._names) == len(self._left_at)

        with suppress(AssertionError):  # what is missing is reported as never noticed
            await eventually(settled, timeout_s=_PATIENCE_S)
        again = {one.request_id: one.began_s for one in self._executions.begun if one.attempt > 1}
        return {
            name: again[request_id]
            for name, request_id in self._requests.items()
            if request_id in again
        }

    def _clear(self, platform: Platform) -> None:
        for name in self._names:
            platform.kill(name)
        self._rig.proxies.heal_all()
        platform.stop_worker("standby")

    async def _succeeded(self, request_id: str) -> bool:
        platform = self._rig.platform
        async with httpx2.AsyncClient(trust_env=False, timeout=30) as http:
            answer = await http.get(
                f"{platform.gateway_url}/api/requests/{request_id}",
                params={"wait": "10"},
                headers={"Authorization": f"Bearer {platform.admin_key}"},
            )
        return bool(answer.json()["state"] == "succeeded")

    @staticmethod
    def _since(start: float, end: float | None) -> float | None:
        return None if end is None else end - start


def summary(deaths: Sequence[Death]) -> dict[str, Any]:
    """The report: a row per fault, and all together."""
    faults = sorted({death.fault for death in deaths})
    rows = [_row(fault, [death for death in deaths if death.fault == fault]) for fault in faults]
    return {"limits": _LIMITS, "all": _row("all", deaths), "faults": rows}


_LIMITS = {"noticed_s": NOTICED_WITHIN_S, "requeued_s": REQUEUED_WITHIN_S}


def _row(fault: str, deaths: Sequence[Death]) -> dict[str, Any]:
    row: dict[str, Any] = {"fault": fault, "count": len(deaths)}
    for name in ("noticed_s", "requeued_s"):
        told = sorted(
            math.inf if (value := getattr(death, name)) is None else value for death in deaths
        )
        never = sum(math.isinf(value) for value in told)
        row[f"{name}_p50"] = round(told[len(told) // 2], 2) if never < len(told) / 2 else None
        row[f"{name}_max"] = round(told[-1], 2) if not never else None
        row[f"{name}_never"] = never
    row["not_succeeded"] = sum(not death.succeeded for death in deaths)
    return row


def within_limits(deaths: Sequence[Death]) -> bool:
    """Whether each was noticed and replaced in time, and no request was lost."""
    return all(
        death.succeeded
        and (death.noticed_s or math.inf) <= NOTICED_WITHIN_S
        and (death.requeued_s or math.inf) <= REQUEUED_WITHIN_S
        for death in deaths
    )


def main() -> int:
    """Runs what is missing in shards, sums up, and fails when a limit was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=120, help="how many in all")
    parser.add_argument("--at-once", type=int, default=12, help="how many in one platform")
    parser.add_argument("--shards", type=int, default=None, help="at most so many now")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fresh", action="store_true", help="forget earlier shards")
    arguments = parser.parse_args()
    SHARDS.mkdir(parents=True, exist_ok=True)
    for old in SHARDS.glob("*.json") if arguments.fresh else ():
        old.unlink()
    seed, left = arguments.seed, arguments.shards
    while len(deaths := _all_deaths()) < arguments.workers and left != 0:
        count = min(arguments.at_once, arguments.workers - len(deaths))
        path = SHARDS / f"{seed}.json"
        if not path.exists():
            with running_rig(disks=False) as rig:
                done = asyncio.run(Batch(rig, count, seed).run())
            path.write_text(json.dumps([asdict(death) for death in done]), encoding="utf-8")
            print(json.dumps(_row(f"shard {seed}", done)), flush=True)
            left = None if left is None else left - 1
        seed += 1
    deaths = _all_deaths()
    report = summary(deaths)
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(report, indent=1), encoding="utf-8")
    print(json.dumps(report, indent=1))
    return 0 if within_limits(deaths) else 1


def _all_deaths() -> list[Death]:
    return [
        Death(**row)
        for path in sorted(SHARDS.glob("*.json"))
        for row in json.loads(path.read_text(encoding="utf-8"))
    ]


if __name__ == "__main__":
    sys.exit(main())
