"""The connection breaks: what runs goes on, what is unconfirmed is said again, nothing runs twice."""

from pathlib import Path

from spaces_contracts.identifiers import new_id
from spaces_worker_agent.exits import Exit
from tests.support.agents import StartAgent
from tests.support.eventually import eventually
from tests.support.fake_gateway import FakeGateway, space_id


def adopted(*keys: tuple[str, int]) -> list[dict[str, object]]:
    return [{"request_id": rid, "attempt": attempt} for rid, attempt in keys]


async def test_the_agent_comes_back_after_a_cut(
    gateway: FakeGateway, start_agent: StartAgent
) -> None:
    await start_agent()
    visit = await gateway.admitted()
    visit.cut()
    again = await gateway.visit()
    register = await again.admit()
    assert register["resume"]["in_flight"] == []


async def test_a_running_job_survives_the_cut_and_is_reported(
    gateway: FakeGateway, start_agent: StartAgent, tmp_path: Path
) -> None:
    await start_agent("gated")
    visit = await gateway.admitted()
    gate = tmp_path / "gate"
    rid = await visit.job(payload={"parameters": {"gate": str(gate)}})
    chunk = await visit.next("inference_chunk")
    assert chunk["data"] == ["first "]
    await visit.ack_chunks(rid, 1)
    visit.cut()
    again = await gateway.visit()
    register = await again.admit(adopted=adopted((rid, 1)))
    assert register["resume"]["in_flight"] == [
        {"space_id": space_id("demo"), "request_id": rid, "attempt": 1, "finished": False}
    ]
    gate.touch()
    assert (await again.next("inference_chunk"))["n"] == 2
    await again.ack_chunks(rid, 2)
    result = await again.result()
    assert result["output"] == {"text": "first last"}
    assert result["last_n"] == 2
    assert len(gateway.visits) == 2


async def test_unacknowledged_chunks_are_sent_again_in_order(
    gateway: FakeGateway, start_agent: StartAgent
) -> None:
    await start_agent("streaming")
    visit = await gateway.admitted()
    rid = await visit.job(payload={"parameters": {"count": 50}})
    await visit.until(lambda: sum(len(f["data"]) for f in visit.all("inference_chunk")) == 50)
    await visit.ack_chunks(rid, 10)
    await visit.cancel(
        new_id()
    )  # the agent has read the acknowledgement when it answers pings after this
    await visit.heard()
    visit.cut()
    again = await gateway.visit()
    await again.admit(adopted=adopted((rid, 1)))
    await again.until(lambda: sum(len(f["data"]) for f in again.all("inference_chunk")) == 40)
    chunks = again.all("inference_chunk")
    assert chunks[0]["n"] == 11
    assert [token for f in chunks for token in f["data"]] == [f"{n} " for n in range(10, 50)]
    await again.ack_chunks(rid, 50)
    assert (await again.result())["last_n"] == 50


async def test_an_unconfirmed_result_is_sent_again(
    gateway: FakeGateway, start_agent: StartAgent
) -> None:
    await start_agent()
    visit = await gateway.admitted()
    rid = await visit.job()
    first = await visit.result(outcome=None)
    visit.cut()
    again = await gateway.visit()
    register = await again.admit()
    assert register["resume"]["in_flight"][0]["finished"] is True
    assert await again.result() == first
    assert first["request_id"] == rid
    await again.heard()


async def test_a_stale_result_is_dropped(gateway: FakeGateway, start_agent: StartAgent) -> None:
    agent = await start_agent()
    visit = await gateway.admitted()
    await visit.job()
    await visit.result(outcome="stale")
    await eventually(lambda: agent.engine.session.idle)


async def test_an_acknowledgement_of_another_attempt_changes_nothing(
    gateway: FakeGateway, start_agent: StartAgent
) -> None:
    agent = await start_agent()
    visit = await gateway.admitted()
    rid = await visit.job(attempt=2)
    frame = await visit.result(outcome=None)
    await visit.ack(frame | {"attempt": 1}, "stale")
    await visit.heard()
    assert agent.engine.session.unacknowledged == 1
    await visit.ack(frame)
    await eventually(lambda: agent.engine.session.idle)
    assert rid == frame["request_id"]


async def test_what_is_to_be_abandoned_is_killed_and_says_nothing(
    gateway: FakeGateway, start_agent: StartAgent, tmp_path: Path
) -> None:
    agent = await start_agent("cooperative")
    visit = await gateway.admitted()
    began, stopped = tmp_path / "began", tmp_path / "stopped"
    rid = await visit.job(payload={"parameters": {"began": str(began), "stopped": str(stopped)}})
    await eventually(began.exists)
    visit.cut()
    again = await gateway.visit()
    await again.admit(abandon=adopted((rid, 1)))
    await eventually(stopped.exists)
    await eventually(lambda: agent.engine.session.idle)
    assert again.all("inference_result") == []
    await again.job(rid)  # a late copy of the job
    await again.heard()
    assert again.all("accepted") == []


async def test_a_spooled_result_is_abandoned_too(
    gateway: FakeGateway, start_agent: StartAgent
) -> None:
    agent = await start_agent()
    visit = await gateway.admitted()
    rid = await visit.job()
    await visit.result(outcome=None)
    visit.cut()
    again = await gateway.visit()
    await again.admit(abandon=adopted((rid, 1)))
    await eventually(lambda: agent.engine.session.idle)
    assert again.all("inference_result") == []


async def test_a_job_that_arrives_twice_runs_once(
    gateway: FakeGateway, start_agent: StartAgent
) -> None:
    await start_agent("Model")
    visit = await gateway.admitted()
    rid = new_id()
    for _ in range(3):
        await visit.job(rid)
    first = await visit.result()
    await visit.job(rid)
    await visit.job()
    second = await visit.result()
    assert first["output"]["handled"] == 1
    assert second["output"]["handled"] == 2
    assert second["request_id"] != rid


async def test_a_newer_attempt_ends_the_older_one(
    gateway: FakeGateway, start_agent: StartAgent, tmp_path: Path
) -> None:
    await start_agent("cooperative")
    visit = await gateway.admitted()
    places = {"began": str(tmp_path / "began"), "stopped": str(tmp_path / "stopped")}
    rid = await visit.job(payload={"parameters": places})
    await eventually(Path(places["began"]).exists)
    places["began"] += "2"
    await visit.job(rid, attempt=2, payload={"parameters": places})
    await eventually(Path(places["began"]).exists)
    await visit.job(rid, attempt=1)  # late: older than what runs
    await visit.cancel(rid, attempt=2)
    result = await visit.result()
    assert (result["attempt"], result["status"]) == (2, "cancelled")
    assert {f["attempt"] for f in visit.all("accepted")} <= {1, 2}


async def test_a_cancel_that_overtakes_its_job_is_remembered(
    gateway: FakeGateway, start_agent: StartAgent
) -> None:
    await start_agent("Model")
    visit = await gateway.admitted()
    rid = new_id()
    await visit.cancel(rid)
    await visit.job(rid)
    result = await visit.result()
    assert result["status"] == "cancelled"
    assert visit.all("accepted") == []
    await visit.job()
    assert (await visit.result())["output"]["handled"] == 1


async def test_results_of_an_earlier_run_are_sent_after_a_restart(
    gateway: FakeGateway, start_agent: StartAgent, tmp_path: Path
) -> None:
    first = await start_agent()
    visit = await gateway.admitted()
    rid = await visit.job()
    sent = await visit.result(outcome=None)
    first.supervisor.drain()
    first.supervisor.drain()
    assert (await first.leave()).exit_code is Exit.STOPPED
    second = await start_agent()
    again = await gateway.visit()
    register = await again.admit()
    assert register["instance_id"] == first.engine.spool.identity.instance_id
    assert register["resume"]["in_flight"] == [
        {"space_id": space_id("demo"), "request_id": rid, "attempt": 1, "finished": True}
    ]
    assert await again.result() == sent
    await eventually(lambda: second.engine.session.idle)
    await again.job(rid)  # over, and remembered over the restart
    await again.heard()
    assert again.all("accepted") == []


async def test_a_silent_gateway_is_left(gateway: FakeGateway, start_agent: StartAgent) -> None:
    await start_agent()
    visit = await gateway.admitted(heartbeat_s=0.05)
    visit.answers_pings = False
    again = await gateway.visit()
    await again.admit()
    assert visit.pings > 10


async def test_a_gateway_that_goes_away_is_left_at_once(
    gateway: FakeGateway, start_agent: StartAgent
) -> None:
    await start_agent()
    visit = await gateway.admitted()
    await visit.send(type="goaway", reconnect_after_s=0.01)
    await (await gateway.visit()).admit()


async def test_a_frame_of_an_unknown_type_is_skipped(
    gateway: FakeGateway, start_agent: StartAgent
) -> None:
    await start_agent()
    visit = await gateway.admitted()
    await visit.send(type="from_the_future", x=1)
    await visit.socket.send("not json")
    await visit.job()
    assert (await visit.result())["status"] == "succeeded"
