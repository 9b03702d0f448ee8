"""The client socket `/ws`: what browsers and API clients say to a gateway, and hear."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from spaces_contracts.files import FileRef
from spaces_contracts.frames import ErrorFrame, Frame, GoAway, Ping, Pong, read_frame
from spaces_contracts.identifiers import FileId, RequestId, SpaceId
from spaces_contracts.message import Contract
from spaces_contracts.problems import Problem
from spaces_contracts.request_changes import RequestChange
from spaces_contracts.requests import RequestState

# Client -> gateway


class Auth(Frame):
    """The first frame: a one-time ticket, or an API key."""

    type: Literal["auth"] = "auth"
    ticket: str | None = Field(default=None, max_length=512)
    token: str | None = Field(default=None, max_length=1024)


class SubmitFrame(Frame):
    """Asks for work; `ref` comes back in the answer. The request is subscribed to at once."""

    type: Literal["submit"] = "submit"
    ref: str = Field(max_length=128)
    space: str  # id, name or tenant/name
    prompt: str | None = None
    parameters: dict[str, Any] = {}
    files: list[FileId] = Field(default=[], max_length=32)
    priority: int = Field(default=0, ge=-100, le=100)
    idempotency_key: str | None = Field(default=None, max_length=255)
    timeout_s: float | None = Field(default=None, gt=0)


class After(Contract):
    """The last chunk that the client has."""

    attempt: int = 0
    n: int = 0


class Subscribe(Frame):
    """Watch a request (from where the client is), a space, or the requests of a space or of all one's spaces."""

    type: Literal["subscribe"] = "subscribe"
    ref: str | None = Field(default=None, max_length=128)
    request_id: RequestId | None = None
    space_id: SpaceId | None = None
    # Not the space itself: what becomes of its requests, or without a space of all that one may see.
    changes: bool = False
    after: After = After()


class Unsubscribe(Frame):
    """Stop watching."""

    type: Literal["unsubscribe"] = "unsubscribe"
    request_id: RequestId | None = None
    space_id: SpaceId | None = None
    changes: bool = False


class CancelFrame(Frame):
    """Ask for an end of a request."""

    type: Literal["cancel"] = "cancel"
    ref: str | None = Field(default=None, max_length=128)
    request_id: RequestId


# Gateway -> client


class Ready(Frame):
    """Signed in."""

    type: Literal["ready"] = "ready"
    principal_id: str
    protocol: str


class SubmittedFrame(Frame):
    """The request is accepted and durable."""

    type: Literal["submitted"] = "submitted"
    ref: str
    request_id: RequestId
    space_id: SpaceId
    state: RequestState
    position: int | None = None
    queue_size: int = 0
    eta_s: float | None = None
    duplicate: bool = False


class StatusFrame(Frame):
    """Where a request is now; sent on subscribing and when its place changes."""

    type: Literal["status"] = "status"
    ref: str | None = None
    request_id: RequestId
    space_id: SpaceId
    state: RequestState
    attempt: int = 0
    position: int | None = None
    queue_size: int = 0
    eta_s: float | None = None


class ProgressFrame(Frame):
    """How far a running request is."""

    type: Literal["progress"] = "progress"
    request_id: RequestId
    attempt: int
    percent: float | None = None
    message: str | None = None


class ChunkFrame(Frame):
    """Output chunks n, n+1, … of an attempt, in order, none missing and none twice."""

    type: Literal["chunk"] = "chunk"
    request_id: RequestId
    attempt: int
    n: int
    data: list[Any]


class ResetFrame(Frame):
    """A new attempt began: drop the chunks of the one before."""

    type: Literal["reset"] = "reset"
    request_id: RequestId
    attempt: int


class FinishedFrame(Frame):
    """The end of a request.

    `recovered` is false when chunks could not be replayed: `output` is then the whole of it.
    """

    type: Literal["finished"] = "finished"
    request_id: RequestId
    space_id: SpaceId
    state: RequestState
    attempt: int = 0
    last_n: int = 0
    recovered: bool = True
    output: Any = None
    output_files: list[FileRef] = []
    error: Problem | None = None
    processing_time_seconds: float | None = None
    queue_ms: int | None = None
    run_ms: int | None = None
    finished_at: datetime | None = None
    timestamp: datetime | None = None


class SpaceFrame(Frame):
    """What changed in a watched space."""

    type: Literal["space"] = "space"
    space_id: SpaceId
    connected: bool | None = None
    connections: int | None = None
    queue_size: int | None = None
    running: int | None = None


class ListedChange(RequestChange):
    """A change, and where."""

    space_id: SpaceId


class ChangesFrame(Frame):
    """Requests that changed: each at most once, as it is now, four frames a second at most.

    The first one, without changes and with the `ref`, says that the watching began. `missed` changes did not fit:
    read the list again.
    """

    type: Literal["changes"] = "changes"
    ref: str | None = None
    changes: list[ListedChange] = []
    missed: int = 0


FromClient = Annotated[
    Auth | SubmitFrame | Subscribe | Unsubscribe | CancelFrame | Ping | Pong,
    Field(discriminator="type"),
]
ToClient = Annotated[
    Ready
    | SubmittedFrame
    | StatusFrame
    | ProgressFrame
    | ChunkFrame
    | ResetFrame
    | FinishedFrame
    | SpaceFrame
    | ChangesFrame
    | GoAway
    | ErrorFrame
    | Ping
    | Pong,
    Field(discriminator="type"),
]

_FROM_CLIENT: TypeAdapter[FromClient] = TypeAdapter(FromClient)
_TO_CLIENT: TypeAdapter[ToClient] = TypeAdapter(ToClient)
FROM_CLIENT_TYPES = frozenset(
    {"auth", "submit", "subscribe", "unsubscribe", "cancel", "ping", "pong"}
)
TO_CLIENT_TYPES = frozenset(
    {
        "ready",
        "submitted",
        "status",
        "progress",
        "chunk",
        "reset",
        "finished",
        "space",
        "changes",
        "goaway",
        "error",
        "ping",
        "pong",
    }
)


def read_from_client(text: str | bytes) -> FromClient:
    """A frame that a gateway got. Raises FrameError."""
    frame: FromClient = read_frame(_FROM_CLIENT, FROM_CLIENT_TYPES, text)
    return frame


def read_to_client(text: str | bytes) -> ToClient:
    """A frame that a client got. Raises FrameError."""
    frame: ToClient = read_frame(_TO_CLIENT, TO_CLIENT_TYPES, text)
    return frame
