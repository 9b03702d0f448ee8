"""One seat, many workers: exactly one serves, and an old one's late result does not count."""

import asyncio
from datetime import UTC, datetime

import httpx2

from spaces_contracts.connections import InFlight
from spaces_contracts.problems import Code
from spaces_contracts.requests import ResultOutcome
from spaces_contracts.worker_socket import (
    Accepted,
    InferenceRequest,
    InferenceResult,
    Kick,
    Registered,
    RegisterError,
    ResultAckFrame,
)
from tests.support.platform import Platform
from tests.support.wire import WorkerSocket, worker_socket


async def _race(platform: Platform, token: str, space: str, done: asyncio.Event) -> str:
    async with worker_socket(platform.gateway_url) as worker:
        await worker.register(token, [space])
        answer = await worker.receive()
        if isinstance(answer, Registered):
            await done.wait()  # holds the seat until everybody has an answer
            return "registered"
        assert isinstance(answer, RegisterError)
        assert answer.code is Code.ALREADY_CONNECTED
        assert answer.holder == "live"
        assert not answer.retry
        return str(answer.code)


async def test_of_50_agents_racing_for_one_space_one_wins(platform: Platform) -> None:
    space = platform.create_space("one seat")
    token = platform.worker_token([space["space_id"]]).read_text().strip()
    done = asyncio.Event()
    racers = [
        asyncio.create_task(_race(platform, token, space["space_id"], done)) for _ in range(50)
    ]
    while len(waiting := [racer for racer in racers if not racer.done()]) > 1:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    done.set()
    answers = await asyncio.gather(*racers)
    assert answers.count("registered") == 1
    assert answers.count("already_connected") == 49


async def test_after_a_takeover_the_old_workers_result_is_stale(platform: Platform) -> None:
    space = platform.create_space("taken over", policy={"when_offline": "queue"})
    token = platform.worker_token([space["space_id"]]).read_text().strip()
    async with (
        worker_socket(platform.gateway_url) as old,
        worker_socket(platform.gateway_url) as new,
    ):
        await old.register(token, [space["space_id"]])
        await old.expect(Registered)
        request_id = await _submit(platform, space["space_id"])
        first = await old.expect(InferenceRequest)
        await old.send(Accepted(request_id=request_id, attempt=first.attempt))

        await new.register(token, [space["space_id"]], takeover=True)
        await new.expect(Registered)
        kick = await old.expect(Kick)
        assert kick.code is Code.SUPERSEDED
        second = await new.expect(InferenceRequest)
        assert (second.request_id, second.attempt) == (request_id, first.attempt + 1)

        assert await _finish(new, second, {"by": "new"}) is ResultOutcome.STORED
        # The old agent takes the seat back and still wants to hand in what it had finished.
        async with worker_socket(
            platform.gateway_url, instance_id=old.instance_id, secret=old.secret
        ) as again:
            held = InFlight(
                space_id=space["space_id"],
                request_id=request_id,
                attempt=first.attempt,
                finished=True,
            )
            await again.register(token, [space["space_id"]], takeover=True, in_flight=[held])
            registered = await again.expect(Registered)
            assert registered.adopted == []
            assert [attempt.attempt for attempt in registered.abandon] == [first.attempt]
            assert await _finish(again, first, {"by": "old"}) is ResultOutcome.STALE
    async with httpx2.AsyncClient(trust_env=False) as http:
        answer = await http.get(
            f"{platform.gateway_url}/api/requests/{request_id}",
            headers={"Authorization": f"Bearer {platform.admin_key}"},
        )
    assert answer.json()["output"] == {"by": "new"}


async def _submit(platform: Platform, space_id: str) -> str:
    async with httpx2.AsyncClient(trust_env=False) as http:
        answer = await http.post(
            f"{platform.gateway_url}/api/spaces/{space_id}/requests",
            json={"prompt": "hello"},
            headers={"Authorization": f"Bearer {platform.admin_key}"},
        )
    assert answer.status_code == 202, answer.text
    request_id: str = answer.json()["request_id"]
    return request_id


async def _finish(
    worker: WorkerSocket, job: InferenceRequest, output: dict[str, str]
) -> ResultOutcome:
    await worker.send(
        InferenceResult(
            request_id=job.request_id,
            attempt=job.attempt,
            space_id=job.space_id,
            status="succeeded",
            output=output,
            timestamp=datetime.now(UTC),
        )
    )
    ack = await worker.expect(ResultAckFrame)
    return ack.outcome
