"""Two of each service: it does not matter which one a client, a worker or a request meets, or which one dies."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import pytest

from spaces_contracts.client_socket import ChunkFrame, FinishedFrame
from spaces_contracts.requests import RequestState
from tests.faults.checker import Evidence, check
from tests.faults.executions import Executions
from tests.faults.load import LoadClient, Work
from tests.faults.progress import STALL_LIMIT_S
from tests.support.api import Api, api, refusal
from tests.support.eventually import eventually
from tests.support.platform import Platform, running_platform
from tests.support.wire import client_socket

HANDLERS = Path(__file__).parents[1] / "support/handlers/echo.py"
NOTING = Path(__file__).parents[1] / "faults/work.py"
SPACES = ("alpha", "beta", "gamma", "delta")
PER_SPACE = 25


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    """Two gateways, two registries, two schedulers."""
    with running_platform(gateways=2, registries=2, schedulers=2) as running:
        yield running


@pytest.fixture
async def other(platform: Platform) -> AsyncIterator[Api]:
    """The API of the second gateway."""
    async with api(platform.gateway_urls[1], platform.admin_key) as client:
        yield client


def served_by_the_second(platform: Platform, name: str, handler: str = "handler") -> str:
    """A space whose worker hangs on the second gateway."""
    space_id: str = platform.create_space(name, policy={"when_offline": "queue"})["space_id"]
    platform.start_worker(
        name,
        spaces=[space_id],
        handler=f"{HANDLERS}:{handler}",
        gateway_url=platform.gateway_urls[1],
    )
    return space_id


def serve_noted(platform: Platform, name: str, space_id: str, log: Path) -> None:
    """A worker on the first gateway that notes what it runs."""
    env = {"EXECUTIONS": str(log)}
    platform.start_worker(name, spaces=[space_id], handler=f"{NOTING}:echo", env=env)


def begun(executions: Executions, wanted: int) -> bool:
    """Whether so many requests began to run."""
    return executions.read() >= wanted


async def test_submitted_at_one_gateway_and_watched_through_the_other(
    platform: Platform, admin: Api, other: Api
) -> None:
    space_id = await asyncio.to_thread(served_by_the_second, platform, "across", "count")
    parameters = {"chunks": 200, "pace_s": 0.002}
    request_id = (await admin.submit(space_id, parameters=parameters))["request_id"]
    async with (
        client_socket(platform.gateway_urls[0], platform.admin_key) as here,
        client_socket(platform.gateway_urls[1], platform.admin_key) as there,
    ):
        for client in (here, there):
            await client.subscribe(request_id)
            chunks: list[object] = []
            while not isinstance(frame := await client.receive(), FinishedFrame):
                if isinstance(frame, ChunkFrame):
                    assert frame.n == len(chunks) + 1
                    chunks += frame.data
            assert chunks == [f"{n} " for n in range(1, 201)]
            assert (frame.state, frame.recovered) == (RequestState.SUCCEEDED, True)
    waited = await admin.submit(space_id, parameters={"chunks": 1})
    assert (await other.ended(waited["request_id"]))["output"] == {"text": "1 "}
    await asyncio.to_thread(platform.stop_worker, "across")


async def test_an_idempotency_key_counts_at_every_gateway(
    platform: Platform, admin: Api, other: Api
) -> None:
    space_id = platform.create_space("once", policy={"when_offline": "queue"})["space_id"]
    first = await admin.try_submit(space_id, key="a-key", prompt="hi", parameters={"a": 1})
    again = await other.try_submit(space_id, key="a-key", prompt="hi", parameters={"a": 1})
    assert first.status_code == again.status_code == 202
    assert again.json()["request_id"] == first.json()["request_id"]
    assert (first.json()["duplicate"], again.json()["duplicate"]) == (False, True)
    for change in ({"prompt": "ho"}, {"parameters": {"a": 2}}, {"priority": 1}):
        body = {"prompt": "hi", "parameters": {"a": 1}} | change
        assert refusal(await other.try_submit(space_id, key="a-key", **body)) == (
            422,
            "idempotency_key_reused",
            "The idempotency key was used for another body",
        )
    racers = await asyncio.gather(
        *(
            gateway.try_submit(space_id, key="a-race", prompt="hi")
            for gateway in (admin, other) * 10
        )
    )
    assert {answer.status_code for answer in racers} == {202}
    assert len({answer.json()["request_id"] for answer in racers}) == 1
    listed = (await admin.http.get("/api/requests", params={"space": space_id})).json()
    assert len(listed["requests"]) == 2


async def test_a_cancel_at_the_gateway_that_has_neither_request_nor_worker(
    platform: Platform, admin: Api, other: Api
) -> None:
    space_id = await asyncio.to_thread(served_by_the_second, platform, "stop")
    running = (await other.submit(space_id, parameters={"run_s": 60}))["request_id"]
    queued = (await other.submit(space_id))["request_id"]
    assert (await other.running(running))["attempt"] == 1
    assert (await other.request(queued))["position"] == 1
    at_once = await admin.cancel(queued)
    assert (at_once["state"], at_once["error"]["code"]) == ("cancelled", "cancelled")
    await admin.cancel(running)
    stopped = await other.ended(running)
    assert (stopped["state"], stopped["error"]["code"]) == ("cancelled", "cancelled")
    assert (await admin.cancel(running))["state"] == "cancelled", "once more changes nothing"
    after = await admin.ended((await admin.submit(space_id))["request_id"])
    assert after["state"] == "succeeded", "the slot is free again"
    await asyncio.to_thread(platform.stop_worker, "stop")


@pytest.mark.timeout(120)
async def test_one_of_each_kind_dies_and_nothing_is_lost(platform: Platform) -> None:
    """The dead stay dead until the end: their replicas do the work."""
    policy = {
        "when_offline": "queue",
        "max_attempts": 20,
        "timeout_s": 600,
        "queue_timeout_s": 600,
    }
    spaces = {name: platform.create_space(name, policy=policy)["space_id"] for name in SPACES}
    log = platform.folder / "executions"
    executions = Executions(log)
    for name, space_id in spaces.items():
        await asyncio.to_thread(serve_noted, platform, name, space_id, log)
    # The workers hang on the first gateway, the client submits at the second.
    client = LoadClient(*platform.gateway_urls[::-1], api_key=platform.admin_key, patience_s=60)
    victims = ["registry", "scheduler", "gateway-2"]
    try:
        work = Work(executions, asyncio.Event(), {"run_s": 0.05}, ahead=5)
        load = asyncio.create_task(client.submit_all(spaces, work))
        for number, victim in enumerate(victims, start=1):
            wanted = number * PER_SPACE * len(SPACES) // (len(victims) + 1)
            await eventually(partial(begun, executions, wanted), timeout_s=60)
            assert not load.done(), "the load must last longer than the kills"
            await asyncio.to_thread(platform.kill, victim)
        await eventually(partial(begun, executions, PER_SPACE * len(SPACES)), timeout_s=60)
        work.stop.set()
        await load
        outcomes = await client.settled(list(spaces.values()), patience_s=60)
    finally:
        await client.close()
        for victim in victims:
            await asyncio.to_thread(platform.revive, victim)
        for name in spaces:
            await asyncio.to_thread(platform.stop_worker, name)
    executions.read()
    findings = check(Evidence(client.submissions, outcomes, executions.begun, executions.ended_s))
    assert findings.violations() == []
    assert findings.accepted >= PER_SPACE * len(SPACES)
    assert findings.longest_stall_s < STALL_LIMIT_S
