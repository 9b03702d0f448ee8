"""Lists of requests, what is done to all that a filter names, and one request's story."""

from spaces_chassis.errors import ProblemError
from spaces_contracts.message import Done
from spaces_contracts.problems import Code
from spaces_contracts.request_lists import (
    CancelledRequests,
    CancelRequests,
    ConnectionLoads,
    FindRequests,
    GetConnectionLoads,
    GetRequestDetails,
    ListRequests,
    NoteRetries,
    RequestDetails,
    RequestIds,
)
from spaces_contracts.requests import RequestList, RequestState
from spaces_scheduler.announcer import Announcer
from spaces_scheduler.detail_store import DetailStore
from spaces_scheduler.list_store import ListStore
from spaces_scheduler.request_store import RequestStore

# Rows of one transaction: others of the same space wait for it.
CANCELLED_TOGETHER = 200
_OPEN = [RequestState.QUEUED, RequestState.RUNNING]


class Lists:
    """Answers from the database, and mass cancels."""

    def __init__(
        self,
        lists: ListStore,
        details: DetailStore,
        requests: RequestStore,
        announcer: Announcer,
    ) -> None:
        self._lists = lists
        self._details = details
        self._requests = requests
        self._announcer = announcer

    async def page(self, command: ListRequests) -> RequestList:
        """A page without payloads and outputs."""
        found = await self._lists.find(command, command.limit, command.cursor)
        views = await self._lists.views(found.request_ids, command)
        return RequestList(requests=views, next_cursor=found.cursor)

    async def find(self, command: FindRequests) -> RequestIds:
        """Ids, for who asks for more of them by and by."""
        found = await self._lists.find(command, command.limit, not_retried=command.not_retried)
        return RequestIds(request_ids=found.request_ids, more=found.cursor is not None)

    async def details(self, command: GetRequestDetails) -> RequestDetails:
        """Raises request_not_found."""
        views = await self._requests.get(
            [command.request_id], command, with_payload=True, with_output=False
        )
        if not views:
            raise ProblemError.of(
                Code.REQUEST_NOT_FOUND, f"There is no request {command.request_id!r}."
            )
        return await self._details.details(views[0])

    async def cancel(self, command: CancelRequests) -> CancelledRequests:
        """What ended meanwhile was found and is not done; what was asked to end before counts as done."""
        states = [state for state in command.states or _OPEN if state in _OPEN]
        if not states:
            return CancelledRequests()
        wanted = command.model_copy(update={"states": states})
        found = await self._lists.find(wanted, command.limit)
        for ids in await self._lists.by_space(found.request_ids):
            for start in range(0, len(ids), CANCELLED_TOGETHER):
                part = ids[start : start + CANCELLED_TOGETHER]
                await self._requests.cancel_all(part, command)
                await self._announcer.now(part)
        return CancelledRequests(
            matched=len(found.request_ids),
            done=await self._lists.cancelled(found.request_ids),
            more=found.cursor is not None,
        )

    async def note_retries(self, command: NoteRetries) -> Done:
        """Before they are submitted."""
        await self._details.note_retries(command.retries)
        return Done()

    async def loads(self, command: GetConnectionLoads) -> ConnectionLoads:
        """Idle connections are left out."""
        return ConnectionLoads(loads=await self._details.loads(command.connection_ids))
