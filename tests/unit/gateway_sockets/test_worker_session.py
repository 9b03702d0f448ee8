"""The worker socket's rules, without a socket."""

import json
from typing import Any

from spaces_contracts.connections import AttachVerdict
from spaces_contracts.problems import Code, Problem
from spaces_contracts.requests import (
    CancelJob,
    JobAnswer,
    JobResult,
    RequestState,
    ResultAck,
    ResultOutcome,
)
from spaces_gateway.sockets.effects import (
    AskAttach,
    AskDrain,
    Close,
    End,
    Hold,
    Publish,
    Release,
    Send,
    Suspect,
)
from spaces_gateway.sockets.held_work import MAX_HELD, Connection, HeldWork
from spaces_gateway.sockets.worker_frames import MAX_RESULT_BYTES
from spaces_gateway.sockets.worker_session import MAX_BAD_FRAMES, MAX_EARLY, WorkerSession
from tests.unit.gateway_sockets.session_driver import (
    GATEWAY,
    OTHER,
    REQUEST,
    SPACE,
    frame,
    granted,
    job,
    only,
    register,
    result,
    sent,
    serving,
    working,
)

# Registering


def test_registering_makes_connections_reachable_before_it_asks_the_registry() -> None:
    session = WorkerSession(GATEWAY, 0.0)
    effects = session.frame(register("a", "b", "a", slots=3, takeover=True), 0.0)
    hold, ask = effects
    assert isinstance(hold, Hold)
    assert isinstance(ask, AskAttach)
    command = ask.command
    assert [a.ref for a in command.attachments] == ["a", "b"]
    assert tuple(a.connection_id for a in command.attachments) == hold.connection_ids
    assert (command.gateway_id, command.slots, command.takeover) == (GATEWAY, 3, True)
    assert "secret" not in command.model_dump_json().replace("instance_secret", "")


def test_each_space_gets_its_own_answer() -> None:
    session = WorkerSession(GATEWAY, 0.0)
    session.frame(register("good", "bad"), 0.0)
    verdicts = granted(session)
    problem = Problem(code=Code.SPACE_NOT_FOUND, message="No space 'bad'.")
    verdicts[1] = AttachVerdict(ref="bad", connection_id=verdicts[1].connection_id, problem=problem)
    effects = session.attached(verdicts)
    registered, refused = sent(effects)
    assert (registered["type"], registered["space"]) == ("registered", "good")
    assert (refused["type"], refused["space"]) == ("register_error", "bad")
    assert (refused["code"], refused["message"]) == ("space_not_found", "No space 'bad'.")
    assert refused["retry"] is False
    assert only(effects, Release).connection_ids == (verdicts[1].connection_id,)
    assert not [e for e in effects if isinstance(e, Close)]


def test_a_socket_without_any_space_is_closed_with_the_problems_code() -> None:
    session = WorkerSession(GATEWAY, 0.0)
    session.frame(register(), 0.0)
    (cid,) = session.pending
    problem = Problem(code=Code.ALREADY_CONNECTED)
    effects = session.attached(
        [AttachVerdict(ref="demo", connection_id=cid, problem=problem, holder="live")]
    )
    (refused,) = sent(effects)
    assert (refused["holder"], refused["retry"]) == ("live", False)
    assert only(effects, Close) == Close(4409, "already_connected")


def test_a_seat_held_by_a_ghost_is_worth_a_retry() -> None:
    session = WorkerSession(GATEWAY, 0.0)
    session.frame(register(), 0.0)
    (cid,) = session.pending
    problem = Problem(code=Code.ALREADY_CONNECTED)
    effects = session.attached(
        [AttachVerdict(ref="demo", connection_id=cid, problem=problem, holder="suspect")]
    )
    (refused,) = sent(effects)
    assert (refused["holder"], refused["retry"], refused["retry_after_s"]) == ("suspect", True, 1)


def test_an_unknown_outcome_of_attaching_is_undone_and_a_certain_one_is_not() -> None:
    for certain in (True, False):
        session = WorkerSession(GATEWAY, 0.0)
        session.frame(register(), 0.0)
        (cid,) = session.pending
        problem = Problem(code=Code.UNAVAILABLE, message="no registry", retry_after_s=2)
        effects = session.attach_failed(problem, certain=certain)
        (refused,) = sent(effects)
        assert (refused["code"], refused["retry"], refused["retry_after_s"]) == (
            "unavailable",
            True,
            2,
        )
        ends = [e for e in effects if isinstance(e, End)]
        assert ends == ([] if certain else [End((cid,), False)])
        assert only(effects, Close).code == 1013


def test_a_worker_that_left_while_the_registry_was_asked_leaves_no_connection() -> None:
    session = WorkerSession(GATEWAY, 0.0)
    session.frame(register(), 0.0)
    verdicts = granted(session)
    (cid,) = session.pending
    assert session.closed() == [Release((cid,))]
    assert session.attached(verdicts) == [End((cid,), False)]


def test_jobs_for_a_pending_connection_come_after_registered_and_in_order() -> None:
    session = WorkerSession(GATEWAY, 0.0)
    session.frame(register(), 0.0)
    (cid,) = session.pending
    assert session.deliver(cid, job(cid)) == []
    assert session.deliver(cid, job(cid, "q" * 26)) == []
    frames = sent(session.attached(granted(session)))
    assert [f["type"] for f in frames] == ["registered", "inference_request", "inference_request"]
    assert frames[1]["request_id"] == REQUEST


def test_frames_sent_before_registered_are_handled_after_it_and_are_bounded() -> None:
    session = WorkerSession(GATEWAY, 0.0)
    session.frame(register(), 0.0)
    for _ in range(MAX_EARLY):
        assert session.frame(result(), 0.0) == []
    assert only(session.frame(result(), 0.0), Close).code == 1008
    effects = session.attached(granted(session))
    assert len([e for e in effects if isinstance(e, Publish)]) == MAX_EARLY


def test_a_second_register_is_refused() -> None:
    session, _ = serving()
    (refused,) = sent(session.frame(register(), 0.0))
    assert (refused["code"], refused["message"]) == (
        "malformed_frame",
        "`register` was sent already.",
    )


# Jobs


def test_the_payload_reaches_the_worker_as_the_json_it_was() -> None:
    session, cid = serving()
    payload = ' {"prompt": "ä\\u0000\\"", "parameters": {"n": 1e3}} '
    effects = session.deliver(cid, job(cid, payload=payload, queue_size=3))
    assert isinstance(effects[0], Send)
    assert b'"prompt": "\xc3\xa4\\u0000\\""' in effects[0].frame
    (request,) = sent(effects)
    assert request["payload"] == json.loads(payload)
    assert (request["space"], request["space_id"]) == ("demo", SPACE)
    assert (request["remaining_ms"], request["queue_size"]) == (1000, 3)


def test_answers_to_jobs_carry_the_sockets_ids() -> None:
    session, cid = working()
    publish = only(session.frame(frame("accepted"), 0.0), Publish)
    answer = JobAnswer.decode(publish.body, publish.subject)
    assert (answer.connection_id, answer.space_id, answer.accepted) == (cid, SPACE, True)
    effects = session.frame(frame("refused", code="unavailable", message="busy"), 0.0)
    answer = JobAnswer.model_validate_json(only(effects, Publish).body)
    assert not answer.accepted
    assert answer.problem == Problem(code=Code.UNAVAILABLE, message="busy")
    assert sent(session.frame(frame("accepted"), 0.0))[0]["code"] == "unknown_request"


def test_frames_about_work_of_others_are_answered_and_go_nowhere() -> None:
    session, _ = working()
    others: list[dict[str, Any]] = [{"request_id": "x" * 26}, {"attempt": 2}]
    for other in others:
        for text in (
            frame("accepted", **other),
            frame("inference_progress", percent=1, **other),
            frame("inference_chunk", n=1, data=["a"], **other),
        ):
            effects = session.frame(text, 0.0)
            (refused,) = sent(effects)
            assert refused["code"] == "unknown_request"
            assert refused["request_id"] == other.get("request_id", REQUEST)
            assert refused["facts"] == {"attempt": other.get("attempt", 1)}
            assert len(effects) == 1


def test_a_cancel_reaches_the_worker_with_its_reason() -> None:
    session, cid = working()
    reason = Problem(code=Code.RUN_TIMEOUT, message="30 s are over")
    cancel = CancelJob(route="gw.x", request_id=REQUEST, attempt=1, reason=reason)
    (told,) = sent(session.deliver(cid, cancel))
    assert (told["type"], told["code"], told["message"]) == (
        "cancel",
        "run_timeout",
        "30 s are over",
    )


# Results


def test_a_result_of_held_work_goes_up_through_its_connection() -> None:
    session, cid = working()
    publish = only(session.frame(result(space_id=OTHER), 0.0), Publish)
    assert publish.subject == f"wk.{SPACE}.{cid}.u.result"
    assert publish.reply_to == f"gw.{GATEWAY}.wk.{cid}.ack"
    message = JobResult.model_validate_json(publish.body)
    assert (message.state, message.output_json) == (RequestState.SUCCEEDED, "1")


def test_a_result_that_this_socket_knows_nothing_of_is_judged_by_the_scheduler() -> None:
    session, cid = serving()
    for space_id in (SPACE, None):
        publish = only(session.frame(result(space_id=space_id), 0.0), Publish)
        assert publish.subject == f"wk.{SPACE}.{cid}.u.result"


def test_a_result_for_a_space_that_this_socket_does_not_serve_is_refused() -> None:
    session, _ = serving()
    (refused,) = sent(session.frame(result(space_id=OTHER), 0.0))
    assert (refused["code"], refused["request_id"]) == ("unknown_request", REQUEST)
    assert refused["message"] == "Attempt 1 of this request was not given to this connection."


def test_an_acknowledgement_ends_the_work_and_reaches_the_worker() -> None:
    session, cid = working()
    for outcome in ResultOutcome:
        ack = ResultAck(route=f"gw.{GATEWAY}", request_id=REQUEST, attempt=1, verdict=outcome)
        (told,) = sent(session.deliver(cid, ack))
        assert (told["type"], told["outcome"]) == ("result_ack", outcome)
    assert len(session.held) == 0


def test_numbers_that_json_lacks_become_null() -> None:
    session, _ = working()
    text = result(output=0).replace('"output": 0', '"output": [NaN, Infinity]')
    message = JobResult.model_validate_json(only(session.frame(text, 0.0), Publish).body)
    assert message.output_json == "[null,null]"


def test_a_result_that_does_not_fit_the_bus_fails_its_request() -> None:
    session, _ = working()
    output = '"' * (MAX_RESULT_BYTES // 4)
    text = result(output=output)
    assert len(text) < 1_048_576 + 1024
    body = only(session.frame(text, 0.0), Publish).body
    message = JobResult.model_validate_json(body)
    assert len(body) < MAX_RESULT_BYTES
    assert message.state is RequestState.FAILED
    assert message.error is not None
    assert message.error.code is Code.OUTPUT_TOO_LARGE


# Time and ends


def test_a_quiet_worker_is_pinged_then_suspected_once_then_closed() -> None:
    session, cid = serving()
    assert session.tick(0.5) == []
    assert sent(session.tick(1.0))[0]["type"] == "ping"
    effects = session.tick(3.0)
    assert only(effects, Suspect).connection_ids == (cid,)
    assert not [e for e in session.tick(4.0) if isinstance(e, Suspect)]
    assert session.tick(10.0) == [Close(4408, "heartbeat_timeout")]


def test_a_worker_that_is_heard_again_can_be_suspected_again() -> None:
    session, _ = serving()
    session.tick(3.0)
    assert sent(session.frame('{"type": "ping", "id": 9}', 3.5)) == [{"type": "pong", "id": 9}]
    assert session.tick(4.0) == []
    assert [e for e in session.tick(6.5) if isinstance(e, Suspect)]


def test_a_bye_ends_the_connections_cleanly_and_a_cut_does_not() -> None:
    for text, clean in ((frame("bye"), True), (frame("pong"), False)):
        session, cid = serving()
        session.frame(text, 0.0)
        assert session.closed() == [Release((cid,)), End((cid,), clean)]
        assert session.closed() == []
        assert session.frame(frame("accepted"), 0.0) == []


def test_a_kick_ends_one_connection_and_the_last_one_takes_the_socket_along() -> None:
    session = WorkerSession(GATEWAY, 0.0)
    session.frame(register("a", "b"), 0.0)
    session.attached(granted(session))
    first, second = session.connections
    session.deliver(first, job(first))
    problem = Problem(code=Code.SUPERSEDED, message="gone")
    effects = session.kick(first, problem)
    (told,) = sent(effects)
    assert (told["type"], told["code"], told["retry"]) == ("kick", "superseded", False)
    assert not [e for e in effects if isinstance(e, Close)]
    assert sent(session.frame(frame("accepted"), 0.0))[0]["code"] == "unknown_request"
    assert only(session.kick(second, problem), Close) == Close(4409, "superseded")
    assert session.kick(second, problem) == []
    assert session.deliver(second, job(second)) == []


def test_draining_goes_both_ways() -> None:
    session, cid = serving()
    assert sent(session.drain(cid)) == [{"type": "drain", "connection_id": cid}]
    assert session.drain("x" * 26) == []
    effects = session.frame('{"type": "draining"}', 0.0)
    assert only(effects, AskDrain).connection_ids == (cid,)


def test_going_away_tells_when_to_come_back() -> None:
    session, _ = serving()
    effects = session.go_away(1.25)
    assert sent(effects) == [{"type": "goaway", "reconnect_after_s": 1.25}]
    assert only(effects, Close).code == 1012


def test_the_first_frame_must_come_and_must_be_register() -> None:
    session = WorkerSession(GATEWAY, 0.0)
    (refused,) = sent(session.frame(frame("accepted"), 0.0))
    assert (refused["code"], refused["message"]) == (
        "unauthenticated",
        "The first frame is `register`.",
    )
    effects = session.first_frame_missing()
    assert sent(effects)[0]["code"] == "first_frame_timeout"
    assert only(effects, Close).code == 4408
    session.frame(register(), 0.0)
    assert session.first_frame_missing() == []


def test_bad_frames_are_answered_and_a_bounded_number_of_them_closes() -> None:
    session, _ = serving()
    for text, code in (("{", "malformed_frame"), ('{"type": "nonsense"}', "unknown_frame_type")):
        (refused,) = sent(session.frame(text, 0.0))
        assert refused["code"] == code
    closes = []
    for _ in range(MAX_BAD_FRAMES - 2):
        closes += [e for e in session.frame("[]", 0.0) if isinstance(e, Close)]
    assert closes == [Close(4400, "malformed_frame")]


def test_held_work_is_bounded_and_forgets_the_oldest() -> None:
    held = HeldWork()
    connection = Connection("c" * 26, SPACE, "demo")
    for attempt in range(1, MAX_HELD + 2):
        held.give(REQUEST, attempt, connection)
    assert len(held) == MAX_HELD
    assert held.get(REQUEST, 1) is None
    assert held.get(REQUEST, 2) is not None
