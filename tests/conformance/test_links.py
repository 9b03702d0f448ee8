"""What an agent does must not depend on how it is attached: one suite for the WebSocket and for NATS."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from spaces_contracts.identifiers import new_id
from spaces_contracts.problems import Code
from spaces_worker_agent.addresses import socket_url
from spaces_worker_agent.exits import Exit
from spaces_worker_agent.link import Link
from spaces_worker_agent.nats_link import NatsAddress, NatsLink
from spaces_worker_agent.websocket_link import WebSocketLink
from tests.support.agents import StartAgent, agents
from tests.support.eventually import eventually
from tests.support.fake_broker import FakeBroker, fake_broker
from tests.support.fake_gateway import FakeGateway, fake_gateway, space_id
from tests.support.servers import RunningNats

Peer = FakeGateway | FakeBroker


@pytest.fixture(params=["websocket", "nats"])
async def peer(request: pytest.FixtureRequest) -> AsyncIterator[Peer]:
    if request.param == "websocket":
        async with fake_gateway() as gateway:
            yield gateway
    else:
        server: RunningNats = request.getfixturevalue("nats_server")
        async with fake_broker(server) as broker:
            yield broker


@pytest.fixture
async def links(peer: Peer) -> list[Link]:
    """Every link that was made, so that a test can cut one."""
    return []


@pytest.fixture
async def start_agent(peer: Peer, links: list[Link], tmp_path: Path) -> AsyncIterator[StartAgent]:
    def make_link() -> Link:
        link: Link
        if isinstance(peer, FakeGateway):
            link = WebSocketLink(socket_url(peer.url))
        else:
            link = NatsLink(NatsAddress(peer.url), resolve)
        links.append(link)
        return link

    async def resolve(ref: str) -> str:
        return space_id(ref)

    async with agents(make_link, "http://127.0.0.1:9", tmp_path) as start:
        yield start


def cut(link: Link) -> None:
    """The network breaks under the link."""
    if isinstance(link, WebSocketLink):
        assert link._socket is not None
        link._socket.transport.abort()
    else:
        assert isinstance(link, NatsLink)
        for line in link._lines.values():
            line.bus._transport._client.drop()  # type: ignore[attr-defined]  # the one way to break it from here


def keys(*held: tuple[str, int]) -> list[dict[str, Any]]:
    return [{"request_id": rid, "attempt": attempt} for rid, attempt in held]


async def test_a_job_is_accepted_run_and_settled(peer: Peer, start_agent: StartAgent) -> None:
    agent = await start_agent()
    visit = await peer.admitted()
    rid = await visit.job(payload={"prompt": "hi", "parameters": {"a": [1, "é"]}})
    result = await visit.result()
    assert (result["request_id"], result["attempt"]) == (rid, 1)
    assert visit.all("accepted") == [], "the result says it, and came at once"
    assert result["status"] == "succeeded"
    assert result["output"]["text"] == "hi!"
    assert result["output"]["parameters"] == {"a": [1, "é"]}
    assert result["output"]["queue_size"] == 3
    await eventually(lambda: agent.engine.session.idle)


async def test_it_says_that_it_lives(peer: Peer, start_agent: StartAgent) -> None:
    await start_agent()
    visit = await peer.admitted()
    await visit.until(lambda: visit.pings >= 2)


async def test_progress_and_chunks_arrive_in_order(peer: Peer, start_agent: StartAgent) -> None:
    agent = await start_agent("streaming")
    visit = await peer.admitted()
    rid = await visit.job(payload={"parameters": {"count": 300}})
    await visit.until(lambda: len(visit.chunks()) >= 300)
    assert visit.chunks() == [f"{n} " for n in range(300)]
    assert visit.all("inference_chunk")[0]["n"] == 1
    await visit.ack_chunks(rid, 300)
    result = await visit.result()
    assert result["last_n"] == 300
    await eventually(lambda: agent.engine.session.idle)


async def test_progress_is_told(peer: Peer, start_agent: StartAgent, tmp_path: Path) -> None:
    await start_agent("told")
    visit = await peer.admitted()
    rid = await visit.job()
    told = await visit.next("inference_progress")
    assert (told["percent"], told["message"]) == (50, "half")
    await visit.cancel(rid)
    await visit.result()


async def test_a_failure_carries_its_code(peer: Peer, start_agent: StartAgent) -> None:
    await start_agent("raising")
    visit = await peer.admitted()
    await visit.job()
    result = await visit.result()
    assert result["status"] == "failed"
    assert result["error"]["code"] == "handler_failed"


async def test_a_cancel_stops_the_handler(
    peer: Peer, start_agent: StartAgent, tmp_path: Path
) -> None:
    await start_agent("cooperative")
    visit = await peer.admitted()
    places = {"began": str(tmp_path / "began"), "stopped": str(tmp_path / "stopped")}
    rid = await visit.job(payload={"parameters": places})
    await eventually((tmp_path / "began").exists)
    await visit.cancel(rid)
    assert (await visit.result())["status"] == "cancelled"


async def test_a_cancel_before_its_job_is_remembered(peer: Peer, start_agent: StartAgent) -> None:
    await start_agent("Model")
    visit = await peer.admitted()
    rid = new_id()
    await visit.cancel(rid)
    await visit.job(rid)
    assert (await visit.result())["status"] == "cancelled"
    await visit.job()
    assert (await visit.result())["output"]["handled"] == 1


async def test_a_job_that_comes_twice_runs_once(peer: Peer, start_agent: StartAgent) -> None:
    await start_agent("Model")
    visit = await peer.admitted()
    rid = new_id()
    await visit.job(rid)
    await visit.job(rid)
    await visit.result()
    await visit.job()
    assert (await visit.result())["output"]["handled"] == 2


async def test_work_survives_a_cut_and_the_tail_is_said_again(
    peer: Peer, start_agent: StartAgent, links: list[Link], tmp_path: Path
) -> None:
    agent = await start_agent("gated")
    visit = await peer.admitted()
    gate = tmp_path / "gate"
    rid = await visit.job(payload={"parameters": {"gate": str(gate), "count": 20}})
    await visit.until(lambda: visit.chunks() == ["first "])
    await visit.ack_chunks(rid, 1)
    await eventually(
        lambda: not agent.engine.session._held[next(iter(agent.engine.session._held))].chunks
    )
    cut(links[0])
    again = await peer.visit()
    register = await again.admit(adopted=keys((rid, 1)))
    (held,) = register["resume"]["in_flight"]
    assert held == {
        "space_id": space_id("demo"),
        "request_id": rid,
        "attempt": 1,
        "finished": False,
    }
    gate.touch()
    await again.until(lambda: len(again.chunks()) == 21)
    assert again.all("inference_chunk")[0]["n"] == 2
    await again.ack_chunks(rid, 22)
    result = await again.result()
    assert result["last_n"] == 22


async def test_a_result_is_said_until_it_is_settled(
    peer: Peer, start_agent: StartAgent, links: list[Link]
) -> None:
    agent = await start_agent()
    visit = await peer.admitted()
    await visit.job()
    first = await visit.result(outcome=None)
    cut(links[0])
    again = await peer.admitted()
    second = await again.result(outcome="stale")
    assert first["output"] == second["output"]
    await eventually(lambda: agent.engine.session.idle)


async def test_what_is_abandoned_is_stopped(
    peer: Peer, start_agent: StartAgent, links: list[Link], tmp_path: Path
) -> None:
    agent = await start_agent("cooperative")
    visit = await peer.admitted()
    places = {"began": str(tmp_path / "began"), "stopped": str(tmp_path / "stopped")}
    rid = await visit.job(payload={"parameters": places})
    await eventually((tmp_path / "began").exists)
    cut(links[0])
    again = await peer.visit()
    await again.admit(abandon=keys((rid, 1)))
    await eventually((tmp_path / "stopped").exists)
    await eventually(lambda: agent.engine.session.idle)
    assert again.all("inference_result") == []


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [(Code.SUPERSEDED, Exit.SUPERSEDED), (Code.KICKED, Exit.KICKED)],
)
async def test_a_kick_ends_the_agent(
    peer: Peer, start_agent: StartAgent, code: Code, exit_code: Exit
) -> None:
    agent = await start_agent()
    visit = await peer.admitted()
    await visit.kick(code, "Somebody else came.")
    left = await agent.leave()
    assert left.exit_code is exit_code
    assert "Somebody else came." in str(left)


async def test_sigterm_finishes_and_says_goodbye(
    peer: Peer, start_agent: StartAgent, tmp_path: Path
) -> None:
    agent = await start_agent("gated")
    visit = await peer.admitted()
    gate = tmp_path / "gate"
    rid = await visit.job(payload={"parameters": {"gate": str(gate)}})
    await visit.until(lambda: visit.chunks() == ["first "])
    agent.supervisor.drain()
    await visit.next("draining")
    gate.touch()
    await visit.until(lambda: len(visit.chunks()) == 2)
    await visit.ack_chunks(rid, 2)
    assert (await visit.result())["status"] == "succeeded"
    await visit.next("bye")
    assert (await agent.leave()).exit_code is Exit.OK
