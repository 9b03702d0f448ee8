"""How an agent reaches its spaces: one small interface, two implementations.

What comes in are jobs and the frames of the worker socket, whichever way they travelled; what goes out are plain
values.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from spaces_contracts.connections import AgentInfo, InFlight
from spaces_contracts.frames import ErrorFrame, GoAway
from spaces_contracts.worker_socket import (
    Cancel,
    ChunkAck,
    Drain,
    Kick,
    Registered,
    RegisterError,
    ResultAckFrame,
)
from spaces_worker_agent.attempts import Job, Outgoing
from spaces_worker_agent.exits import Exit


class LinkDown(Exception):
    """The connection could not be made or is gone; try again, not before `retry_after_s`."""

    def __init__(self, message: str, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class LinkUnusable(LinkDown):
    """What a retry hardly mends (a certificate, a wrong address): final unless it has worked before."""

    def __init__(self, message: str, exit_code: Exit) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True)
class Introduction:
    """Who the agent is and what it wants to serve."""

    token: str
    spaces: tuple[str, ...]
    slots: int
    instance_id: str
    secret: str
    agent: AgentInfo
    in_flight: tuple[InFlight, ...] = ()
    takeover: bool = False


Incoming = (
    Registered
    | RegisterError
    | Job
    | ChunkAck
    | ResultAckFrame
    | Cancel
    | Drain
    | Kick
    | GoAway
    | ErrorFrame
)


class Link(Protocol):
    """One connection at a time; `open` makes a new one."""

    async def open(self, introduction: Introduction) -> None:
        """Connects and asks for the spaces; the verdicts are received. Raises LinkDown or Leave."""
        ...

    async def listen(self, hear: Callable[[Sequence[Incoming]], None]) -> None:
        """Hands over what is said to this agent, as it comes, until the connection ends.

        Raises LinkDown, or what `hear` raised.
        """
        ...

    def send(self, items: Sequence[Outgoing]) -> bool:
        """Sends in order; False when `room` should be awaited before the next.

        Once the connection has broken, which `listen` tells, everything is lost.
        """
        ...

    async def room(self) -> None:
        """Returns when there is room for more. Raises LinkDown."""
        ...

    async def beat(self, running: int) -> None:
        """Says that the agent lives. Raises LinkDown."""
        ...

    def silent_s(self) -> float:
        """For how long nothing was heard."""
        ...

    async def say_draining(self) -> None:
        """Give me nothing new."""
        ...

    async def say_bye(self) -> None:
        """I leave and hold nothing."""
        ...

    async def close(self) -> None:
        """Ends the connection; it may be open, half open or broken."""
        ...
