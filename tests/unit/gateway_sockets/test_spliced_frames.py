"""Frames into which JSON text is put unread are frames of the contract all the same."""

import json
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from spaces_contracts.client_socket import (
    ChunkFrame,
    FinishedFrame,
    ProgressFrame,
    ResetFrame,
    SpaceFrame,
    StatusFrame,
    SubmittedFrame,
    read_to_client,
)
from spaces_contracts.files import FileRef, InputKind
from spaces_contracts.problems import Code, Problem
from spaces_contracts.requests import (
    EventKind,
    Job,
    JobAnswer,
    JobResult,
    RequestEvent,
    RequestFinished,
    RequestState,
    RequestView,
    ResultAck,
    ResultOutcome,
    SubmitVerdict,
)
from spaces_contracts.spaces import SpaceEvent
from spaces_contracts.worker_socket import (
    Accepted,
    ChunkAck,
    InferenceChunk,
    InferenceRequest,
    InferenceResult,
    Refused,
    ResultAckFrame,
    read_to_worker,
)
from spaces_gateway.sockets.client_frames import space_frame, status, submitted, told
from spaces_gateway.sockets.held_work import Connection
from spaces_gateway.sockets.stream_merge import Chunk, Ended, Progress, Reset, Started
from spaces_gateway.sockets.worker_frames import (
    ack_frame,
    answer_bytes,
    chunk_ack,
    chunk_bytes,
    job_frame,
    result_bytes,
)

SPACE, REQUEST = "s" * 26, "r" * 26
NOW = datetime(2026, 1, 1, tzinfo=UTC)
CONNECTION = Connection.granted("c" * 26, SPACE, "demo")
FILE = FileRef(
    file_id="f" * 26,
    name="a.png",
    kind=InputKind.IMAGE,
    media_type="image/png",
    size_bytes=1,
    sha256="0",
)
FAILURE = Problem(code=Code.HANDLER_FAILED, message='"boom"', facts={"line": 3})
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


def finished(**fields: object) -> RequestFinished:
    base = {
        "space_id": SPACE,
        "request_id": REQUEST,
        "state": RequestState.SUCCEEDED,
        "attempt": 2,
        "last_n": 7,
        "created_at": NOW,
        "finished_at": NOW + timedelta(seconds=3),
    }
    return RequestFinished.model_validate({**base, **fields})


@given(st.lists(JSON, min_size=1, max_size=4), st.integers(1, 9), st.integers(1, 99))
def test_chunks(data: list[object], attempt: int, n: int) -> None:
    message = told(REQUEST, SPACE, Chunk(attempt, n, len(data), json.dumps(data)))
    frame = read_to_client(message.frame)
    assert frame == ChunkFrame(request_id=REQUEST, attempt=attempt, n=n, data=data)
    assert (message.type, message.position) == ("chunk", f"{attempt}:{n + len(data) - 1}")


@given(JSON)
def test_ends_with_their_output(output: object) -> None:
    event = finished(output_json=json.dumps(output), started_at=NOW + timedelta(seconds=1))
    message = told(REQUEST, SPACE, Ended(event, recovered=False))
    frame = read_to_client(message.frame)
    assert isinstance(frame, FinishedFrame)
    assert frame.output == output
    assert (frame.queue_ms, frame.run_ms, frame.recovered) == (1000, 2000, False)
    assert message.position == "2:7"


def test_ends_without_an_output() -> None:
    problem = Problem(code=Code.HANDLER_FAILED, message="boom")
    event = finished(state=RequestState.FAILED, error=problem)
    frame = read_to_client(told(REQUEST, SPACE, Ended(event, recovered=True)).frame)
    assert isinstance(frame, FinishedFrame)
    assert (frame.output, frame.error, frame.queue_ms, frame.run_ms) == (None, problem, None, None)


def test_the_other_frames_of_a_stream() -> None:
    reset = told(REQUEST, SPACE, Reset(3))
    assert read_to_client(reset.frame) == ResetFrame(request_id=REQUEST, attempt=3)
    assert reset.position == "3:0"
    progress = told(REQUEST, SPACE, Progress(1, 25.0, "loading"))
    assert read_to_client(progress.frame) == ProgressFrame(
        request_id=REQUEST, attempt=1, percent=25.0, message="loading"
    )
    started = read_to_client(told(REQUEST, SPACE, Started(1)).frame)
    assert started == StatusFrame(
        request_id=REQUEST, space_id=SPACE, state=RequestState.RUNNING, attempt=1
    )
    assert progress.position == ""


def test_where_a_request_is() -> None:
    view = RequestView(
        request_id=REQUEST,
        space_id=SPACE,
        tenant_id="t" * 26,
        principal_id="p" * 26,
        state=RequestState.QUEUED,
        position=4,
        queue_size=9,
        eta_s=1.5,
        created_at=NOW,
    )
    frame = read_to_client(status(view, "ref").frame)
    assert isinstance(frame, StatusFrame)
    assert (frame.ref, frame.position, frame.queue_size, frame.eta_s) == ("ref", 4, 9, 1.5)
    verdict = SubmitVerdict(request_id=REQUEST, position=2, queue_size=3, duplicate=True)
    told_of = read_to_client(submitted("x", SPACE, verdict))
    assert told_of == SubmittedFrame(
        ref="x",
        request_id=REQUEST,
        space_id=SPACE,
        state=RequestState.QUEUED,
        position=2,
        queue_size=3,
        duplicate=True,
    )


def test_what_changed_in_a_space() -> None:
    frame = read_to_client(space_frame(SpaceEvent(space_id=SPACE, connected=False, running=0)))
    assert frame == SpaceFrame(space_id=SPACE, connected=False, running=0)


@given(st.dictionaries(st.text(max_size=8), JSON, max_size=4), st.sampled_from(["", " ", "\n"]))
def test_jobs_carry_their_payload_unread(payload: dict[str, object], blank: str) -> None:
    job = Job(
        route="gw.a.wk.b",
        space_id=SPACE,
        connection_id="c" * 26,
        request_id=REQUEST,
        attempt=1,
        payload=blank + json.dumps(payload) + blank,
        upload_url="/api/results/x/files?sig=y",
        remaining_ms=5,
        queue_size=2,
    )
    frame = read_to_worker(job_frame(job, 'my "space"'))
    assert frame == InferenceRequest(
        request_id=REQUEST,
        attempt=1,
        space='my "space"',
        space_id=SPACE,
        payload=payload,
        upload_url="/api/results/x/files?sig=y",
        remaining_ms=5,
        queue_size=2,
    )


def test_jobs_carry_their_files() -> None:
    job = Job(
        route="gw.a.wk.b", space_id=SPACE, connection_id="c" * 26, request_id=REQUEST, attempt=1,
        payload="{}", files=[FILE], remaining_ms=5,
    )  # fmt: skip
    frame = read_to_worker(job_frame(job, "demo"))
    assert isinstance(frame, InferenceRequest)
    assert (frame.files, frame.upload_url) == ([FILE], None)


@given(
    JSON,
    st.sampled_from(["succeeded", "failed", "cancelled"]),
    st.sampled_from([[], [FILE]]),
    st.sampled_from([None, FAILURE]),
    st.integers(0, 3),
)
def test_results_are_the_contracts(
    output: object, status: str, files: list[FileRef], problem: Problem | None, last_n: int
) -> None:
    members = {
        "request_id": REQUEST, "attempt": 2, "output": output, "output_files": files, "error": problem,
        "last_n": last_n, "processing_time_seconds": 0.25, "timestamp": NOW, "status": status,
    }  # fmt: skip
    sent = JobResult.decode(result_bytes(InferenceResult.model_validate(members), CONNECTION))
    text = sent.output_json
    assert (None if text is None else json.loads(text)) == output
    assert sent == JobResult(
        space_id=SPACE,
        connection_id=CONNECTION.connection_id,
        request_id=REQUEST,
        attempt=2,
        state=RequestState(status),
        output_json=text,
        output_files=files,
        error=problem,
        last_n=last_n,
        processing_time_seconds=0.25,
        timestamp=NOW,
    )


def test_answers_to_jobs_are_the_contracts() -> None:
    ids = {
        "space_id": SPACE,
        "connection_id": CONNECTION.connection_id,
        "request_id": REQUEST,
        "attempt": 2,
    }
    taken = Accepted(request_id=REQUEST, attempt=2)
    assert JobAnswer.decode(answer_bytes(taken, CONNECTION)) == JobAnswer.model_validate(ids)
    refused = Refused(request_id=REQUEST, attempt=2, code=Code.QUEUE_FULL, message='"no"')
    assert JobAnswer.decode(answer_bytes(refused, CONNECTION)) == JobAnswer.model_validate(
        {**ids, "accepted": False, "problem": {"code": "queue_full", "message": '"no"'}}
    )
    message = JobAnswer.model_validate(ids)
    assert CONNECTION.answers_to == message.address()


def test_acknowledgements_are_the_contracts() -> None:
    for outcome in ResultOutcome:
        frame = read_to_worker(ack_frame(ResultAck(request_id=REQUEST, attempt=3, verdict=outcome)))
        assert frame == ResultAckFrame(request_id=REQUEST, attempt=3, outcome=outcome)


@given(st.lists(JSON, min_size=1, max_size=4), st.integers(1, 9))
def test_stored_chunks_are_the_contracts(data: list[object], n: int) -> None:
    frame = InferenceChunk(request_id=REQUEST, attempt=2, n=n, data=data)
    event = RequestEvent.decode(chunk_bytes(frame, SPACE))
    assert event == RequestEvent(
        space_id=SPACE,
        request_id=REQUEST,
        kind=EventKind.CHUNK,
        attempt=2,
        n=n,
        count=len(data),
        data_json=event.data_json,
    )
    assert json.loads(event.data_json or "") == data
    assert event.address() == f"evt.{SPACE}.{REQUEST}"


def test_chunk_acknowledgements_are_the_contracts() -> None:
    assert read_to_worker(chunk_ack(REQUEST, 2, 7)) == ChunkAck(request_id=REQUEST, attempt=2, n=7)
