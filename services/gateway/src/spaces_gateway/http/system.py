"""The platform itself: which processes live, what they stand on, how much went through, where it is busy."""

from datetime import datetime
from importlib.metadata import version
from typing import Annotated

from fastapi import Query
from pydantic import BaseModel, Field

from spaces_chassis.bus.facts import broker_facts, stream_facts
from spaces_chassis.errors import ProblemError
from spaces_contracts.access import Principal
from spaces_contracts.permissions import sight_of
from spaces_contracts.problems import Code
from spaces_contracts.system import (
    BusyQueue,
    DatabaseFacts,
    GetHistory,
    GetSystem,
    History,
    ListBusyQueues,
    Replica,
    SystemReply,
)
from spaces_gateway.http.naming import names
from spaces_gateway.http.operations import Operations
from spaces_gateway.http.principals import Caller
from spaces_gateway.services import Services


class Trouble(BaseModel):
    """Why nothing is known of a part."""

    code: Code
    message: str = ""


class Broker(BaseModel):
    """NATS, as this gateway sees it."""

    connected: bool
    server: str = ""
    version: str = ""
    cluster: str = ""
    answer_ms: float | None = None


class Stream(BaseModel):
    """The event stream: progress and chunks of the last minutes."""

    name: str
    messages: int = 0
    size_bytes: int = 0
    first_at: datetime | None = None
    last_at: datetime | None = None
    replicas: int = 0
    lagging: int = Field(default=0, description="Replicas that are behind or away.")
    problem: str | None = None


class SystemDocument(BaseModel):
    """The health of the platform."""

    gateway_id: str = Field(description="Which gateway answers.")
    version: str
    replicas: list[Replica] = Field(
        default=[], description="Every process that was heard of within a day."
    )
    database: DatabaseFacts | None = None
    nats: Broker
    events: Stream
    problem: Trouble | None = Field(
        default=None, description="Why replicas and the database are not known."
    )


class BusyQueueRow(BusyQueue):
    """A queue with the names of its space and tenant."""

    space_name: str | None = None
    tenant_name: str | None = None


class BusyQueuesDocument(BaseModel):
    """Queues in which something waits or runs, the fullest first."""

    queues: list[BusyQueueRow]
    queued: int = Field(description="In all of them.")
    running: int
    more: int = Field(description="Queues that are not listed.")


class SystemApi:
    """Health, history and queues over HTTP."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._bus = services.bus

    def operations(self) -> Operations:
        """All of them."""
        api = Operations("system")
        api.add("GET /api/system", self.get_system)
        api.add("GET /api/system/history", self.get_system_history)
        api.add("GET /api/queues", self.list_busy_queues)
        return api

    async def get_system(self, actor: Caller) -> SystemDocument:
        """Read the health of the platform; admins only.

        Answers also when a part is away, and says which.
        """
        known, trouble = await self._known(actor)
        broker, events = await broker_facts(self._bus), await stream_facts(self._bus)
        return SystemDocument(
            gateway_id=self._services.gateway_id,
            version=version("spaces-gateway"),
            replicas=known.replicas if known else [],
            database=known.database if known else None,
            nats=Broker(**vars(broker)),
            events=Stream(**vars(events)),
            problem=trouble,
        )

    async def get_system_history(
        self,
        actor: Caller,
        hours: Annotated[int, Query(ge=1, le=168, description="How far back.")] = 1,
    ) -> History:
        """Read throughput, latency and queue over time; admins only."""
        return await self._bus.request(GetHistory(hours=hours))

    async def list_busy_queues(
        self, actor: Caller, limit: Annotated[int, Query(ge=1, le=500)] = 100
    ) -> BusyQueuesDocument:
        """List queues in which something waits or runs, the fullest first."""
        busy = await self._bus.request(ListBusyQueues(limit=limit, **dict(sight_of(actor))))
        known = await names(self._bus, actor, spaces=(queue.space_id for queue in busy.queues))
        rows = []
        for queue in busy.queues:
            space = known.spaces.get(queue.space_id)
            rows.append(
                BusyQueueRow(
                    **queue.model_dump(),
                    space_name=space.name if space else None,
                    tenant_name=space.tenant_name if space else None,
                )
            )
        return BusyQueuesDocument(
            queues=rows, queued=busy.queued, running=busy.running, more=busy.more
        )

    async def _known(self, actor: Principal) -> tuple[SystemReply | None, Trouble | None]:
        try:
            return await self._bus.request(GetSystem(actor=actor)), None
        except ProblemError as error:
            problem = error.problem
            if problem.code is Code.FORBIDDEN:
                raise
            return None, Trouble(code=problem.code, message=problem.message)
