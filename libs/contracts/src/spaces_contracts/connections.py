"""Connections of workers: how they come, stay alive and end."""

from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from pydantic import Field

from spaces_contracts.access import Act
from spaces_contracts.identifiers import ConnectionId, GatewayId, Id, RequestId, SpaceId
from spaces_contracts.message import Command, Contract, Done, Message, Reply
from spaces_contracts.problems import Problem
from spaces_contracts.subject import Subject

HEARTBEAT_S = 1.0
SUSPECT_AFTER_S = 3.0
LEASE_S = 10.0
GATEWAY_BEAT_S = 3.0

# The client name of a gateway on the broker: the registry reads it in disconnect advisories.
GATEWAY_CLIENT_NAME = "gateway:"


class Gpu(Contract):
    """One GPU of a worker host."""

    name: str
    vram_gib: float | None = None
    driver: str | None = None


class AgentInfo(Contract):
    """What an agent tells about itself."""

    version: str
    hostname: str = ""
    gpu: list[Gpu] = []


class InFlight(Contract):
    """A request that an agent still holds: running, or finished with its result spooled."""

    space_id: SpaceId
    request_id: RequestId
    attempt: int
    finished: bool = False


class Attempt(Contract):
    """One try at a request."""

    request_id: RequestId
    attempt: int


class Attachment(Contract):
    """One space that an agent wants to serve, and the connection id its gateway made for it."""

    ref: str
    connection_id: ConnectionId


class AttachVerdict(Contract):
    """What became of one attachment: a connection, or a problem."""

    ref: str
    connection_id: ConnectionId
    problem: Problem | None = None
    holder: str | None = None  # with already_connected: "live" is final, "suspect" is worth a retry
    space_id: SpaceId | None = None
    name: str = ""
    epoch: int = 0
    seat: int = 0
    adopted: list[Attempt] = []
    abandon: list[Attempt] = []


class Attached(Reply):
    """One verdict per attachment, in the order they were asked for."""

    verdicts: list[AttachVerdict] = []


class Attach(Command[Attached]):
    """A worker registers through a gateway (gateway_id set) or directly (unset)."""

    subject: ClassVar = Subject("rpc.reg.attach")
    reply: ClassVar = Attached
    gateway_id: GatewayId | None = None
    token_sha256: str
    attachments: list[Attachment]
    slots: int = Field(default=1, ge=1, le=1024)
    instance_id: Id
    instance_secret_sha256: str
    agent: AgentInfo
    in_flight: list[InFlight] = []
    takeover: bool = False


class EdgeAttach(Command[Attached]):
    """A direct worker registers; the broker vouches for the connection id in the subject."""

    subject: ClassVar = Subject("edge.{connection_id}.attach")
    reply: ClassVar = Attached
    connection_id: ConnectionId
    token_sha256: str
    ref: str
    slots: int = Field(default=1, ge=1, le=1024)
    instance_id: Id
    instance_secret_sha256: str
    agent: AgentInfo
    in_flight: list[InFlight] = []
    takeover: bool = False


class ConnectionEnded(Command[Done]):
    """A gateway lost a worker's socket. Clean: the worker said bye and holds nothing.

    `silent_s`: nothing was heard on any of them for at least so long, as in ConnectionSuspected.
    """

    subject: ClassVar = Subject("rpc.reg.connection_ended")
    reply: ClassVar = Done
    connection_ids: list[ConnectionId]
    clean: bool = False
    silent_s: float = Field(default=0.0, ge=0.0)


class ConnectionDraining(Command[Done]):
    """An agent behind a gateway is about to stop: it finishes what runs, and is given nothing new."""

    subject: ClassVar = Subject("rpc.reg.connection_draining")
    reply: ClassVar = Done
    connection_ids: list[ConnectionId]


class ConnectionSuspected(Message):
    """Somebody could not reach a connection; the registry starts its lease running out.

    `silent_s`: who holds the sockets has heard nothing on any of them for at least so long. The lease is counted
    from then, with SUSPECT_AFTER_S more.
    """

    subject: ClassVar = Subject("rpc.reg.connection_suspected")
    connection_ids: list[ConnectionId]
    silent_s: float = Field(default=0.0, ge=0.0)


class GatewayBeatReply(Reply):
    """Connections this gateway may still hold, but which ended: it closes them with the problem.

    `doubted` are connections that somebody could not reach through this gateway. Its next beat names those of
    them that it holds in `held`; the others run out of their lease.
    """

    ended: list[ConnectionId] = []
    problem: Problem | None = None
    doubted: list[ConnectionId] = []


class GatewayBeat(Command[GatewayBeatReply]):
    """A gateway lives: renews the lease of all its sockets, each 3 s."""

    subject: ClassVar = Subject("hb.gw.{gateway_id}")
    reply: ClassVar = GatewayBeatReply
    gateway_id: GatewayId
    version: str = ""
    connections: int = 0
    leaving: bool = False
    held: list[ConnectionId] = []  # of those that the last reply doubted


class SchedulerBeat(Message):
    """A scheduler lives. `failing` are the parts of it that do not work."""

    subject: ClassVar = Subject("hb.sched.{scheduler_id}")
    scheduler_id: Id
    version: str = ""
    failing: list[str] = []
    leaving: bool = False


class ConnectionState(StrEnum):
    """How sure the registry is of a connection."""

    LIVE = "live"
    SUSPECT = "suspect"
    DRAINING = "draining"
    ENDED = "ended"


class Connection(Contract):
    """One worker on one space, as it is listed."""

    connection_id: ConnectionId
    space_id: SpaceId
    state: ConnectionState
    seat: int
    epoch: int
    slots: int
    instance_id: Id
    agent: AgentInfo
    gateway_id: GatewayId | None = None
    since: datetime
    # Of a worker on a gateway: when its gateway was, unless the gateway doubts it.
    heard_at: datetime | None = None


class ConnectionList(Reply):
    """Connections of a space or of all spaces that the actor sees."""

    connections: list[Connection] = []


class ListConnections(Act[ConnectionList]):
    """Live connections, newest first."""

    subject: ClassVar = Subject("rpc.reg.connection_list")
    reply: ClassVar = ConnectionList
    space_id: SpaceId | None = None


class ControlAction(StrEnum):
    """What an operator may do with a connection."""

    DRAIN = "drain"
    KICK = "kick"


class ControlConnection(Act[Done]):
    """Drains (finish what runs, take nothing new) or kicks (end now) a connection."""

    subject: ClassVar = Subject("rpc.reg.connection_control")
    reply: ClassVar = Done
    connection_id: ConnectionId
    action: ControlAction


# Down: registry and scheduler -> the holder of a connection. `route` is `gw.<gid>.wk.<cid>` or
# `wk.<sid>.<cid>.d`.


class DrainConnection(Message):
    """Finish what runs, take nothing new."""

    subject: ClassVar = Subject("{route}.drain")
    route: str


class KickConnection(Message):
    """Leave now; the problem says why."""

    subject: ClassVar = Subject("{route}.kick")
    route: str
    problem: Problem


# Up, from direct workers; the gateway answers for its sockets itself.


class WorkerBeat(Message):
    """A direct worker lives, each second."""

    subject: ClassVar = Subject("wk.{space_id}.{connection_id}.u.hb")
    space_id: SpaceId
    connection_id: ConnectionId
    running: int = 0


class WorkerDraining(Message):
    """A worker is about to stop: it finishes what runs, and is given nothing new."""

    subject: ClassVar = Subject("wk.{space_id}.{connection_id}.u.draining")
    space_id: SpaceId
    connection_id: ConnectionId


class WorkerBye(Message):
    """A worker leaves and holds nothing."""

    subject: ClassVar = Subject("wk.{space_id}.{connection_id}.u.bye")
    space_id: SpaceId
    connection_id: ConnectionId
