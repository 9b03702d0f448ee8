"""Lists of requests, one request's story, and what is done to all that a filter names."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from starlette.responses import Response

from spaces_contracts.access import Principal
from spaces_contracts.identifiers import Id
from spaces_contracts.names import ListPrincipals
from spaces_contracts.permissions import sight_of
from spaces_contracts.problems import Code
from spaces_contracts.request_lists import (
    MAX_AT_ONCE,
    PREFIX_PATTERN,
    CancelRequests,
    FindRequests,
    GetRequestDetails,
    ListRequests,
)
from spaces_contracts.requests import RequestState
from spaces_gateway.http import examples
from spaces_gateway.http import request_json as show
from spaces_gateway.http.naming import names
from spaces_gateway.http.operations import Operations
from spaces_gateway.http.paths import IdInPath
from spaces_gateway.http.principals import Caller
from spaces_gateway.http.requests import JSON, SUBMIT_PROBLEMS, KeyHeader
from spaces_gateway.retries import Retries
from spaces_gateway.services import Services

# A thousand cancels or submits take seconds.
_LONG_S = 60.0
_RETRIED = [RequestState.FAILED, RequestState.EXPIRED, RequestState.CANCELLED]
_ENDED = [state for state in RequestState if state.terminal]
SpaceQuery = Annotated[
    str | None, Query(max_length=200, description="Only of this space: id, name or tenant/name.")
]
UserQuery = Annotated[
    Id | None, Query(description="Only what this person made, or this key, by id.")
]


class Selection(BaseModel):
    """Which requests: all of one's tenant that fit every word given."""

    model_config = ConfigDict(extra="forbid")

    space: str | None = Field(default=None, min_length=1, max_length=200)
    states: list[RequestState] = Field(default=[], max_length=len(RequestState))
    user: Id | None = Field(default=None, description="A person, or a key, by id.")
    since: AwareDatetime | None = Field(default=None, description="Taken at this time or later.")
    until: AwareDatetime | None = Field(default=None, description="Taken before this time.")
    id: str | None = Field(
        default=None, pattern=PREFIX_PATTERN, description="The beginning of the id."
    )
    limit: int = Field(default=MAX_AT_ONCE, ge=1, le=MAX_AT_ONCE, description="Newest first.")


class MassOutcome(BaseModel):
    """What became of them."""

    matched: int = Field(description="Found, up to the limit.")
    done: int
    more: bool = Field(description="There may be others: ask again.")
    refused: dict[Code, int] = Field(default={}, description="How many for which reason.")
    request_ids: list[str] = Field(default=[], description="New requests, where some were made.")


class RequestListsApi:
    """Many requests at once, over HTTP."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._bus = services.bus
        self._retries = Retries(services.bus, services.submission)

    def operations(self) -> Operations:
        """Lists and what is done with them."""
        api = Operations("requests")
        named = (Code.SPACE_NOT_FOUND, Code.MULTIPLE_SPACES)
        selection = examples.body(
            "failed today", {"states": ["failed"], "since": "2026-11-21T00:00:00Z"}
        )
        api.add("GET /api/requests", self.list_requests, *named, response_model=show.RequestPage)
        api.add(
            "GET /api/requests/{request_id}/details",
            self.get_request_details,
            Code.REQUEST_NOT_FOUND,
            response_model=show.DetailsDocument,
        )
        api.add("POST /api/requests/cancel", self.cancel_requests, *named, extra=selection)
        api.add("POST /api/requests/retry", self.retry_requests, *named, extra=selection)
        api.add(
            "POST /api/requests/{request_id}/retry",
            self.retry_request,
            Code.REQUEST_NOT_FOUND,
            *SUBMIT_PROBLEMS,
            status=202,
            response_model=show.RequestDocument,
            responses={202: examples.ACCEPTED},
        )
        return api

    async def list_requests(  # noqa: PLR0913 - the words of the filter
        self,
        actor: Caller,
        space: SpaceQuery = None,
        state: Annotated[list[RequestState] | None, Query(description="Only in these.")] = None,
        user: UserQuery = None,
        since: Annotated[
            AwareDatetime | None, Query(description="Taken at this time or later.")
        ] = None,
        until: Annotated[AwareDatetime | None, Query(description="Taken before this time.")] = None,
        id: Annotated[
            str | None, Query(pattern=PREFIX_PATTERN, description="The beginning of the id.")
        ] = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        cursor: Annotated[str | None, Query(max_length=500)] = None,
    ) -> Response:
        """List requests, newest first.

        Requests that need looking for are looked for among some thousands at a time: a page may be short, and even
        empty, and still have a cursor. Go on with it until there is none. Of queues with more than 2,000 requests only
        the request by itself tells its position.
        """
        wanted = await self._wanted(actor, space, state or [], user, since, until, id)
        page = await self._bus.request(
            ListRequests(**wanted, limit=limit, cursor=cursor), timeout_s=10
        )
        known = await names(
            self._bus,
            actor,
            spaces=(view.space_id for view in page.requests),
            principals=(view.principal_id for view in page.requests),
        )
        body = show.page_json(page.requests, page.next_cursor, self._services.links, known)
        return Response(body, media_type=JSON)

    async def get_request_details(self, request_id: IdInPath, actor: Caller) -> Response:
        """Read a request's input and story.

        Each time it was given to a worker, when, and to which; what it repeats, and what repeats it.
        """
        details = await self._bus.request(
            GetRequestDetails(request_id=request_id, **dict(sight_of(actor)))
        )
        known = await names(
            self._bus,
            actor,
            spaces=[details.request.space_id],
            principals=[details.request.principal_id],
            workers=(attempt.connection_id for attempt in details.attempts),
        )
        body = show.details_json(details, self._services.links, known)
        return Response(body, media_type=JSON)

    async def cancel_requests(self, body: Selection, actor: Caller) -> MassOutcome:
        """Cancel all requests that a filter names.

        Of those that wait or run, the newest first, at most 1,000 at a time.
        """
        done = await self._bus.request(
            CancelRequests(**await self._selected(actor, body), limit=body.limit),
            timeout_s=_LONG_S,
        )
        return MassOutcome(matched=done.matched, done=done.done, more=done.more)

    async def retry_request(
        self, request_id: IdInPath, actor: Caller, key: KeyHeader = None
    ) -> Response:
        """Retry a request: a new one with the same input.

        It has the space's own timeouts, and names the one that it repeats.
        """
        verdict, space = await self._retries.one(actor, request_id, key)
        content = show.accepted_json(verdict, space.space_id, retry_of=request_id)
        headers = {"location": f"/api/requests/{verdict.request_id}"}
        headers |= {
            name.decode(): value.decode() for name, value in self._services.quotas.headers(actor)
        }
        return Response(content, 202, headers, media_type=JSON)

    async def retry_requests(self, body: Selection, actor: Caller) -> MassOutcome:
        """Retry all requests that a filter names.

        Of those that ended (without states: that did not succeed) and were not retried yet, the newest first, at
        most 1,000 at a time. Each counts as a request.
        """
        states = [state for state in body.states or _RETRIED if state in _ENDED]
        if not states:
            return MassOutcome(matched=0, done=0, more=False)
        wanted = await self._selected(actor, body.model_copy(update={"states": states}))
        found = await self._bus.request(
            FindRequests(**wanted, limit=body.limit, not_retried=True), timeout_s=10
        )
        retried = await self._retries.many(actor, found.request_ids)
        return MassOutcome(
            matched=len(found.request_ids),
            done=len(retried.request_ids),
            more=found.more,
            refused=dict(retried.refused),
            request_ids=retried.request_ids,
        )

    async def _selected(self, actor: Principal, body: Selection) -> dict[str, Any]:
        return await self._wanted(
            actor, body.space, body.states, body.user, body.since, body.until, body.id
        )

    async def _wanted(  # noqa: PLR0913 - the words of the filter
        self,
        actor: Principal,
        space: str | None,
        states: list[RequestState],
        user: str | None,
        since: datetime | None,
        until: datetime | None,
        id_prefix: str | None,
    ) -> dict[str, Any]:
        """A RequestFilter's members. Problems: space_not_found, multiple_spaces."""
        wanted: dict[str, Any] = {
            **dict(sight_of(actor)),
            "states": states,
            "since": since,
            "until": until,
            "id_prefix": id_prefix,
        }
        if space is not None:
            wanted["space_id"] = (await self._services.access.space(actor, space)).space_id
        if user is not None:
            found = await self._bus.request(ListPrincipals(actor=actor, who=user))
            wanted["principal_ids"] = found.principal_ids
        return wanted
