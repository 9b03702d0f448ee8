"""Every way to end: each problem has its exit code and says what to do; what may heal is tried again."""

from pathlib import Path

import pytest

from spaces_contracts.problems import Code
from spaces_worker_agent.exits import Exit
from tests.support.agents import StartAgent
from tests.support.eventually import eventually
from tests.support.fake_gateway import FakeGateway

FINAL = [
    (Code.TOKEN_INVALID, Exit.TOKEN_INVALID, "Make a new worker token"),
    (Code.TOKEN_REVOKED, Exit.TOKEN_REVOKED, "Ask for a new credential."),
    (Code.TOKEN_SCOPE, Exit.TOKEN_SCOPE, "Use a token made for this space."),
    (Code.SPACE_NOT_FOUND, Exit.SPACE_NOT_FOUND, "List spaces"),
    (Code.MULTIPLE_SPACES, Exit.MULTIPLE_SPACES, "Say `tenant/name`, or the space's id."),
    (Code.SPACE_DISABLED, Exit.SPACE_DISABLED, "Enable the space first."),
    (Code.UNSUPPORTED_PROTOCOL, Exit.UNSUPPORTED_PROTOCOL, "Install the version"),
    (Code.FORBIDDEN, Exit.REFUSED, "Use a credential that has this right."),
]


@pytest.mark.parametrize(("code", "exit_code", "advice"), FINAL)
async def test_what_no_retry_can_help_ends_the_agent(
    gateway: FakeGateway, start_agent: StartAgent, code: Code, exit_code: Exit, advice: str
) -> None:
    agent = await start_agent()
    visit = await gateway.visit()
    await visit.next("register")
    await visit.send(type="register_error", space="demo", code=code, message="It is so.")
    left = await agent.leave()
    assert left.exit_code is exit_code
    assert str(left).startswith("space 'demo': It is so. ")
    assert advice in str(left)
    assert str(left).endswith(f"({code})")


async def test_a_live_holder_ends_the_agent(gateway: FakeGateway, start_agent: StartAgent) -> None:
    agent = await start_agent()
    visit = await gateway.visit()
    await visit.next("register")
    facts = {"space": "demo", "code": Code.ALREADY_CONNECTED, "message": "Taken."}
    await visit.send(type="register_error", holder="live", **facts)
    left = await agent.leave()
    assert left.exit_code is Exit.ALREADY_CONNECTED
    assert "--takeover" in str(left)


async def test_a_suspected_holder_is_waited_for(
    gateway: FakeGateway, start_agent: StartAgent
) -> None:
    await start_agent()
    visit = await gateway.visit()
    await visit.next("register")
    facts = {"space": "demo", "code": Code.ALREADY_CONNECTED, "message": "Perhaps taken."}
    await visit.send(
        type="register_error", holder="suspect", retry=False, retry_after_s=0.01, **facts
    )
    await (await gateway.visit()).admit()


async def test_an_unavailable_registry_is_asked_again(
    gateway: FakeGateway, start_agent: StartAgent
) -> None:
    await start_agent()
    visit = await gateway.visit()
    await visit.next("register")
    await visit.send(type="register_error", code=Code.UNAVAILABLE, message="Not now.")
    await (await gateway.visit()).admit()


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [
        (Code.SUPERSEDED, Exit.SUPERSEDED),
        (Code.KICKED, Exit.KICKED),
        (Code.TOKEN_REVOKED, Exit.TOKEN_REVOKED),
        (Code.SPACE_DISABLED, Exit.SPACE_DISABLED),
    ],
)
async def test_a_kick_has_its_exit_code(
    gateway: FakeGateway, start_agent: StartAgent, code: Code, exit_code: Exit
) -> None:
    agent = await start_agent()
    visit = await gateway.admitted()
    await visit.kick(code, "By the operator.")
    left = await agent.leave()
    assert left.exit_code is exit_code
    assert "By the operator." in str(left)


async def test_a_kick_with_retry_is_a_reconnect(
    gateway: FakeGateway, start_agent: StartAgent
) -> None:
    await start_agent()
    visit = await gateway.admitted()
    cid = visit.connections["demo"]
    facts = {"code": Code.HEARTBEAT_TIMEOUT, "message": "Lost you.", "retry": True}
    await visit.send(type="kick", connection_id=cid, **facts)
    await (await gateway.visit()).admit()


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [
        (Code.MALFORMED_FRAME, Exit.UNSUPPORTED_PROTOCOL),
        (Code.UNKNOWN_FRAME_TYPE, Exit.UNSUPPORTED_PROTOCOL),
        (Code.UNAUTHENTICATED, Exit.TOKEN_INVALID),
    ],
)
async def test_a_registration_that_is_not_understood_ends_the_agent(
    gateway: FakeGateway, start_agent: StartAgent, code: Code, exit_code: Exit
) -> None:
    agent = await start_agent()
    visit = await gateway.visit()
    await visit.next("register")
    await visit.send(type="error", code=code, message="What is `slots`?")
    left = await agent.leave()
    assert left.exit_code is exit_code
    assert "What is `slots`?" in str(left)


async def test_an_error_about_a_frame_later_on_ends_nothing(
    gateway: FakeGateway, start_agent: StartAgent
) -> None:
    await start_agent()
    visit = await gateway.admitted()
    await visit.send(type="error", code=Code.UNKNOWN_FRAME_TYPE, message="no")
    await visit.job()
    assert (await visit.result())["status"] == "succeeded"


async def test_a_takeover_is_for_the_first_registration_only(
    gateway: FakeGateway, start_agent: StartAgent
) -> None:
    await start_agent(takeover=True)
    visit = await gateway.visit()
    assert (await visit.admit())["takeover"] is True
    visit.cut()
    assert (await (await gateway.visit()).admit())["takeover"] is False


async def test_a_drain_by_the_operator_finishes_and_leaves(
    gateway: FakeGateway, start_agent: StartAgent, tmp_path: Path
) -> None:
    agent = await start_agent("gated")
    visit = await gateway.admitted()
    gate = tmp_path / "gate"
    rid = await visit.job(payload={"parameters": {"gate": str(gate)}})
    await visit.next("inference_chunk")
    await visit.send(type="drain", connection_id=visit.connections["demo"])
    await visit.next("draining")
    gate.touch()
    await visit.until(lambda: len(visit.chunks()) == 2)
    await visit.ack_chunks(rid, 2)
    await visit.result()
    await visit.next("bye")
    assert (await agent.leave()).exit_code is Exit.DRAINED


async def test_while_draining_new_jobs_are_refused(
    gateway: FakeGateway, start_agent: StartAgent, tmp_path: Path
) -> None:
    agent = await start_agent("cooperative", slots=2)
    visit = await gateway.admitted()
    places = {"began": str(tmp_path / "began"), "stopped": str(tmp_path / "stopped")}
    rid = await visit.job(payload={"parameters": places})
    await eventually((tmp_path / "began").exists)
    agent.supervisor.drain()
    await visit.next("draining")
    late = await visit.job()
    refused = await visit.next("refused")
    assert (refused["request_id"], refused["code"]) == (late, "going_away")
    await visit.cancel(rid)
    await visit.result()
    assert (await agent.leave()).exit_code is Exit.OK


async def test_a_second_signal_stops_at_once(
    gateway: FakeGateway, start_agent: StartAgent, tmp_path: Path
) -> None:
    agent = await start_agent("deaf", grace_s=30)
    visit = await gateway.admitted()
    began = tmp_path / "began"
    await visit.job(payload={"parameters": {"began": str(began)}})
    await eventually(began.exists)
    agent.supervisor.drain()
    agent.supervisor.drain()
    left = await agent.leave()
    assert left.exit_code is Exit.STOPPED
    assert agent.engine.pool.pids == []


async def test_draining_without_a_connection_keeps_results_in_the_spool(
    gateway: FakeGateway, start_agent: StartAgent
) -> None:
    agent = await start_agent()
    visit = await gateway.admitted()
    await visit.job()
    await visit.result(outcome=None)
    visit.cut()
    again = await gateway.visit()
    agent.supervisor.drain()
    again.cut()
    left = await agent.leave()
    assert left.exit_code is Exit.OK
    assert "1 results wait in the spool" in str(left)


async def test_one_wrong_space_among_several_ends_the_agent_at_the_start(
    gateway: FakeGateway, start_agent: StartAgent
) -> None:
    agent = await start_agent(spaces=("demo", "wrong"))
    visit = await gateway.visit()
    await visit.next("register")
    await visit.register_space("demo")
    facts = {"code": Code.SPACE_NOT_FOUND, "message": "No space 'wrong'."}
    await visit.send(type="register_error", space="wrong", **facts)
    left = await agent.leave()
    assert left.exit_code is Exit.SPACE_NOT_FOUND
    assert str(left).startswith("space 'wrong': No space 'wrong'.")


async def test_a_space_that_is_lost_later_leaves_the_others(
    gateway: FakeGateway, start_agent: StartAgent
) -> None:
    agent = await start_agent(spaces=("demo", "other"))
    visit = await gateway.admitted()
    facts = {"code": Code.KICKED, "message": "Go.", "retry": False}
    await visit.send(type="kick", connection_id=visit.connections["other"], **facts)
    await visit.job()
    assert (await visit.result())["status"] == "succeeded"
    await visit.send(type="kick", connection_id=visit.connections["demo"], **facts)
    assert (await agent.leave()).exit_code is Exit.KICKED
