"""Reading requests and queues, and asking for an end."""

from spaces_chassis.errors import ProblemError
from spaces_contracts.access import EVERYTHING
from spaces_contracts.problems import Code
from spaces_contracts.quotas import CountOpenRequests, Holder, OpenRequests, OpenRequestsReply
from spaces_contracts.requests import (
    AskHolder,
    CancelRequest,
    GetQueues,
    GetRequests,
    HolderReply,
    QueueList,
    RequestList,
    RequestReply,
    RequestView,
)
from spaces_scheduler.announcer import Announcer
from spaces_scheduler.count_store import CountStore
from spaces_scheduler.request_store import RequestStore

# An answer travels in one message of at most 2 MiB, where JSON text may grow by its quoting.
MAX_REPLY_BYTES = 2 * 1024 * 1024 - 4096


class Questions:
    """Answers from the database."""

    def __init__(self, store: RequestStore, counts: CountStore, announcer: Announcer) -> None:
        self._store = store
        self._counts = counts
        self._announcer = announcer

    async def get(self, command: GetRequests) -> RequestList:
        """Raises payload_too_large when the requests do not fit in one answer."""
        views = await self._store.get(
            command.request_ids,
            command,
            with_payload=command.with_payload,
            with_output=command.with_output,
        )
        reply = RequestList(requests=views)
        if _roughly(views) > MAX_REPLY_BYTES // 2 and len(reply.encode()) > MAX_REPLY_BYTES:
            raise ProblemError.of(
                Code.PAYLOAD_TOO_LARGE, "Ask for fewer requests at a time: they do not fit together"
            )
        return reply

    async def queues(self, command: GetQueues) -> QueueList:
        """Spaces that do not exist are left out."""
        return QueueList(queues=await self._store.queues(command.space_ids))

    async def open_requests(self, command: CountOpenRequests) -> OpenRequestsReply:
        """How many have not ended, for each that is asked about."""
        tenants = [ask.holder_id for ask in command.asks if ask.holder is Holder.TENANT]
        found = await self._counts.of_tenants(tenants) if tenants else {}
        counts = []
        for ask in command.asks:
            if ask.holder is Holder.TENANT:
                count = found.get(ask.holder_id, (0, 0))
            else:
                count = await self._counts.of_key(ask.holder_id, ask.tenant_id)
            counts.append(
                OpenRequests(
                    holder=ask.holder, holder_id=ask.holder_id, concurrent=count[0], queued=count[1]
                )
            )
        return OpenRequestsReply(counts=counts)

    async def holder(self, command: AskHolder) -> HolderReply:
        """Who holds what is a yes or no: a stranger learns nothing else."""
        return HolderReply(holds=await self._store.holds(command))

    async def cancel(self, command: CancelRequest) -> RequestReply:
        """Raises request_not_found."""
        if not await self._store.cancel(command.request_id, command):
            raise ProblemError.of(
                Code.REQUEST_NOT_FOUND, f"There is no request {command.request_id!r}."
            )
        await self._announcer.now([command.request_id])
        (view,) = await self._store.get([command.request_id], EVERYTHING)
        return RequestReply(request=view)


def _roughly(views: "list[RequestView]") -> int:
    return sum(len(view.output_json or "") + len(view.payload_json or "") + 1024 for view in views)
