"""The worker socket `/ws/worker`: what an agent and its gateway say to each other."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from spaces_contracts.connections import AgentInfo, Attempt, InFlight
from spaces_contracts.files import FileRef
from spaces_contracts.frames import ErrorFrame, Frame, GoAway, Ping, Pong, read_frame
from spaces_contracts.identifiers import ConnectionId, Id, RequestId, SpaceId
from spaces_contracts.message import Contract
from spaces_contracts.problems import Code, Problem
from spaces_contracts.requests import ResultOutcome

# Worker -> gateway


class Resume(Contract):
    """Proof that this is the same agent, and what it still holds."""

    secret: str
    in_flight: list[InFlight] = Field(default_factory=list)


class Register(Frame):
    """The first frame: who I am and which spaces I serve (name, tenant/name or id)."""

    type: Literal["register"] = "register"
    token: str = Field(min_length=1, max_length=512)
    spaces: list[str] = Field(min_length=1, max_length=64)
    slots: int = Field(default=1, ge=1, le=1024)
    instance_id: Id
    agent: AgentInfo
    resume: Resume
    takeover: bool = False


class Accepted(Frame):
    """The job was taken, `after_ms` before this is said: an agent may wait, and leave it out before a result."""

    type: Literal["accepted"] = "accepted"
    request_id: RequestId
    attempt: int
    after_ms: int = Field(default=0, ge=0)


class Refused(Frame):
    """The job was not started; it goes back to its place and costs no try."""

    type: Literal["refused"] = "refused"
    request_id: RequestId
    attempt: int
    code: Code
    message: str = ""


class InferenceProgress(Frame):
    """How far a request is."""

    type: Literal["inference_progress"] = "inference_progress"
    request_id: RequestId
    attempt: int
    percent: float | None = Field(default=None, ge=0, le=100)
    message: str | None = None


class InferenceChunk(Frame):
    """Output chunks n, n+1, …; the first of an attempt is n = 1."""

    type: Literal["inference_chunk"] = "inference_chunk"
    request_id: RequestId
    attempt: int
    n: int = Field(ge=1)
    data: list[Any] = Field(min_length=1)


class InferenceResult(Frame):
    """How an attempt ended; sent until `result_ack`. A failed one may carry partial output."""

    type: Literal["inference_result"] = "inference_result"
    request_id: RequestId
    attempt: int
    space_id: SpaceId | None = None
    status: Literal["succeeded", "failed", "cancelled"]
    output: Any = None
    output_files: list[FileRef] = Field(default_factory=list)
    error: Problem | None = None
    last_n: int = 0
    processing_time_seconds: float = 0.0
    timestamp: datetime


class Bye(Frame):
    """The agent leaves and holds nothing."""

    type: Literal["bye"] = "bye"


class DrainRequest(Frame):
    """The agent wants to stop: give me nothing new."""

    type: Literal["draining"] = "draining"


# Gateway -> worker


class Registered(Frame):
    """One space is served now. `adopted` goes on, `abandon` is to be stopped and dropped."""

    type: Literal["registered"] = "registered"
    space: str  # as the agent named it
    connection_id: ConnectionId
    space_id: SpaceId
    name: str
    epoch: int
    heartbeat_s: float
    adopted: list[Attempt] = Field(default_factory=list)
    abandon: list[Attempt] = Field(default_factory=list)


class RegisterError(Frame):
    """One space is not served, and why. Without `retry` the agent stops."""

    type: Literal["register_error"] = "register_error"
    space: str | None = None
    code: Code
    message: str
    retry: bool = False
    retry_after_s: float | None = None
    holder: Literal["live", "suspect"] | None = None


class InferenceRequest(Frame):
    """One attempt at a request."""

    type: Literal["inference_request"] = "inference_request"
    request_id: RequestId
    attempt: int
    space: str
    space_id: SpaceId
    payload: dict[str, Any]
    files: list[FileRef] = Field(default_factory=list)
    upload_url: str | None = None
    remaining_ms: int
    queue_size: int = 0


class ChunkAck(Frame):
    """All chunks up to n are stored."""

    type: Literal["chunk_ack"] = "chunk_ack"
    request_id: RequestId
    attempt: int
    n: int


class ResultAckFrame(Frame):
    """What became of a result; it names the attempt that was judged."""

    type: Literal["result_ack"] = "result_ack"
    request_id: RequestId
    attempt: int
    outcome: ResultOutcome


class Cancel(Frame):
    """Stop this attempt."""

    type: Literal["cancel"] = "cancel"
    request_id: RequestId
    attempt: int
    code: Code = Code.CANCELLED
    message: str = ""


class Drain(Frame):
    """Finish what runs, take nothing new, then leave."""

    type: Literal["drain"] = "drain"
    connection_id: ConnectionId


class Kick(Frame):
    """Leave now. Without `retry` do not come back by yourself."""

    type: Literal["kick"] = "kick"
    connection_id: ConnectionId
    code: Code
    message: str
    retry: bool = False


FromWorker = Annotated[
    Register
    | Accepted
    | Refused
    | InferenceProgress
    | InferenceChunk
    | InferenceResult
    | Bye
    | DrainRequest
    | Ping
    | Pong,
    Field(discriminator="type"),
]
ToWorker = Annotated[
    Registered
    | RegisterError
    | InferenceRequest
    | ChunkAck
    | ResultAckFrame
    | Cancel
    | Drain
    | Kick
    | GoAway
    | ErrorFrame
    | Ping
    | Pong,
    Field(discriminator="type"),
]

_FROM_WORKER: TypeAdapter[FromWorker] = TypeAdapter(FromWorker)
_TO_WORKER: TypeAdapter[ToWorker] = TypeAdapter(ToWorker)
FROM_WORKER_TYPES = frozenset(
    {
        "register",
        "accepted",
        "refused",
        "inference_progress",
        "inference_chunk",
        "inference_result",
        "bye",
        "draining",
        "ping",
        "pong",
    }
)
TO_WORKER_TYPES = frozenset(
    {
        "registered",
        "register_error",
        "inference_request",
        "chunk_ack",
        "result_ack",
        "cancel",
        "drain",
        "kick",
        "goaway",
        "error",
        "ping",
        "pong",
    }
)


def read_from_worker(text: str | bytes) -> FromWorker:
    """A frame that a gateway got. Raises FrameError."""
    frame: FromWorker = read_frame(_FROM_WORKER, FROM_WORKER_TYPES, text)
    return frame


def read_to_worker(text: str | bytes) -> ToWorker:
    """A frame that an agent got. Raises FrameError."""
    frame: ToWorker = read_frame(_TO_WORKER, TO_WORKER_TYPES, text)
    return frame
