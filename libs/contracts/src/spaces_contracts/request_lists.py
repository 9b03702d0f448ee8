"""Looking for requests: lists, what is done to all that a filter names, and one request's whole story."""

from datetime import datetime
from typing import ClassVar

from pydantic import Field

from spaces_contracts.access import Sight
from spaces_contracts.identifiers import ConnectionId, PrincipalId, RequestId, SpaceId
from spaces_contracts.message import Command, Contract, Done, Reply
from spaces_contracts.requests import MAX_BATCH, RequestList, RequestState, RequestView
from spaces_contracts.subject import Subject

# Requests that one command changes at most.
MAX_AT_ONCE = 1000
PREFIX_PATTERN = r"^[0-9a-z]{1,32}$"


class RequestFilter(Sight):
    """Which requests, of those in sight. The times are those in their ids: when a gateway took them."""

    space_id: SpaceId | None = None
    states: list[RequestState] = Field(default_factory=list)  # none: any
    principal_ids: list[PrincipalId] | None = None  # made by one of these
    since: datetime | None = None
    until: datetime | None = None
    id_prefix: str | None = Field(default=None, pattern=PREFIX_PATTERN)


class ListRequests(RequestFilter, Command[RequestList]):
    """A page of requests, newest first.

    A page may be short, and even empty, with a cursor: then it ends where the search was stopped, to be gone on with.
    """

    subject: ClassVar = Subject("rpc.sched.list")
    reply: ClassVar = RequestList
    limit: int = Field(default=50, ge=1, le=200)
    cursor: str | None = None


class RequestIds(Reply):
    """Requests that a filter names, newest first; `more` were left out, or were not looked at."""

    request_ids: list[RequestId] = Field(default_factory=list)
    more: bool = False


class FindRequests(RequestFilter, Command[RequestIds]):
    """Only the ids of requests, newest first."""

    subject: ClassVar = Subject("rpc.sched.find")
    reply: ClassVar = RequestIds
    limit: int = Field(default=MAX_AT_ONCE, ge=1, le=MAX_AT_ONCE)
    not_retried: bool = False  # leaves those out that were submitted again already


class CancelledRequests(Reply):
    """What became of it: those that were found, those of them that are ended or asked to end by this."""

    matched: int = 0
    done: int = 0
    more: bool = False


class CancelRequests(RequestFilter, Command[CancelledRequests]):
    """Asks for an end of all that wait or run and that the filter names, newest first, some at a time."""

    subject: ClassVar = Subject("rpc.sched.cancel_matching")
    reply: ClassVar = CancelledRequests
    limit: int = Field(default=MAX_AT_ONCE, ge=1, le=MAX_AT_ONCE)


class AttemptView(Contract):
    """One dispatch of a request. Times are the database's."""

    attempt: int
    connection_id: ConnectionId
    dispatched_at: datetime
    # Empty: the worker did not say so before it ended, as with work that is done at once.
    accepted_at: datetime | None = None
    # When the worker had its slot again.
    released_at: datetime | None = None


class RequestDetails(Reply):
    """One request without its output: what was asked, and how it went."""

    request: RequestView
    attempts: list[AttemptView] = Field(default_factory=list)  # oldest first
    queued_at: datetime | None = None  # the last time
    cancel_requested_at: datetime | None = None
    retry_of: RequestId | None = None
    retried_as: list[RequestId] = Field(default_factory=list)  # oldest first


class GetRequestDetails(Sight, Command[RequestDetails]):
    """A request's input and story. Problem: request_not_found."""

    subject: ClassVar = Subject("rpc.sched.details")
    reply: ClassVar = RequestDetails
    request_id: RequestId


class Retry(Contract):
    """A request that asks for what another asked for."""

    request_id: RequestId
    retry_of: RequestId


class NoteRetries(Command[Done]):
    """Remembers which requests repeat which; sent before they are submitted."""

    subject: ClassVar = Subject("rpc.sched.retries_note")
    reply: ClassVar = Done
    retries: list[Retry] = Field(max_length=MAX_BATCH)


class ConnectionLoad(Contract):
    """What a connection works on."""

    connection_id: ConnectionId
    in_flight: int = 0
    request_ids: list[RequestId] = Field(default_factory=list)  # the first of them


class ConnectionLoads(Reply):
    """Connections that work on something; the others do not."""

    loads: list[ConnectionLoad] = Field(default_factory=list)


class GetConnectionLoads(Command[ConnectionLoads]):
    """What some connections work on."""

    subject: ClassVar = Subject("rpc.sched.loads")
    reply: ClassVar = ConnectionLoads
    connection_ids: list[ConnectionId]
