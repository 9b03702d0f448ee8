"""When the session says what: throttling, repeating, waiting; and each refusal and replacement by example."""

from datetime import UTC, datetime

import pytest

from spaces_contracts.connections import Attempt, InFlight
from spaces_contracts.problems import Code, Problem
from spaces_contracts.requests import ResultOutcome
from spaces_worker_agent.attempts import (
    Accept,
    Chunks,
    Job,
    Keep,
    Key,
    Outgoing,
    Progress,
    Refuse,
    Result,
    Settle,
    Start,
    Stop,
)
from spaces_worker_agent.finished import FinishedMemory
from spaces_worker_agent.session import (
    ACCEPT_AFTER_S,
    CHUNKS_AGAIN_S,
    PROGRESS_EVERY_S,
    REFUSE_AFTER_S,
    RESULT_AFTER_CHUNKS_S,
    RESULT_AGAIN_MAX_S,
    RESULT_AGAIN_S,
    Session,
)
from spaces_worker_agent.window import (
    BATCH_CHUNKS,
    CREDIT_CHARACTERS,
    CREDIT_CHUNKS,
    WINDOW_CHUNKS,
)

SPACE, OTHER = "s" * 26, "o" * 26
KEY, NEWER = Key("r" * 26, 2), Key("r" * 26, 3)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
BYE = Problem(code=Code.GOING_AWAY, message="bye")
CANCELLED = Problem(code=Code.CANCELLED)
ADOPTED = [Attempt(request_id=KEY.request_id, attempt=KEY.attempt)]


def a_job(key: Key = KEY, space_id: str = SPACE) -> Job:
    return Job(key, "demo", space_id, b"{}")


def a_result(key: Key = KEY) -> Result:
    return Result(key, SPACE, "succeeded", NOW, output_json='"x"')


@pytest.fixture
def memory() -> FinishedMemory:
    return FinishedMemory()


@pytest.fixture
def session(memory: FinishedMemory) -> Session:
    """Online, with one job that runs and was accepted."""
    session = Session(memory, lambda: NOW)
    session.registered(SPACE, [], [], 0.0)
    assert session.job(a_job(), 0.0) == [Start(a_job())]
    assert session.take(ACCEPT_AFTER_S) == [Accept(KEY, SPACE, 50)]
    return session


def kinds(items: list[Outgoing]) -> list[type]:
    return [type(item) for item in items]


def test_a_repeated_job_is_accepted_again_and_not_started(session: Session) -> None:
    assert session.job(a_job(), 1.0) == []
    assert session.take(1.0) == [Accept(KEY, SPACE, 1000)]
    assert session.take(1.0) == []


def test_a_job_is_accepted_once_it_has_run_for_a_moment(memory: FinishedMemory) -> None:
    session = Session(memory, lambda: NOW)
    session.registered(SPACE, [], [], 0.0)
    session.job(a_job(), 1.0)
    assert session.take(1.0) == []
    assert session.next_due() == 1.0 + ACCEPT_AFTER_S
    assert session.take(1.0 + ACCEPT_AFTER_S) == [Accept(KEY, SPACE, 50)]
    assert session.take(2.0) == []


def test_a_result_that_comes_at_once_needs_no_accept(memory: FinishedMemory) -> None:
    session = Session(memory, lambda: NOW)
    session.registered(SPACE, [], [], 0.0)
    session.job(a_job(), 0.0)
    session.finished(a_result(), 0.01)
    assert kinds(session.take(0.01)) == [Result]
    assert Accept not in kinds(session.take(10.0))


def test_a_result_that_waits_for_its_chunks_is_preceded_by_an_accept(
    memory: FinishedMemory,
) -> None:
    session = Session(memory, lambda: NOW)
    session.registered(SPACE, [], [], 0.0)
    session.job(a_job(), 0.0)
    session.chunks(KEY, ["1"])
    session.finished(a_result(), 0.0)
    assert kinds(session.take(0.0)) == [Chunks]
    assert kinds(session.take(ACCEPT_AFTER_S)) == [Accept]


def test_progress_is_told_now_and_then_only_the_newest(session: Session) -> None:
    session.progress(KEY, 1.0, None)
    assert session.take(0.0) == [Progress(KEY, SPACE, 1.0, None)]
    session.progress(KEY, 2.0, None)
    session.progress(KEY, 3.0, "three")
    assert session.take(PROGRESS_EVERY_S / 2) == []
    assert session.next_due() == PROGRESS_EVERY_S
    assert session.take(PROGRESS_EVERY_S) == [Progress(KEY, SPACE, 3.0, "three")]
    assert session.take(10.0) == []
    assert session.next_due() is None


def test_progress_does_not_follow_a_result(session: Session) -> None:
    session.progress(KEY, 1.0, None)
    session.finished(a_result(), 0.0)
    assert kinds(session.take(0.0)) == [Result]
    session.progress(KEY, 2.0, None)
    assert session.take(0.5) == []


def test_chunks_are_sent_once_and_again_when_nobody_confirms(session: Session) -> None:
    for text in ("1", "2", "3"):
        session.chunks(KEY, [text])
    assert session.take(0.0) == [Chunks(KEY, SPACE, 1, ("1", "2", "3"))]
    session.chunks(KEY, ["4"])
    assert session.take(1.0) == [Chunks(KEY, SPACE, 4, ("4",))]
    session.chunks_acked(KEY, 2, 2.0)
    assert session.take(2.0) == []
    assert session.next_due() is not None
    assert session.take(2.0 + CHUNKS_AGAIN_S - 0.1) == []
    assert session.take(2.0 + CHUNKS_AGAIN_S) == [Chunks(KEY, SPACE, 3, ("3", "4"))]
    session.chunks_acked(KEY, 4, 8.0)
    assert session.take(100.0) == []
    session.chunks_acked(KEY, 1, 8.0)  # an old one
    session.chunks_acked(KEY, 99, 8.0)  # one that cannot be
    session.chunks(KEY, ["5"])
    assert session.take(100.0) == [Chunks(KEY, SPACE, 5, ("5",))]


def test_many_chunks_are_several_frames(session: Session) -> None:
    for number in range(BATCH_CHUNKS + 1):
        session.chunks(KEY, [str(number)])
    first, second = session.take(0.0)
    assert isinstance(first, Chunks)
    assert isinstance(second, Chunks)
    assert (len(first.data), second.n, second.data) == (
        BATCH_CHUNKS,
        BATCH_CHUNKS + 1,
        (str(BATCH_CHUNKS),),
    )


def test_a_handler_hears_of_stored_chunks_a_quarter_of_the_window_at_a_time(
    session: Session,
) -> None:
    session.chunks(KEY, ["x"] * WINDOW_CHUNKS)
    assert session.chunks_acked(KEY, CREDIT_CHUNKS - 1, 0.0) is None
    assert session.chunks_acked(KEY, CREDIT_CHUNKS, 0.0) == CREDIT_CHUNKS
    assert session.chunks_acked(KEY, CREDIT_CHUNKS, 0.0) is None, "the same again"
    assert session.chunks_acked(KEY, 2 * CREDIT_CHUNKS - 1, 0.0) is None
    assert session.chunks_acked(KEY, WINDOW_CHUNKS, 0.0) == WINDOW_CHUNKS
    session.chunks(KEY, ["x" * CREDIT_CHARACTERS])
    assert session.chunks_acked(KEY, WINDOW_CHUNKS + 1, 0.0) == WINDOW_CHUNKS + 1
    session.chunks(KEY, ["x" * (CREDIT_CHARACTERS - 1)])
    assert session.chunks_acked(KEY, WINDOW_CHUNKS + 2, 0.0) is None
    session.chunks(KEY, ["x" * CREDIT_CHARACTERS])
    session.finished(a_result(), 0.0)
    assert session.chunks_acked(KEY, WINDOW_CHUNKS + 3, 0.0) is None, "it has ended"
    assert session.chunks_acked(NEWER, 1, 0.0) is None


def test_a_result_waits_for_its_chunks_but_not_for_ever(session: Session) -> None:
    session.chunks(KEY, ["1"])
    session.finished(a_result(), 0.0)
    assert kinds(session.take(0.0)) == [Chunks]
    assert session.next_due() == RESULT_AFTER_CHUNKS_S
    assert session.take(RESULT_AFTER_CHUNKS_S - 0.1) == []
    (late,) = session.take(RESULT_AFTER_CHUNKS_S)
    assert isinstance(late, Result)
    assert late.last_n == 1


def test_a_result_goes_at_once_when_its_chunks_are_confirmed(session: Session) -> None:
    session.chunks(KEY, ["1"])
    session.finished(a_result(), 0.0)
    session.take(0.0)
    session.chunks_acked(KEY, 1, 0.1)
    assert kinds(session.take(0.1)) == [Result]


def test_a_result_is_repeated_less_and_less_often(session: Session) -> None:
    session.finished(a_result(), 0.0)
    assert kinds(session.take(0.0)) == [Result]
    due, pause = 0.0, RESULT_AGAIN_S
    for _ in range(10):
        due += pause
        assert session.next_due() == due
        assert session.take(due - 0.01) == []
        assert kinds(session.take(due)) == [Result]
        pause = min(RESULT_AGAIN_MAX_S, pause * 2)
    assert pause == RESULT_AGAIN_MAX_S
    assert session.unacknowledged == 1


def test_a_repeated_job_repeats_its_result(session: Session) -> None:
    session.finished(a_result(), 0.0)
    session.take(0.0)
    assert session.job(a_job(), 0.1) == []
    assert kinds(session.take(0.1)) == [Result]
    assert session.cancel(KEY, CANCELLED, 0.2) == []
    assert kinds(session.take(0.2)) == [Result]


@pytest.mark.parametrize("outcome", list(ResultOutcome))
def test_any_verdict_settles_a_result(
    session: Session, memory: FinishedMemory, outcome: ResultOutcome
) -> None:
    assert session.result_acked(KEY, outcome, 0.0) == [], "there is no result yet"
    assert session.finished(a_result(), 0.0) == [Keep(a_result())]
    assert session.result_acked(NEWER, outcome, 0.0) == [], "another attempt was judged"
    assert session.result_acked(KEY, outcome, 0.0) == [Settle(KEY)]
    assert session.idle
    assert memory.fresh == [(KEY, "settled")]
    assert session.job(a_job(), 0.0) == []
    assert session.take(0.0) == []


def test_a_new_registration_says_everything_again(session: Session) -> None:
    session.chunks(KEY, ["1"])
    session.chunks(KEY, ["2"])
    session.take(0.0)
    session.chunks_acked(KEY, 1, 0.0)
    session.disconnected()
    assert session.take(0.1) == []
    assert session.registered(SPACE, ADOPTED, [], 0.2) == []
    assert session.take(0.2) == [Accept(KEY, SPACE, 200), Chunks(KEY, SPACE, 2, ("2",))]
    session.disconnected(SPACE)
    assert session.registered(SPACE, [], [], 0.3) == []
    assert session.take(0.3) == [Chunks(KEY, SPACE, 2, ("2",))], "who did not adopt needs no accept"


def test_other_spaces_wait_for_their_own_registration(session: Session) -> None:
    other = Key("q" * 26, 1)
    assert session.job(a_job(other, OTHER), 0.0) == [Start(a_job(other, OTHER))]
    assert session.take(0.0) == []
    session.registered(OTHER, [], [], 0.0)
    assert session.take(ACCEPT_AFTER_S) == [Accept(other, OTHER, 50)]
    session.disconnected(OTHER)
    session.chunks(KEY, ["1"])
    session.chunks(other, ["1"])
    assert [item.space_id for item in session.take(0.0)] == [SPACE]


def test_what_is_held_is_reported(session: Session) -> None:
    facts = {"space_id": SPACE, "request_id": KEY.request_id, "attempt": KEY.attempt}
    assert session.in_flight() == [InFlight.model_validate(facts)]
    assert (session.running, session.unacknowledged, session.idle) == (1, 0, False)
    session.finished(a_result(), 0.0)
    assert session.in_flight() == [InFlight.model_validate(facts | {"finished": True})]
    assert (session.running, session.unacknowledged) == (0, 1)


def test_what_is_abandoned_is_stopped_once_and_silent(session: Session) -> None:
    session.chunks(KEY, ["1"])
    (stop,) = session.registered(SPACE, [], ADOPTED, 0.0)
    assert isinstance(stop, Stop)
    assert stop.reason.code is Code.CANCELLED
    assert session.registered(SPACE, [], ADOPTED, 0.0) == []
    assert session.in_flight() == []
    session.chunks(KEY, ["2"])
    session.progress(KEY, 1.0, None)
    assert session.take(0.0) == []
    assert session.finished(a_result(), 0.0) == [Settle(KEY)]
    assert session.idle


def test_abandoning_what_is_being_cancelled_stops_it_only_once(session: Session) -> None:
    assert session.cancel(KEY, CANCELLED, 0.0) == [Stop(KEY, CANCELLED)]
    assert session.cancel(KEY, CANCELLED, 0.0) == []
    assert session.registered(SPACE, [], ADOPTED, 0.0) == []


def test_a_newer_attempt_replaces_an_older_one(session: Session) -> None:
    stop, start = session.job(a_job(NEWER), 0.0)
    assert isinstance(stop, Stop)
    assert (stop.key, start) == (KEY, Start(a_job(NEWER)))
    assert session.take(ACCEPT_AFTER_S) == [Accept(NEWER, SPACE, 50)]
    session.finished(a_result(), 0.0)
    assert session.job(a_job(), 0.0) == [], "the older one does not come back"


def test_a_newer_attempt_drops_an_older_result(session: Session) -> None:
    session.finished(a_result(), 0.0)
    settle, start = session.job(a_job(NEWER), 0.0)
    assert (settle, start) == (Settle(KEY), Start(a_job(NEWER)))


def test_cancelled_and_late_results(session: Session) -> None:
    session.cancel(KEY, CANCELLED, 0.0)
    assert session.stop_reason(KEY) == CANCELLED
    (keep,) = session.finished(a_result(), 0.0)
    assert isinstance(keep, Keep)
    assert (keep.result.status, keep.result.output_json) == ("cancelled", None)
    assert keep.result.error == CANCELLED
    assert session.finished(a_result(), 0.0) == [], "it ends once"


def test_a_deadline_fails_the_attempt(session: Session) -> None:
    late = Problem(code=Code.TIMEOUT)
    assert session.expire(KEY, late) == [Stop(KEY, late)]
    assert session.expire(KEY, late) == []
    assert session.expire(NEWER, late) == []
    (keep,) = session.finished(a_result(), 0.0)
    assert isinstance(keep, Keep)
    assert (keep.result.status, keep.result.error) == ("failed", late)
    assert session.expire(KEY, late) == []


def test_a_tombstone_is_confirmed_without_a_start(memory: FinishedMemory) -> None:
    session = Session(memory, lambda: NOW)
    session.registered(SPACE, [], [], 0.0)
    assert session.cancel(KEY, CANCELLED, 0.0) == []
    assert session.cancel(KEY, CANCELLED, 0.0) == []
    assert memory.fresh == [(KEY, "cancelled")]
    (keep,) = session.job(a_job(), 1.0)
    assert isinstance(keep, Keep)
    assert (keep.result.status, keep.result.timestamp) == ("cancelled", NOW)
    assert session.take(1.0) == [keep.result]
    assert session.job(a_job(), 1.0) == []
    assert session.take(1.0) == [keep.result]


def test_refusals_take_their_time(session: Session) -> None:
    session.refusing = BYE
    other = Key("q" * 26, 1)
    assert session.job(a_job(other), 1.0) == []
    assert session.take(1.0) == []
    assert session.next_due() == 1.0 + REFUSE_AFTER_S
    assert session.take(1.0 + REFUSE_AFTER_S) == [Refuse(other, SPACE, BYE)]
    session.job(a_job(other), 3.0)
    session.disconnected()
    session.registered(SPACE, [], [], 3.0)
    assert Refuse(other, SPACE, BYE) not in session.take(99.0)


def test_a_space_that_is_lost_takes_its_work_along(session: Session) -> None:
    other = Key("q" * 26, 1)
    session.registered(OTHER, [], [], 0.0)
    session.job(a_job(other, OTHER), 0.0)
    (stop,) = session.leave_space(SPACE, 0.0)
    assert isinstance(stop, Stop)
    assert stop.key == KEY
    session.chunks(other, ["1"])
    assert [item.space_id for item in session.take(ACCEPT_AFTER_S)] == [OTHER, OTHER]


def test_a_result_that_never_fits_becomes_a_failure(session: Session) -> None:
    rid = KEY.request_id
    assert session.not_taken(rid, Code.FRAME_TOO_LARGE, "big") == []
    session.finished(a_result(), 0.0)
    session.take(0.0)
    assert session.not_taken(rid, Code.UNAVAILABLE, "later") == []
    assert session.not_taken("z" * 26, Code.FRAME_TOO_LARGE, "big") == []
    (keep,) = session.not_taken(rid, Code.FRAME_TOO_LARGE, "big")
    assert isinstance(keep, Keep)
    assert keep.result.status == "failed"
    assert keep.result.error == Problem(code=Code.OUTPUT_TOO_LARGE, message="big")
    assert session.take(0.0) == [keep.result]
    assert session.not_taken(rid, Code.FRAME_TOO_LARGE, "big") == [], "only once"


def test_spooled_results_are_sent_after_registration(memory: FinishedMemory) -> None:
    session = Session(memory)
    session.spooled(a_result())
    assert (session.running, session.unacknowledged) == (0, 1)
    assert session.take(0.0) == []
    session.registered(SPACE, [], [], 0.0)
    assert session.take(0.0) == [a_result()]


def test_what_nobody_knows_is_ignored(session: Session) -> None:
    session.chunks(NEWER, ["x"])
    session.progress(NEWER, 1.0, None)
    session.chunks_acked(NEWER, 1, 0.0)
    assert session.finished(a_result(NEWER), 0.0) == []
    assert session.stop_reason(NEWER) is None
    assert session.take(0.0) == []
