"""A job from the bus to a worker and its result back."""

import asyncio

from spaces_contracts.identifiers import new_id
from spaces_contracts.requests import RequestState
from tests.integration.gateway_sockets.conftest import Connect, Gateway
from tests.integration.gateway_sockets.platform_double import PlatformDouble
from tests.support.eventually import eventually


async def test_a_job_reaches_the_worker_and_its_result_is_acknowledged(
    gateway: Gateway, platform: PlatformDouble, connect: Connect
) -> None:
    worker = await connect(gateway, "/ws/worker")
    registered = await worker.registered()
    request_id = new_id()
    await platform.give(registered["connection_id"], request_id, payload='{"prompt": "héllo"}')

    job = await worker.frame("inference_request")
    assert job["payload"] == {"prompt": "héllo"}
    assert (job["request_id"], job["attempt"], job["space"]) == (request_id, 1, "demo")
    await worker.send("accepted", request_id=request_id, attempt=1)
    await worker.result(request_id)
    ack = await worker.frame("result_ack")

    assert ack == {
        "type": "result_ack",
        "request_id": request_id,
        "attempt": 1,
        "outcome": "stored",
    }
    (answer,) = await eventually(lambda: platform.answers)
    assert answer.accepted
    (result,) = platform.results
    assert (result.state, result.output_json) == (RequestState.SUCCEEDED, '{"text":"done"}')
    assert result.connection_id == registered["connection_id"]
    assert result.space_id == registered["space_id"]


async def test_a_job_that_comes_before_the_registry_answers_waits_for_registered(
    gateway: Gateway, platform: PlatformDouble, connect: Connect
) -> None:
    platform.job_at_attach = True
    platform.attach_gate = asyncio.Event()
    worker = await connect(gateway, "/ws/worker")
    await worker.register()
    await eventually(lambda: platform.attaches)
    platform.attach_gate.set()

    assert (await worker.next())["type"] == "registered"
    assert (await worker.next())["type"] == "inference_request"
