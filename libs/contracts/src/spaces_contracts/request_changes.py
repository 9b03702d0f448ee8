"""Changes of many requests at once, for lists that somebody looks at."""

from datetime import datetime
from typing import ClassVar

from spaces_contracts.identifiers import GatewayId, PrincipalId, RequestId, SpaceId, TenantId
from spaces_contracts.message import Contract, Message
from spaces_contracts.problems import Code
from spaces_contracts.requests import RequestState
from spaces_contracts.subject import Subject

# How often a gateway says that somebody looks, and for how long schedulers believe it.
WATCH_EVERY_S = 3.0
WATCHED_FOR_S = 10.0
# Changes in one message, and in one frame.
MAX_CHANGES = 500


class RequestChange(Contract):
    """Where a request is now. What is unset did not change or is not known."""

    request_id: RequestId
    state: RequestState
    attempt: int = 0
    at: datetime
    principal_id: PrincipalId | None = None  # of a new one
    code: Code | None = None  # of its problem, when it ended with one


class RequestsChanged(Message):
    """Changes in one space, each request at most once. Sent while a gateway says that somebody looks."""

    subject: ClassVar = Subject("chg.{space_id}")
    space_id: SpaceId
    tenant_id: TenantId
    private_to: str | None = None  # the space's maker, when it is private
    changes: list[RequestChange] = []
    missed: int = 0  # changes that did not fit


class WatchChanges(Message):
    """Somebody at this gateway looks at lists of requests: said each 3 s."""

    subject: ClassVar = Subject("hb.watch.{gateway_id}")
    gateway_id: GatewayId
