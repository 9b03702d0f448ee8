"""What lists, mass changes and the admin's pages ask of registry and scheduler: in memory."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from spaces_chassis.errors import ProblemError
from spaces_contracts.connections import Connection, ConnectionList, ListConnections
from spaces_contracts.identifiers import new_id
from spaces_contracts.message import Done, Reply
from spaces_contracts.names import (
    GetNames,
    ListPrincipals,
    Names,
    PrincipalIds,
    PrincipalName,
    SpaceName,
    WorkerName,
)
from spaces_contracts.problems import Code, Problem
from spaces_contracts.request_lists import (
    AttemptView,
    CancelledRequests,
    CancelRequests,
    ConnectionLoad,
    ConnectionLoads,
    FindRequests,
    GetConnectionLoads,
    GetRequestDetails,
    NoteRetries,
    RequestDetails,
    RequestFilter,
    RequestIds,
)
from spaces_contracts.requests import GetQueues, Queue, QueueList, RequestState, RequestView
from spaces_contracts.spaces import SetCover, SpaceReply
from spaces_contracts.system import (
    BusyQueue,
    BusyQueues,
    DatabaseFacts,
    GetHistory,
    GetSystem,
    History,
    HistoryPoint,
    ListBusyQueues,
    Replica,
    ReplicaState,
    SystemReply,
)

if TYPE_CHECKING:
    from tests.integration.gateway.backends import Backends

WORKER_ID = new_id()
_NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


class Lookups:
    """Answers about what the backends hold."""

    def __init__(self, backends: "Backends") -> None:
        self._backends = backends
        self.connections: list[Connection] = []
        self.retry_of: dict[str, str] = {}  # new id -> old id

    def serve(self) -> None:
        for command_type, answer in (
            (GetNames, self._names),
            (ListPrincipals, self._principals_of),
            (FindRequests, self._find),
            (GetRequestDetails, self._details),
            (CancelRequests, self._cancel),
            (NoteRetries, self._note),
            (GetConnectionLoads, self._loads),
            (GetQueues, _queues),
            (ListConnections, lambda _: ConnectionList(connections=self.connections)),
            (GetSystem, lambda _: self._system()),
            (GetHistory, lambda _: _history()),
            (ListBusyQueues, self._busy),
            (SetCover, self._set_cover),
        ):
            self._backends.serve(command_type, answer)

    def matching(self, wanted: RequestFilter) -> list[RequestView]:
        """Newest first."""
        return [
            view
            for view in reversed(self._backends.views.values())
            if wanted.tenant_id in (None, view.tenant_id)
            and wanted.space_id in (None, view.space_id)
            and (not wanted.states or view.state in wanted.states)
            and (wanted.principal_ids is None or view.principal_id in wanted.principal_ids)
            and view.request_id.startswith(wanted.id_prefix or "")
        ]

    def _set_cover(self, command: SetCover) -> Reply:
        space = self._backends.spaces[command.space_id].model_copy(update={"cover": command.cover})
        self._backends.spaces[command.space_id] = space
        return SpaceReply(space=space)

    def _names(self, command: GetNames) -> Reply:
        spaces = [self._backends.spaces.get(one) for one in command.space_ids]
        known = {one.principal_id: one for one in self._backends.principals.values()}
        return Names(
            spaces=[
                SpaceName(**space.model_dump(include={*SpaceName.model_fields}))
                for space in spaces
                if space is not None
            ],
            principals=[
                PrincipalName(principal_id=one, kind=known[one].kind, name=known[one].name)
                for one in command.principal_ids
                if one in known
            ],
            workers=[
                WorkerName(connection_id=one, hostname="gpu-1", version="1")
                for one in command.connection_ids
            ],
        )

    def _principals_of(self, command: ListPrincipals) -> Reply:
        known = {one.principal_id for one in self._backends.principals.values()}
        return PrincipalIds(principal_ids=[command.who] if command.who in known else [])

    def _find(self, command: FindRequests) -> Reply:
        retried = set(self.retry_of.values()) if command.not_retried else set()
        found = [v.request_id for v in self.matching(command) if v.request_id not in retried]
        return RequestIds(request_ids=found[: command.limit], more=len(found) > command.limit)

    def _details(self, command: GetRequestDetails) -> Reply:
        view = self._backends.views.get(command.request_id)
        if view is None or command.tenant_id not in (None, view.tenant_id):
            raise ProblemError.of(Code.REQUEST_NOT_FOUND, "There is no such request.")
        payload = self._backends.requests[view.request_id].payload
        attempt = AttemptView(
            attempt=1, connection_id=WORKER_ID, dispatched_at=view.created_at, accepted_at=None
        )
        return RequestDetails(
            request=view.model_copy(update={"payload_json": payload, "output_json": None}),
            attempts=[attempt],
            queued_at=view.created_at,
            retry_of=self.retry_of.get(view.request_id),
            retried_as=[new for new, old in self.retry_of.items() if old == view.request_id],
        )

    async def _cancel(self, command: CancelRequests) -> Reply:
        found = [view for view in self.matching(command) if not view.state.terminal]
        problem = Problem(code=Code.CANCELLED, message="Cancelled by its owner.")
        for view in found[: command.limit]:
            await self._backends.finish(
                view.request_id, "null", state=RequestState.CANCELLED, error=problem
            )
        count = len(found[: command.limit])
        return CancelledRequests(matched=count, done=count, more=len(found) > command.limit)

    def _note(self, command: NoteRetries) -> Reply:
        self.retry_of |= {retry.request_id: retry.retry_of for retry in command.retries}
        return Done()

    def _loads(self, command: GetConnectionLoads) -> Reply:
        return ConnectionLoads(
            loads=[
                ConnectionLoad(connection_id=one, in_flight=1, request_ids=[new_id()])
                for one in command.connection_ids
            ]
        )

    def _busy(self, command: ListBusyQueues) -> Reply:
        queues = [
            BusyQueue(space_id=one.space_id, tenant_id=one.tenant_id, queue_size=2, running=1)
            for one in self._backends.spaces.values()
            if command.tenant_id in (None, one.tenant_id)
        ]
        return BusyQueues(queues=queues, queued=2 * len(queues), running=len(queues))

    def _system(self) -> Reply:
        replica: dict[str, Any] = {"since": _NOW, "heard_at": _NOW, "version": "1"}
        return SystemReply(
            replicas=[
                Replica(
                    service="scheduler", replica_id=new_id(), state=ReplicaState.LIVE, **replica
                )
            ],
            database=DatabaseFacts(version="18", answer_ms=0.3, connections=4, max_connections=9),
        )


def _history() -> History:
    return History(step_s=60, points=[HistoryPoint(at=_NOW, accepted=3, succeeded=2, queued=1.0)])


def _queues(command: GetQueues) -> Reply:
    return QueueList(queues=[Queue(space_id=one, queue_size=2) for one in command.space_ids])
