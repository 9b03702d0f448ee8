"""The bus goes away and comes back under open sockets: they stay, and what was under way goes on."""

import pytest

from spaces_contracts.identifiers import new_id
from spaces_contracts.problems import Code
from tests.integration.gateway_sockets.conftest import Connect, Gateway
from tests.integration.gateway_sockets.platform_double import PlatformDouble
from tests.integration.gateway_sockets.test_client_streams import signed_in, submitted
from tests.support.eventually import eventually
from tests.support.servers import RunningNats


async def back(gateway: Gateway, platform: PlatformDouble, nats_server: RunningNats) -> None:
    nats_server.revive()
    await eventually(lambda: platform.bus.connected and gateway.services.bus.connected, 20)


@pytest.mark.timeout(60)
async def test_chunks_sent_during_an_outage_are_stored_after_it(
    gateway: Gateway, platform: PlatformDouble, connect: Connect, nats_server: RunningNats
) -> None:
    client = await signed_in(connect, gateway)
    request_id = await submitted(client)
    worker = await connect(gateway, "/ws/worker")
    await platform.give((await worker.registered())["connection_id"], request_id)
    await worker.frame("inference_request")
    await worker.send("inference_chunk", request_id=request_id, attempt=1, n=1, data=["a"])
    assert (await worker.frame("chunk_ack"))["n"] == 1
    assert (await client.frame("chunk"))["data"] == ["a"]

    nats_server.kill()
    await eventually(lambda: not gateway.services.bus.connected)
    await worker.send("inference_chunk", request_id=request_id, attempt=1, n=2, data=["b"])
    await back(gateway, platform, nats_server)
    assert (await worker.frame("chunk_ack"))["n"] == 2
    assert (await client.frame("chunk"))["data"] == ["b"]
    await worker.result(request_id, last_n=2)
    assert (await worker.frame("result_ack"))["outcome"] == "stored"
    await platform.finish(request_id, last_n=2)
    assert (await client.frame("finished"))["recovered"]


@pytest.mark.timeout(60)
async def test_registering_during_an_outage_is_refused_with_a_retry(
    gateway: Gateway, platform: PlatformDouble, connect: Connect, nats_server: RunningNats
) -> None:
    nats_server.kill()
    await eventually(lambda: not gateway.services.bus.connected)
    worker = await connect(gateway, "/ws/worker")
    await worker.register()
    refused = await worker.frame("register_error")
    assert (refused["code"], refused["retry"]) == (Code.UNAVAILABLE, True)
    assert refused["message"] == "the bus is not connected"
    assert await worker.close_code() == 1013
    await back(gateway, platform, nats_server)
    await eventually(lambda: platform.ended)  # in case the registry had attached it


@pytest.mark.timeout(60)
async def test_watching_during_an_outage_is_refused_with_a_retry_and_works_after_it(
    gateway: Gateway, platform: PlatformDouble, connect: Connect, nats_server: RunningNats
) -> None:
    request = platform.queued("demo")
    client = await signed_in(connect, gateway)
    nats_server.kill()
    await eventually(lambda: not gateway.services.bus.connected)
    await client.send("subscribe", ref="s", request_id=request.request_id)
    refused = await client.frame("error")
    assert (refused["ref"], refused["code"], refused["retry"]) == ("s", Code.UNAVAILABLE, True)
    await back(gateway, platform, nats_server)
    await client.send("subscribe", request_id=request.request_id)
    assert (await client.frame("status"))["request_id"] == request.request_id
    await client.send("subscribe", request_id=new_id())
    assert (await client.frame("error"))["code"] == Code.REQUEST_NOT_FOUND
