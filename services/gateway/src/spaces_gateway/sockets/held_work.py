"""Which attempts a worker's socket was given: what its frames are checked against."""

from collections import OrderedDict
from dataclasses import dataclass, field

from spaces_contracts.requests import JobAnswer, JobResult
from spaces_gateway.sockets.chunk_window import ChunkWindow

# Attempts remembered per socket. Agents run as many as they have slots; the rest is history of forced ends.
MAX_HELD = 4096


@dataclass(frozen=True, slots=True)
class Connection:
    """One space on a socket."""

    connection_id: str
    space_id: str
    ref: str  # as the agent named it
    answers_to: str = ""  # the subject of answers to jobs
    results_to: str = ""

    @classmethod
    def granted(cls, connection_id: str, space_id: str, ref: str) -> "Connection":
        """With its subjects, which are filled once and not for each message."""
        ids = {"space_id": space_id, "connection_id": connection_id}
        return cls(
            connection_id,
            space_id,
            ref,
            answers_to=JobAnswer.subject.fill(ids),
            results_to=JobResult.subject.fill(ids),
        )


@dataclass(slots=True)
class Work:
    """One attempt, and which of its chunks are on their way."""

    connection: Connection
    window: ChunkWindow = field(default_factory=ChunkWindow)
    result: bytes | None = None  # a JobResult that waits until its chunks are stored


class HeldWork:
    """Work by request and attempt; the oldest is forgotten when there is too much."""

    def __init__(self) -> None:
        self._work: OrderedDict[tuple[str, int], Work] = OrderedDict()

    def __len__(self) -> int:
        return len(self._work)

    def get(self, request_id: str, attempt: int) -> Work | None:
        """The work, if this socket was given it."""
        return self._work.get((request_id, attempt))

    def give(self, request_id: str, attempt: int, connection: Connection) -> None:
        """The attempt is this connection's now; given twice it keeps its window."""
        key = (request_id, attempt)
        work = self._work.get(key)
        if work is None or work.connection != connection:
            self._work[key] = Work(connection)
        if len(self._work) > MAX_HELD:
            self._work.popitem(last=False)

    def drop(self, request_id: str, attempt: int) -> None:
        """The attempt is over."""
        self._work.pop((request_id, attempt), None)

    def drop_all_of(self, connection_id: str) -> None:
        """The connection is over."""
        gone = [
            k for k, work in self._work.items() if work.connection.connection_id == connection_id
        ]
        for key in gone:
            del self._work[key]

    def clear(self) -> None:
        """The socket is over."""
        self._work.clear()
