"""Requests: from the client's submit to the one result."""

from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from pydantic import Field

from spaces_contracts.access import Sight
from spaces_contracts.files import FileRef, InputKind
from spaces_contracts.identifiers import (
    ConnectionId,
    Id,
    PrincipalId,
    RequestId,
    SpaceId,
    TenantId,
)
from spaces_contracts.message import Command, Contract, Done, Message, Reply
from spaces_contracts.problems import Problem
from spaces_contracts.subject import Subject

MAX_FRAME_BYTES = 1_048_576
MAX_BATCH = 256
MAX_BATCH_BYTES = 4 * 1_048_576


class RequestState(StrEnum):
    """Where a request is. The last four are terminal and never change."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def terminal(self) -> bool:
        """Whether nothing changes any more."""
        return self not in (RequestState.QUEUED, RequestState.RUNNING)


class NewRequest(Contract):
    """One request to accept. `payload` is JSON text and passes through unread.

    `body_sha256` is what two uses of one idempotency key are compared by.
    `notify` is a subject that also gets the terminal event, so that the submitter need not
    subscribe.
    """

    request_id: RequestId
    space_id: SpaceId
    tenant_id: TenantId
    principal_id: PrincipalId
    payload: str
    inputs: list[InputKind] = Field(default_factory=list)
    files: list[FileRef] = Field(default_factory=list)
    upload_url: str | None = None
    priority: int = Field(default=0, ge=-100, le=100)
    queue_timeout_s: float | None = None
    run_timeout_s: float | None = None
    timeout_s: float | None = None
    idempotency_key: str | None = Field(default=None, max_length=255)
    body_sha256: str = ""
    notify: str | None = None


class SubmitVerdict(Contract):
    """What became of one request: accepted (durable) or a problem.

    With a repeated idempotency key `request_id` is the first one's and `duplicate` is true.
    """

    request_id: RequestId
    problem: Problem | None = None
    state: RequestState = RequestState.QUEUED
    position: int | None = None  # 1 = next; None once it runs
    queue_size: int = 0
    eta_s: float | None = None
    duplicate: bool = False


class Submitted(Reply):
    """One verdict per request, in order."""

    verdicts: list[SubmitVerdict] = Field(default_factory=list)


class Submit(Command[Submitted]):
    """Accepts requests; the answer comes after COMMIT."""

    subject: ClassVar = Subject("rpc.sched.submit")
    reply: ClassVar = Submitted
    requests: list[NewRequest] = Field(max_length=MAX_BATCH)


class RequestView(Contract):
    """A request as clients read it. `*_json` fields are JSON text, passed through unread."""

    request_id: RequestId
    space_id: SpaceId
    tenant_id: TenantId
    private_to: str | None = None  # the maker of its space, when that is private
    principal_id: PrincipalId
    state: RequestState
    priority: int = 0
    attempt: int = 0
    tries: int = 0
    position: int | None = None
    queue_size: int = 0
    eta_s: float | None = None
    cancel_requested: bool = False
    payload_json: str | None = None  # only when asked for
    inputs: list[InputKind] = Field(default_factory=list)
    files: list[FileRef] = Field(default_factory=list)
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    output_json: str | None = None
    output_files: list[FileRef] = Field(default_factory=list)
    error: Problem | None = None
    last_n: int = 0
    processing_time_seconds: float | None = None
    timestamp: datetime | None = None  # the worker's clock when it finished


class RequestList(Reply):
    """Requests, newest first; `next_cursor` is set when there are more."""

    requests: list[RequestView] = Field(default_factory=list)
    next_cursor: str | None = None


class GetRequests(Sight, Command[RequestList]):
    """Reads requests by id; unknown ids, and what is out of sight, are left out."""

    subject: ClassVar = Subject("rpc.sched.get")
    reply: ClassVar = RequestList
    request_ids: list[RequestId] = Field(max_length=MAX_BATCH)
    with_payload: bool = False
    with_output: bool = True


class RequestReply(Reply):
    """One request."""

    request: RequestView


class CancelRequest(Sight, Command[RequestReply]):
    """Asks for an end: at once when queued, at its worker when running.

    Problem: request_not_found.
    """

    subject: ClassVar = Subject("rpc.sched.cancel")
    reply: ClassVar = RequestReply
    request_id: RequestId


class HolderReply(Reply):
    """Whether it does."""

    holds: bool = False


class AskHolder(Command[HolderReply]):
    """Does this agent hold this attempt, as the newest one of a request that has not ended?

    Asked before files of the request are handed out or taken: their addresses alone open nothing.
    """

    subject: ClassVar = Subject("rpc.sched.holder")
    reply: ClassVar = HolderReply
    request_id: RequestId
    attempt: int
    instance_id: Id
    space_ids: list[SpaceId]  # what the agent's token may serve


class Queue(Contract):
    """A space's queue now."""

    space_id: SpaceId
    queue_size: int = 0
    running: int = 0
    slots: int = 0
    connected: bool = False
    eta_s: float | None = None  # until a request submitted now would start


class QueueList(Reply):
    """One queue per space asked for."""

    queues: list[Queue] = Field(default_factory=list)


class GetQueues(Command[QueueList]):
    """How full the queues of some spaces are."""

    subject: ClassVar = Subject("rpc.sched.queues")
    reply: ClassVar = QueueList
    space_ids: list[SpaceId] = Field(max_length=MAX_BATCH)


class Announce(Command[Done]):
    """Rows changed in another service's transaction: read them and tell whoever must hear.

    An unaccepted assignment is dispatched, a terminal state is published. A hint: the repair loop
    finds what is lost.
    """

    subject: ClassVar = Subject("rpc.sched.announce")
    reply: ClassVar = Done
    request_ids: list[RequestId]


class RequestFinished(Message):
    """The terminal event, also sent to the submitter's `notify` subject.

    Replayed from PostgreSQL, not from a stream.
    """

    subject: ClassVar = Subject("fin.{space_id}.{request_id}")
    space_id: SpaceId
    request_id: RequestId
    state: RequestState
    attempt: int = 0
    last_n: int = 0
    output_json: str | None = None
    output_files: list[FileRef] = Field(default_factory=list)
    error: Problem | None = None
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime
    processing_time_seconds: float | None = None
    timestamp: datetime | None = None


class EventKind(StrEnum):
    """What a running request tells."""

    STARTED = "started"
    PROGRESS = "progress"
    CHUNK = "chunk"


class RequestEvent(Message):
    """Progress or output chunks while a request runs; kept 15 minutes in the stream EVT.

    `data` holds chunks n, n+1, …; the first chunk of an attempt has n = 1. `data_json` is a JSON
    array as text.
    """

    subject: ClassVar = Subject("evt.{space_id}.{request_id}")
    space_id: SpaceId
    request_id: RequestId
    kind: EventKind
    attempt: int
    n: int = 0
    count: int = 0
    data_json: str | None = None
    percent: float | None = None
    message: str | None = None


# Between scheduler and the holder of a connection.


class Job(Message):
    """One attempt at a request, given to a connection.

    Delivered at least once; agents drop what they know.
    """

    subject: ClassVar = Subject("{route}.job")
    route: str
    space_id: SpaceId
    connection_id: ConnectionId
    request_id: RequestId
    attempt: int
    payload: str
    files: list[FileRef] = Field(default_factory=list)
    upload_url: str | None = None
    remaining_ms: int
    queue_size: int = 0


class CancelJob(Message):
    """Stop this attempt; a cancel that comes before its job leaves a tombstone."""

    subject: ClassVar = Subject("{route}.cancel")
    route: str
    request_id: RequestId
    attempt: int
    reason: Problem | None = None


class ResultOutcome(StrEnum):
    """What became of a result."""

    STORED = "stored"
    STALE = "stale"
    UNKNOWN = "unknown"


class JobAnswer(Message):
    """The agent took the job (`after_ms` ago), or refused it before start (costs no try).

    A result says as much: before one that comes soon it is left out.
    """

    subject: ClassVar = Subject("wk.{space_id}.{connection_id}.u.started")
    space_id: SpaceId
    connection_id: ConnectionId
    request_id: RequestId
    attempt: int
    accepted: bool = True
    after_ms: int = Field(default=0, ge=0)
    problem: Problem | None = None


class JobResult(Message):
    """How an attempt ended.

    Answered on its reply subject by ResultAck, and sent again until then.
    """

    subject: ClassVar = Subject("wk.{space_id}.{connection_id}.u.result")
    space_id: SpaceId
    connection_id: ConnectionId
    request_id: RequestId
    attempt: int
    state: RequestState  # succeeded, failed or cancelled
    output_json: str | None = None
    output_files: list[FileRef] = Field(default_factory=list)
    error: Problem | None = None
    last_n: int = 0
    processing_time_seconds: float = 0.0
    timestamp: datetime | None = None


class ResultAck(Message):
    """The answer to a result, published on the result's reply subject.

    `stored`; `stale` (another attempt or an end was recorded) or `unknown` (not this worker's
    request).
    It names the attempt that it judged: an agent drops its spooled result only if that is its
    current one.
    """

    subject: ClassVar = Subject("{route}.ack")
    route: str = ""
    request_id: RequestId
    attempt: int
    verdict: ResultOutcome


# Under which the scheduler wants answers to messages for a connection.
JOB_ANSWERS = "jobs"


class ConnectionGone(Reply):
    """A gateway's answer to a message for a connection that it does not hold."""

    connection_id: ConnectionId


class JobEvent(Message):
    """A direct worker's chunks and progress.

    The broker maps the subject to `evt.<space>.<request>`.
    """

    subject: ClassVar = Subject("wk.{space_id}.{connection_id}.u.chunk.{request_id}")
    space_id: SpaceId
    connection_id: ConnectionId
    request_id: RequestId
    kind: EventKind
    attempt: int
    n: int = 0
    count: int = 0
    data_json: str | None = None
    percent: float | None = None
    message: str | None = None
