"""One submit over HTTP and perhaps the wait for its end: what the documented operation and the hot path share."""

from typing import NamedTuple

from spaces_contracts.access import Principal
from spaces_contracts.identifiers import new_id
from spaces_gateway.http.request_json import accepted_json, finished_json
from spaces_gateway.http.waits import Waits
from spaces_gateway.services import Services
from spaces_gateway.submission import Accepted, SubmitBody


class SubmitAnswer(NamedTuple):
    """What the client gets: JSON, and where the request is when it has not ended."""

    status: int
    content: bytes
    location: str | None


class SubmitCall:
    """`accept`, then `answer`; `stop` in a finally."""

    __slots__ = ("_accepted", "_request_id", "_seconds", "_services", "_wait")

    def __init__(self, services: Services, waits: Waits, seconds: float) -> None:
        self._services = services
        self._seconds = seconds
        self._request_id = new_id()
        self._wait = waits.begin(self._request_id) if seconds else None
        self._accepted: Accepted

    async def accept(self, actor: Principal, ref: str, body: SubmitBody, key: str | None) -> None:
        """Returns when the request is durable. Raises ProblemError."""
        self._accepted = await self._services.submission.submit(
            actor,
            ref,
            body,
            idempotency_key=key,
            notify=self._services.waiters.notify if self._wait is not None else None,
            request_id=self._request_id,
        )

    async def answer(self) -> SubmitAnswer:
        """The ended request, or the accepted one when nobody waits or it did not end in time."""
        wait, (verdict, space) = self._wait, self._accepted
        if wait is not None:
            if verdict.duplicate:
                await wait.follow_known(space.space_id, verdict.request_id)
            event = await wait.result(self._seconds)
            if event is not None:
                content = finished_json(event, self._services.links, verdict.duplicate)
                return SubmitAnswer(200, content, None)
        location = f"/api/requests/{verdict.request_id}"
        return SubmitAnswer(202, accepted_json(verdict, space.space_id), location)

    def stop(self) -> None:
        """Forgets the wait."""
        if self._wait is not None:
            self._wait.stop()
