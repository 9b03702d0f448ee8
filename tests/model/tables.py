"""The rows of the queue as plain values, and the log of what moved. Times are seconds of the deadline clock."""

from dataclasses import dataclass, field
from typing import NamedTuple

from spaces_contracts.problems import Code
from spaces_contracts.requests import RequestState
from spaces_scheduler.request_states import Mover


@dataclass(slots=True)
class Lane:
    """One space: its rules, its order, its counters."""

    space_id: str
    enabled: bool = True
    closed: bool = False
    when_offline: str = "queue"
    max_queue: int = 1000
    queue_timeout_s: float = 120.0
    run_timeout_s: float = 120.0
    timeout_s: float = 120.0
    max_attempts: int = 3
    retry_after_start: bool = True
    next_seq: int = 1
    queued: int = 0
    running: int = 0


@dataclass(slots=True)
class Connection:
    """What the scheduler knows of a worker's connection."""

    connection_id: str
    space_id: str
    instance_id: str
    slots: int
    age: int
    attached_at: float
    live: bool = True
    draining: bool = False
    refusals: int = 0
    paused_until: float | None = None


@dataclass(slots=True)
class Request:
    """One request, from submit to its end."""

    request_id: str
    space_id: str
    principal_id: str
    priority: int
    seq: int
    queue_timeout_s: float
    run_timeout_s: float
    queued_at: float
    due_at: float
    total_due_at: float
    state: RequestState = RequestState.QUEUED
    attempt: int = 0
    tries: int = 0
    cancel_requested_at: float | None = None


@dataclass(slots=True)
class Assignment:
    """One attempt on one connection. Unreleased: it holds a slot."""

    request_id: str
    attempt: int
    space_id: str
    connection_id: str
    instance_id: str
    claimed_at: float
    offered_at: float
    accepted_at: float | None = None
    stop_asked_at: float | None = None
    released_at: float | None = None


class Result(NamedTuple):
    """How a request ended: what its worker said, or why nobody could say it."""

    attempt: int
    from_worker: bool
    output: str | None
    code: Code | None


class New(NamedTuple):
    """One element of a submit."""

    request_id: str
    space_id: str
    principal_id: str
    priority: int = 0
    timeout_s: float | None = None
    key: str | None = None
    body: str = ""


class Told(NamedTuple):
    """One element of a finish: what a worker says of an attempt."""

    space_id: str
    connection_id: str
    request_id: str
    attempt: int
    state: RequestState
    output: str = ""


class Word(NamedTuple):
    """One element of an acceptance or a refusal."""

    space_id: str
    connection_id: str
    request_id: str
    attempt: int


class SubmitVerdict(NamedTuple):
    """What a submit is answered: a problem's code, or where the request is now."""

    request_id: str
    code: Code | None
    state: RequestState | None
    duplicate: bool
    position: int | None
    attempt: int | None


class Attached(NamedTuple):
    """What an attach is answered."""

    adopted: list[tuple[str, int]]
    abandon: list[tuple[str, int]]
    announce: list[str]


class Truth(NamedTuple):
    """What must be sent, stopped or told because of a request's state."""

    request_id: str
    space_id: str
    state: RequestState
    attempt: int
    send: bool
    stop: bool
    held_attempt: int | None
    connection_id: str | None


class Move(NamedTuple):
    """One request went from one state to another."""

    request_id: str
    source: RequestState | None
    target: RequestState
    mover: Mover
    attempt: int
    connection_id: str | None
    instance_id: str | None
    cancel_asked: bool = False


class AttachRefused(Exception):
    """The connection has ended, or is another worker's."""


@dataclass(slots=True)
class Tables:
    """Everything that is stored."""

    lanes: dict[str, Lane] = field(default_factory=dict)
    connections: dict[str, Connection] = field(default_factory=dict)
    requests: dict[str, Request] = field(default_factory=dict)
    assignments: dict[tuple[str, int], Assignment] = field(default_factory=dict)
    results: dict[str, Result] = field(default_factory=dict)
    keys: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)  # -> body, request
    generation: int = 0  # of the clock
