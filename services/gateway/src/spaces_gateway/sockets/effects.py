"""What a session asks its driver to do. Sessions decide, drivers do."""

from dataclasses import dataclass
from typing import TypeAlias

from spaces_contracts.connections import Attach


@dataclass(slots=True)  # frozen ones take three times as long to make
class Send:
    """Send one text frame."""

    frame: bytes


@dataclass(frozen=True, slots=True)
class Close:
    """Start the closing handshake; what was sent before goes first."""

    code: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class AskAttach:
    """Ask the registry; answer with `attached` or `attach_failed`."""

    command: Attach


@dataclass(slots=True)
class Publish:
    """Publish on the bus without waiting; an answer, if any, comes to `reply_to`."""

    subject: str
    body: bytes
    reply_to: str | None = None


@dataclass(slots=True)
class Store:
    """Store chunks in the event stream; answer with `chunk_stored`, or `chunk_late` when that takes long."""

    subject: str
    body: bytes
    request_id: str
    attempt: int
    n: int
    dedupe: str


@dataclass(frozen=True, slots=True)
class Hold:
    """Messages to these connections come to this socket from now on."""

    connection_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Release:
    """This socket no longer has these connections."""

    connection_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Suspect:
    """Nothing is heard of these connections."""

    connection_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class End:
    """Tell the registry, until it answers, that these connections are over."""

    connection_ids: tuple[str, ...]
    clean: bool


@dataclass(frozen=True, slots=True)
class AskDrain:
    """Ask the registry to give these connections nothing new."""

    connection_ids: tuple[str, ...]


WorkerEffect: TypeAlias = (
    Send | Close | AskAttach | Publish | Store | Hold | Release | Suspect | End | AskDrain
)
