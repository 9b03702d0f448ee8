"""A direct worker believes answers only on addresses that it made up itself.

Any worker of the account may name another's subject as the place for answers to what it says.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from spaces_contracts.identifiers import new_id
from spaces_contracts.requests import ResultAck, ResultOutcome
from spaces_worker_agent.link import Link
from spaces_worker_agent.nats_link import NatsAddress, NatsLink
from tests.support.agents import StartAgent, agents
from tests.support.eventually import eventually
from tests.support.fake_broker import FakeBroker, fake_broker
from tests.support.fake_gateway import space_id
from tests.support.servers import RunningNats


@pytest.fixture
async def broker(nats_server: RunningNats) -> AsyncIterator[FakeBroker]:
    async with fake_broker(nats_server) as broker:
        yield broker


@pytest.fixture
async def links() -> list[NatsLink]:
    return []


@pytest.fixture
async def start_agent(
    broker: FakeBroker, links: list[NatsLink], tmp_path: Path
) -> AsyncIterator[StartAgent]:
    def make_link() -> Link:
        links.append(NatsLink(NatsAddress(broker.url), resolve))
        return links[-1]

    async def resolve(ref: str) -> str:
        return space_id(ref)

    async with agents(make_link, "http://127.0.0.1:9", tmp_path) as start:
        yield start


async def test_an_acknowledgement_that_somebody_else_had_sent_settles_nothing(
    broker: FakeBroker, start_agent: StartAgent, links: list[NatsLink]
) -> None:
    agent = await start_agent()
    visit = await broker.admitted()
    request_id = await visit.job()
    await visit.result(outcome=None)
    forged = ResultAck(request_id=request_id, attempt=1, verdict=ResultOutcome.UNKNOWN)
    for address in ("ack", f"ack.{new_id()}", "ack.", "stored"):
        await broker.core.publish_to(f"{visit.route}.{address}", forged)
    await broker.core.flush()

    # What is still unsettled is said again after a cut.
    for line in links[0]._lines.values():
        line.bus._transport._client.drop()  # type: ignore[attr-defined]  # the one way to break it from here
    again = await broker.admitted()
    said = await again.result(outcome="stored")
    assert said["request_id"] == request_id
    await eventually(lambda: agent.engine.session.idle)
