"""The platform itself: which processes live, what they stand on, and how much went through them."""

from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from pydantic import Field

from spaces_contracts.access import Act, Sight
from spaces_contracts.identifiers import Id
from spaces_contracts.message import Command, Contract, Reply
from spaces_contracts.subject import Subject

# A replica that was silent for so long is shown as silent, and for a day as something that was there.
SILENT_AFTER_S = 10.0


class ReplicaState(StrEnum):
    """How a process is."""

    LIVE = "live"
    FAILING = "failing"  # it lives, and a part of it does not work
    LEAVING = "leaving"
    SILENT = "silent"


class Replica(Contract):
    """One process of a service."""

    service: str
    replica_id: Id
    state: ReplicaState
    version: str = ""
    since: datetime
    heard_at: datetime
    failing: list[str] = []
    connections: int | None = None  # of a gateway: its workers' sockets


class DatabaseFacts(Contract):
    """The database, as a registry finds it."""

    version: str = ""
    answer_ms: float = 0.0
    size_bytes: int = 0
    connections: int = 0
    max_connections: int = 0
    since: datetime | None = None
    in_recovery: bool = False


class SystemReply(Reply):
    """What the registry knows."""

    replicas: list[Replica] = []
    database: DatabaseFacts = DatabaseFacts()


class GetSystem(Act[SystemReply]):
    """Every process that was heard of within a day, and the database; admins only."""

    subject: ClassVar = Subject("rpc.reg.system_get")
    reply: ClassVar = SystemReply


class HistoryPoint(Contract):
    """What happened in one step of time. Latencies are estimated from counts of ranges; null: nothing ended."""

    at: datetime  # its beginning
    accepted: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    expired: int = 0
    wait_p50_s: float | None = None  # from acceptance to the last start
    wait_p95_s: float | None = None
    run_p50_s: float | None = None  # from the last start to the end
    run_p95_s: float | None = None
    queued: float | None = None  # on average; null: nobody looked
    queued_max: int | None = None
    running: float | None = None


class History(Reply):
    """Points from the oldest to the newest; steps without a point had nothing to tell."""

    step_s: int = 60
    points: list[HistoryPoint] = []


class GetHistory(Command[History]):
    """The whole platform's throughput, latency and queue over time."""

    subject: ClassVar = Subject("rpc.sched.history")
    reply: ClassVar = History
    hours: int = Field(default=1, ge=1, le=168)


class BusyQueue(Contract):
    """A space in which requests wait or run."""

    space_id: Id
    tenant_id: Id
    queue_size: int
    running: int
    slots: int = 0
    connected: bool = False
    eta_s: float | None = None  # until a request submitted now would start


class BusyQueues(Reply):
    """The fullest first; `more` were left out."""

    queues: list[BusyQueue] = []
    queued: int = 0  # in all of them
    running: int = 0
    more: int = 0


class ListBusyQueues(Sight, Command[BusyQueues]):
    """Spaces in which something waits or runs."""

    subject: ClassVar = Subject("rpc.sched.busy")
    reply: ClassVar = BusyQueues
    limit: int = Field(default=100, ge=1, le=500)
