"""Accepting: what is refused and why, idempotency, and batches with bad elements."""

import asyncio
import json
from typing import Any

import pytest

from spaces_contracts.identifiers import new_id
from spaces_contracts.problems import Code
from spaces_contracts.requests import NewRequest, RequestState, Submit, Submitted
from spaces_scheduler.app import Scheduler
from tests.integration.scheduler.world import Lanes, World, new_request


async def code(world: World, space_id: str, **fields: Any) -> Code | None:
    """The code of the problem that one request is refused with."""
    verdict = await world.submit(space_id, **fields)
    return verdict.problem.code if verdict.problem else None


async def test_an_unknown_space_is_refused(world: World) -> None:
    assert await code(world, new_id()) is Code.SPACE_NOT_FOUND


async def test_a_deleted_space_is_refused_as_unknown(world: World) -> None:
    space_id = await world.lanes.open()
    await world.lanes.close(space_id)
    assert await code(world, space_id) is Code.SPACE_NOT_FOUND


async def test_a_disabled_space_is_refused(world: World) -> None:
    assert await code(world, await world.lanes.open(enabled=False)) is Code.SPACE_DISABLED


async def test_a_kind_of_input_that_the_space_does_not_take_is_refused(world: World) -> None:
    space_id = await world.lanes.open(inputs=("prompt", "image"))
    assert await code(world, space_id, inputs=["prompt", "audio"]) is Code.INPUT_NOT_ENABLED
    assert await code(world, space_id, inputs=["image"]) is None


async def test_without_a_worker_a_space_that_rejects_says_remote_app_not_connected(
    world: World,
) -> None:
    space_id = await world.lanes.open(when_offline="reject")
    verdict = await world.submit(space_id)
    assert verdict.problem is not None
    assert verdict.problem.code is Code.WORKER_NOT_CONNECTED
    assert verdict.problem.message == "Remote app not connected"

    worker = await world.worker(space_id)
    assert (await world.submit(space_id)).state is RequestState.RUNNING

    await world.lanes.drain(worker.connection_id)
    assert await code(world, space_id) is Code.WORKER_NOT_CONNECTED


async def test_a_queue_takes_max_queue_requests_beside_those_that_run(world: World) -> None:
    space_id = await world.lanes.open(max_queue=2)
    await world.worker(space_id)
    verdicts = await world.submit_all(*(new_request(space_id) for _ in range(4)))
    assert [v.problem.code if v.problem else None for v in verdicts] == [
        *(None, None, None),
        Code.QUEUE_FULL,
    ]
    assert [v.position for v in verdicts] == [None, 1, 2, None]


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf"), 1e9])
async def test_a_timeout_that_is_no_time_is_refused(world: World, seconds: float) -> None:
    space_id = await world.lanes.open()
    assert await code(world, space_id, timeout_s=seconds) is Code.INVALID_REQUEST


async def test_a_nul_in_a_text_is_refused_and_its_neighbours_are_accepted(world: World) -> None:
    space_id = await world.lanes.open()
    verdicts = await world.submit_all(
        new_request(space_id),
        new_request(space_id, idempotency_key="a\x00b"),
        new_request(space_id),
    )
    assert [v.problem.code if v.problem else None for v in verdicts] == [
        None,
        Code.INVALID_REQUEST,
        None,
    ]


async def test_a_request_that_the_database_chokes_on_costs_its_neighbours_nothing(
    world: World, scheduler: Scheduler
) -> None:
    space_id = await world.lanes.open()
    bad = NewRequest.model_construct(**(dict(new_request(space_id)) | {"request_id": "NO ID"}))
    good = [new_request(space_id) for _ in range(6)]
    futures = [scheduler.intake.batcher.add(r) for r in (*good[:3], bad, *good[3:])]
    outcomes = await asyncio.gather(*futures, return_exceptions=True)
    assert [isinstance(outcome, Exception) for outcome in outcomes] == [i == 3 for i in range(7)]
    for request in good:
        assert await world.lanes.state(request.request_id) == "queued"


async def test_an_empty_message_is_answered(world: World) -> None:
    assert (await world.bus.request(Submit(requests=[]))) == Submitted()


async def test_one_message_may_name_many_spaces_each_with_its_own_verdict(world: World) -> None:
    first, second = await world.lanes.open(), await world.lanes.open(enabled=False)
    verdicts = await world.submit_all(
        new_request(second), new_request(first), new_request(new_id()), new_request(first)
    )
    assert [v.problem.code if v.problem else None for v in verdicts] == [
        Code.SPACE_DISABLED,
        None,
        Code.SPACE_NOT_FOUND,
        None,
    ]
    assert [v.position for v in verdicts] == [None, 1, None, 2]


# Idempotency


async def test_the_same_key_and_body_is_the_same_request(world: World) -> None:
    space_id = await world.lanes.open()
    first = await world.submit(space_id, idempotency_key="k", body_sha256="x")
    again = await world.submit(space_id, idempotency_key="k", body_sha256="x")
    assert (first.duplicate, again.duplicate) == (False, True)
    assert again.request_id == first.request_id
    assert (again.state, again.position) == (RequestState.QUEUED, 1)


async def test_the_same_key_with_another_body_is_refused(world: World) -> None:
    space_id = await world.lanes.open()
    await world.submit(space_id, idempotency_key="k", body_sha256="x")
    used = await code(world, space_id, idempotency_key="k", body_sha256="y")
    assert used is Code.IDEMPOTENCY_KEY_REUSED


async def test_a_key_belongs_to_its_principal(world: World) -> None:
    space_id = await world.lanes.open()
    await world.submit(space_id, idempotency_key="k", body_sha256="x")
    other = "otherprincipal000000000000"
    verdict = await world.submit(space_id, idempotency_key="k", body_sha256="y", principal_id=other)
    assert verdict.problem is None


async def test_a_key_is_forgotten_after_a_day(world: World) -> None:
    space_id = await world.lanes.open()
    first = await world.submit(space_id, idempotency_key="k", body_sha256="x")
    await world.lanes.tables.execute(
        "UPDATE scheduler.idempotency SET expires_at = expires_at - interval '25 hours'"
    )
    second = await world.submit(space_id, idempotency_key="k", body_sha256="y")
    assert second.problem is None
    assert second.request_id != first.request_id


async def test_a_refused_request_keeps_no_key(world: World) -> None:
    space_id = await world.lanes.open(enabled=False)
    await world.submit(space_id, idempotency_key="k", body_sha256="x")
    await world.lanes.open(space_id)
    assert await code(world, space_id, idempotency_key="k", body_sha256="y") is None


async def test_a_key_twice_in_one_message_makes_one_request(world: World) -> None:
    space_id = await world.lanes.open()
    twins = [new_request(space_id, idempotency_key="k", body_sha256="x") for _ in range(2)]
    other = new_request(space_id, idempotency_key="k", body_sha256="y")
    first, second, third = await world.submit_all(*twins, other)
    assert first.request_id == second.request_id
    assert (first.duplicate, second.duplicate) == (False, True)
    assert third.problem is not None
    assert third.problem.code is Code.IDEMPOTENCY_KEY_REUSED


async def test_a_full_queue_still_answers_a_repeat_with_the_first_request(world: World) -> None:
    space_id = await world.lanes.open(max_queue=1)
    first = await world.submit(space_id, idempotency_key="k", body_sha256="x")
    again = await world.submit(space_id, idempotency_key="k", body_sha256="x")
    assert again.request_id == first.request_id


async def test_the_gateways_own_retry_is_idempotent_without_a_key(world: World) -> None:
    space_id = await world.lanes.open(max_queue=1)
    request = new_request(space_id)
    first, again = [(await world.submit_all(request))[0] for _ in range(2)]
    assert (first.duplicate, again.duplicate) == (False, True)
    assert (again.request_id, again.position) == (request.request_id, 1)


async def test_another_principal_cannot_pass_for_a_request_by_its_id(world: World) -> None:
    space_id = await world.lanes.open()
    request = new_request(space_id)
    await world.submit_all(request)
    other = request.model_copy(update={"principal_id": "otherprincipal000000000000"})
    (verdict,) = await world.submit_all(other)
    assert verdict.problem is not None
    assert verdict.problem.code is Code.INVALID_REQUEST


async def test_of_many_racing_uses_of_one_key_one_is_accepted(world: World, lanes: Lanes) -> None:
    space_ids = [await lanes.open() for _ in range(4)]
    verdicts = await asyncio.gather(
        *(world.submit(s, idempotency_key="k", body_sha256="x") for s in space_ids * 10)
    )
    assert len({verdict.request_id for verdict in verdicts}) == 1
    assert sum(not verdict.duplicate for verdict in verdicts) == 1
    assert await lanes.tables.fetchval("SELECT count(*) FROM scheduler.request") == 1


# Places


async def test_a_higher_priority_goes_first_and_positions_say_so(world: World) -> None:
    space_id = await world.lanes.open()
    low = await world.submit(space_id, priority=0)
    later, high = await world.submit_all(
        new_request(space_id, priority=0), new_request(space_id, priority=5)
    )
    assert (low.position, later.position, high.position) == (1, 3, 1)
    assert (await world.get(low.request_id)).position == 2

    worker = await world.worker(space_id)
    order = []
    for _ in range(3):
        job = await worker.jobs.next()
        order.append(job.request_id)
        await worker.finish(job)
    assert order == [high.request_id, low.request_id, later.request_id]


async def test_an_estimate_is_given_once_something_has_run_and_not_before(world: World) -> None:
    space_id = await world.lanes.open()
    worker = await world.worker(space_id)
    await world.submit(space_id)
    first = await world.submit(space_id)
    assert first.eta_s is None
    await worker.finish(await worker.jobs.next())
    second = await world.submit(space_id)
    assert second.position == 1
    assert second.eta_s is not None
    assert second.eta_s > 0


async def test_files_travel_with_the_job(world: World) -> None:
    space_id = await world.lanes.open(inputs=("image",))
    worker = await world.worker(space_id)
    file = {
        "file_id": new_id(),
        "name": "a \u0001.png",
        "kind": "image",
        "media_type": "image/png",
        "size_bytes": 3,
        "sha256": "0" * 64,
        "url": "/files/1",
    }
    await world.submit(space_id, inputs=["image"], files=[file], upload_url="/up")
    job = await worker.jobs.next()
    assert json.loads(job.files[0].model_dump_json()) == file
    assert job.upload_url == "/up"
