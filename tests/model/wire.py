"""What is said between the processes. Every one of these may be lost, late, doubled or overtaken."""

from typing import NamedTuple, TypeAlias

from spaces_contracts.requests import RequestState, ResultOutcome
from spaces_worker_agent.attempts import Key
from tests.model.tables import New, SubmitVerdict, Told, Word


class Submit(NamedTuple):
    """Client (its gateway) to a scheduler."""

    requests: tuple[New, ...]


class Verdicts(NamedTuple):
    """A scheduler's answer to a submit. `asked` are the ids that it named."""

    asked: tuple[str, ...]
    verdicts: tuple[SubmitVerdict, ...]


class Cancel(NamedTuple):
    """Client to a scheduler."""

    request_ids: tuple[str, ...]


class Finished(NamedTuple):
    """A scheduler to whoever watches."""

    request_id: str
    state: RequestState
    output: str | None


class Taken(NamedTuple):
    """Agent to a scheduler: the job was taken."""

    word: Word


class Refused(NamedTuple):
    """Agent to a scheduler: the job was not begun."""

    word: Word


class ResultSaid(NamedTuple):
    """Agent to a scheduler."""

    told: Told


class Announce(NamedTuple):
    """Registry to a scheduler."""

    request_ids: tuple[str, ...]


class Job(NamedTuple):
    """A scheduler to the holder of a connection."""

    connection_id: str
    space_id: str
    key: Key


class Stop(NamedTuple):
    """A scheduler to the holder of a connection."""

    connection_id: str
    key: Key


class Ack(NamedTuple):
    """A scheduler to the holder of a connection."""

    connection_id: str
    key: Key
    verdict: ResultOutcome


class Kick(NamedTuple):
    """Registry to the holder of a connection. Final: the worker has no business here any more."""

    connection_id: str


class Attach(NamedTuple):
    """Gateway to the registry."""

    gateway_id: str
    connection_id: str
    space_id: str
    instance_id: str
    slots: int
    in_flight: tuple[tuple[str, int], ...]


class Attached(NamedTuple):
    """Registry to a gateway. `holder` is set when there was no seat."""

    gateway_id: str
    connection_id: str
    granted: bool
    adopted: tuple[tuple[str, int], ...] = ()
    abandon: tuple[tuple[str, int], ...] = ()


class Ended(NamedTuple):
    """Gateway to the registry."""

    connection_id: str
    clean: bool


class Suspected(NamedTuple):
    """Anybody to the registry. `silent_s`: for so long its holder has heard nothing of it."""

    connection_id: str
    silent_s: float = 0.0


class Beat(NamedTuple):
    """Gateway to the registry."""

    gateway_id: str
    held: tuple[str, ...]


class BeatReply(NamedTuple):
    """Registry to a gateway."""

    gateway_id: str
    ended: tuple[str, ...]
    doubted: tuple[str, ...]


ToWorker: TypeAlias = Job | Stop | Ack | Kick
Message: TypeAlias = (
    Submit
    | Verdicts
    | Cancel
    | Finished
    | Taken
    | Refused
    | ResultSaid
    | Announce
    | ToWorker
    | Attach
    | Attached
    | Ended
    | Suspected
    | Beat
    | BeatReply
)
