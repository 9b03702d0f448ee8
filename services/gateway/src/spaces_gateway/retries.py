"""Asking again for what was asked before: a new request with the same input, which says whose place it takes."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from pydantic import ValidationError
from pydantic_core import from_json

from spaces_chassis.bus import Bus
from spaces_chassis.errors import ProblemError
from spaces_contracts.access import Principal
from spaces_contracts.identifiers import new_id
from spaces_contracts.permissions import sight_of
from spaces_contracts.problems import Code
from spaces_contracts.request_lists import NoteRetries, Retry
from spaces_contracts.requests import GetRequests, RequestView
from spaces_gateway.submission import Accepted, Submission, SubmitBody

# Requests that are read, and then submitted, at a time.
TOGETHER = 64


@dataclass
class Retried:
    """What became of many: the new requests by the old, and why others are not among them."""

    request_ids: list[str] = field(default_factory=list)
    refused: Counter[Code] = field(default_factory=Counter)


class Retries:
    """Reads, notes, submits. Limits count each as a request."""

    def __init__(self, bus: Bus, submission: Submission) -> None:
        self._bus = bus
        self._submission = submission

    async def one(self, actor: Principal, request_id: str, key: str | None) -> Accepted:
        """One request again. Problems: request_not_found, those of submitting."""
        views = await self._read(actor, [request_id])
        if not views:
            raise ProblemError.of(Code.REQUEST_NOT_FOUND, f"There is no request {request_id!r}.")
        again = new_id()
        await self._note([Retry(request_id=again, retry_of=request_id)])
        return await self._submit(actor, views[0], again, key)

    async def many(self, actor: Principal, request_ids: Sequence[str]) -> Retried:
        """Each by itself: one that is refused does not stop the others. Raises UnavailableError."""
        retried = Retried()
        for start in range(0, len(request_ids), TOGETHER):
            views = await self._read(actor, request_ids[start : start + TOGETHER])
            ids = [new_id() for _ in views]
            notes = [
                Retry(request_id=again, retry_of=view.request_id)
                for again, view in zip(ids, views, strict=True)
            ]
            if notes:
                await self._note(notes)
            outcomes = await asyncio.gather(
                *(
                    self._submit(actor, view, again, None)
                    for view, again in zip(views, ids, strict=True)
                ),
                return_exceptions=True,
            )
            for outcome in outcomes:
                if isinstance(outcome, ProblemError):
                    retried.refused[outcome.problem.code] += 1
                elif isinstance(outcome, BaseException):
                    raise outcome
                else:
                    retried.request_ids.append(outcome.request_id)
        return retried

    async def _read(self, actor: Principal, request_ids: Sequence[str]) -> list[RequestView]:
        """With what was asked, without what came of it. What does not fit together is read in halves."""
        command = GetRequests(
            request_ids=list(request_ids),
            **dict(sight_of(actor)),
            with_payload=True,
            with_output=False,
        )
        try:
            return (await self._bus.request(command, timeout_s=10)).requests
        except ProblemError as error:
            if error.problem.code is not Code.PAYLOAD_TOO_LARGE or len(request_ids) == 1:
                raise
        middle = len(request_ids) // 2
        first = await self._read(actor, request_ids[:middle])
        return [*first, *await self._read(actor, request_ids[middle:])]

    async def _note(self, retries: list[Retry]) -> None:
        await self._bus.request(NoteRetries(retries=retries))

    async def _submit(
        self, actor: Principal, view: RequestView, again: str, key: str | None
    ) -> Accepted:
        return await self._submission.submit(
            actor, view.space_id, body_of(view), idempotency_key=key, request_id=again
        )


def body_of(view: RequestView) -> SubmitBody:
    """What was sent, as far as it is kept: times are the space's own. Problem: invalid_request."""
    try:
        payload = from_json(view.payload_json or "{}")
        return SubmitBody(
            prompt=payload.get("prompt"),
            parameters=payload.get("parameters") or {},
            files=[file.file_id for file in view.files],
            priority=view.priority,
        )
    except (ValueError, AttributeError, ValidationError) as error:
        raise ProblemError.of(
            Code.INVALID_REQUEST, "What this request asked for cannot be read any more."
        ) from error
