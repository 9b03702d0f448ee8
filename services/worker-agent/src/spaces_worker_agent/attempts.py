"""What an agent holds, as plain values."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NamedTuple

from spaces_contracts.files import FileRef
from spaces_contracts.problems import Code, Problem
from spaces_contracts.worker_socket import InferenceRequest


class Key(NamedTuple):
    """One attempt at a request: what everything here is known by."""

    request_id: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Job:
    """One attempt to run. `frame` is the text of its `inference_request`, which its handler's process reads."""

    key: Key
    space: str
    space_id: str
    frame: bytes
    files: tuple[FileRef, ...] = ()
    upload_url: str | None = None
    remaining_s: float = 120.0
    queue_size: int = 0


def job_of(request: InferenceRequest, frame: bytes) -> Job:
    """A job out of its frame, read and as it came."""
    return Job(
        key=Key(request.request_id, request.attempt),
        space=request.space,
        space_id=request.space_id,
        frame=frame,
        files=tuple(request.files),
        upload_url=request.upload_url,
        remaining_s=request.remaining_ms / 1000,
        queue_size=request.queue_size,
    )


@dataclass(frozen=True, slots=True)
class GivenFile:
    """A file that a handler gave back; it still lies on this host."""

    path: str
    name: str
    media_type: str | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """How a handler ended: with an output, or with a code and a text."""

    output_json: str | None = None
    files: tuple[GivenFile, ...] = ()
    code: Code | None = None
    message: str = ""
    work_dir: bool = False  # whether the job's directory was made


Status = Literal["succeeded", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class Result:
    """What is sent until it is acknowledged. `output_json` is JSON text and passes through unread."""

    key: Key
    space_id: str
    status: Status
    timestamp: datetime
    output_json: str | None = None
    output_files: tuple[FileRef, ...] = ()
    error: Problem | None = None
    last_n: int = 0
    processing_time_seconds: float = 0.0


# What goes out. A link turns each into a frame or a message.


@dataclass(frozen=True, slots=True)
class Accept:
    """The job was taken, `after_ms` ago."""

    key: Key
    space_id: str
    after_ms: int = 0


@dataclass(frozen=True, slots=True)
class Refuse:
    """The job was not started and goes back to its place."""

    key: Key
    space_id: str
    problem: Problem


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an attempt is."""

    key: Key
    space_id: str
    percent: float | None
    message: str | None


@dataclass(frozen=True, slots=True)
class Chunks:
    """Output chunks n, n+1, … as JSON texts."""

    key: Key
    space_id: str
    n: int
    data: tuple[str, ...]


Outgoing = Accept | Refuse | Progress | Chunks | Result

# What the session wants done on this host.


@dataclass(frozen=True, slots=True)
class Start:
    """Give the job to a handler."""

    job: Job


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop the handler of this attempt."""

    key: Key
    reason: Problem


@dataclass(frozen=True, slots=True)
class Keep:
    """Write the result to the spool."""

    result: Result


@dataclass(frozen=True, slots=True)
class Settle:
    """The attempt is over for good: drop its result from the spool and remember it for a while."""

    key: Key


Effect = Start | Stop | Keep | Settle
Effects = list[Effect]


@dataclass(slots=True)
class Held:
    """One attempt that the session holds, with what its gateway has not acknowledged yet."""

    key: Key
    space_id: str
    came_at: float = 0.0
    accept_due_at: float | None = None
    stopping: Problem | None = None
    abandoned: bool = False  # its end interests nobody any more
    acked_n: int = 0
    sent_n: int = 0
    last_n: int = 0
    chunks: list[str] = field(default_factory=list)  # acked_n + 1 … last_n
    credited_n: int = 0  # up to which its handler knows all chunks to be stored
    uncredited_characters: int = 0
    chunks_due_at: float = 0.0  # without an acknowledgement by then, they are sent again
    progress: Progress | None = None
    progress_sent_at: float = float("-inf")
    result: Result | None = None
    result_held_until: float | None = None
    result_due_at: float = float("-inf")
    result_tries: int = 0
