"""One agent and one gateway on a good day: every shape of handler gives its result."""

from typing import Any

from tests.support.agents import StartAgent
from tests.support.fake_gateway import FakeGateway, space_id


async def test_a_jobs_result_is_sent(gateway: FakeGateway, start_agent: StartAgent) -> None:
    await start_agent("handler")
    visit = await gateway.admitted()
    rid = await visit.job(payload={"prompt": "hi", "parameters": {"a": 1}})
    result = await visit.result()
    assert result["request_id"] == rid
    assert result["status"] == "succeeded"
    assert result["space_id"] == space_id("demo")
    output = result["output"]
    assert output["text"] == "hi!"
    assert output["parameters"] == {"a": 1}
    assert output["queue_size"] == 3
    assert output["pid"] == output["group"]
    assert result["last_n"] == 0
    assert result["processing_time_seconds"] > 0


async def test_register_says_who_the_agent_is(
    gateway: FakeGateway, start_agent: StartAgent
) -> None:
    agent = await start_agent("handler", slots=2)
    visit = await gateway.visit()
    register = await visit.admit()
    assert register["token"] == "token-of-the-test"
    assert register["slots"] == 2
    assert register["instance_id"] == agent.engine.spool.identity.instance_id
    assert register["resume"] == {"secret": agent.engine.spool.identity.secret, "in_flight": []}
    assert visit.socket.subprotocol == "spaces.v1.json"


async def output_of(gateway: FakeGateway, start_agent: StartAgent, name: str, **job: Any) -> Any:
    await start_agent(name)
    visit = await gateway.admitted()
    rid = await visit.job(**job)
    await visit.until(lambda: bool(visit.all("inference_result") or visit.all("inference_chunk")))
    if visit.all("inference_chunk"):
        await visit.ack_chunks(rid, 1000)
    result = await visit.result()
    assert result["status"] == "succeeded", result
    return result["output"]


async def test_an_async_function_is_run(gateway: FakeGateway, start_agent: StartAgent) -> None:
    assert await output_of(gateway, start_agent, "asynchronous") == {"text": "hello"}


async def test_text_chunks_add_up_to_the_text(
    gateway: FakeGateway, start_agent: StartAgent
) -> None:
    assert await output_of(gateway, start_agent, "streaming") == {"text": "0 1 2 "}


async def test_an_async_generator_streams(gateway: FakeGateway, start_agent: StartAgent) -> None:
    assert await output_of(gateway, start_agent, "streaming_async") == {"text": "0 1 2 "}


async def test_chunks_of_any_value_add_up_to_a_list(
    gateway: FakeGateway, start_agent: StartAgent
) -> None:
    output = await output_of(gateway, start_agent, "streaming_values")
    assert output == {"chunks": [{"token": 1}, "two"]}


async def test_what_a_generator_returns_is_its_output(
    gateway: FakeGateway, start_agent: StartAgent
) -> None:
    output = await output_of(gateway, start_agent, "streaming_with_return")
    assert output == {"text": "all of it"}


async def test_nothing_returned_is_no_output(gateway: FakeGateway, start_agent: StartAgent) -> None:
    await start_agent("nothing")
    visit = await gateway.admitted()
    await visit.job()
    result = await visit.result()
    assert result["status"] == "succeeded"
    assert "output" not in result
