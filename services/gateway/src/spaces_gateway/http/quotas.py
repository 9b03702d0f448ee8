"""What a tenant may use and does use, over HTTP."""

from typing import get_args

from pydantic import BaseModel, ConfigDict

from spaces_chassis.errors import ProblemError
from spaces_contracts.limits import Bytes, Count, Limits
from spaces_contracts.problems import Code
from spaces_contracts.quotas import (
    CountAsk,
    CountOpenRequests,
    GetQuotas,
    Holder,
    LimitName,
    OpenRequests,
    QuotasReply,
    SetQuotas,
)
from spaces_gateway.http import examples
from spaces_gateway.http.operations import Operations
from spaces_gateway.http.paths import IdInPath
from spaces_gateway.http.principals import Caller
from spaces_gateway.services import Services

LIMIT_NAMES = get_args(LimitName)


class LimitChanges(BaseModel):
    """Limits to set. What is left out stays; null sets the platform's default."""

    model_config = ConfigDict(extra="forbid")

    requests_per_minute: Count | None = None
    concurrent: Count | None = None
    queued: Count | None = None
    stored_bytes: Bytes | None = None


class QuotasApi:
    """Limits over HTTP."""

    def __init__(self, services: Services) -> None:
        self._bus = services.bus

    def operations(self) -> Operations:
        """Read and set."""
        api = Operations("access")
        api.add("GET /api/tenants/{tenant_id}/quotas", self.get_quotas, Code.TENANT_NOT_FOUND)
        api.add(
            "PATCH /api/tenants/{tenant_id}/quotas",
            self.set_quotas,
            Code.TENANT_NOT_FOUND,
            extra=examples.body("limits", {"requests_per_minute": 600, "queued": 100}),
        )
        return api

    async def get_quotas(self, tenant_id: IdInPath, actor: Caller) -> QuotasReply:
        """Read a tenant's limits and what is used of them.

        `limits` are its own, `effective` with the platform's defaults; null is no limit.
        """
        return await self._with_open(
            await self._bus.request(GetQuotas(actor=actor, tenant_id=tenant_id))
        )

    async def set_quotas(
        self, tenant_id: IdInPath, body: LimitChanges, actor: Caller
    ) -> QuotasReply:
        """Set a tenant's limits; admins only."""
        changed: dict[LimitName, int | None] = {
            name: getattr(body, name) for name in LIMIT_NAMES if name in body.model_fields_set
        }
        command = SetQuotas(
            actor=actor,
            tenant_id=tenant_id,
            changed=list(changed),
            limits=Limits.model_validate(changed),
        )
        return await self._with_open(await self._bus.request(command))

    async def _with_open(self, reply: QuotasReply) -> QuotasReply:
        ask = CountAsk(holder=Holder.TENANT, holder_id=reply.tenant_id, tenant_id=reply.tenant_id)
        try:
            counted = await self._bus.request(CountOpenRequests(asks=[ask]))
        except ProblemError:
            return reply  # the scheduler is away; what the registry knows is still true
        count = next(
            iter(counted.counts), OpenRequests(holder=Holder.TENANT, holder_id=reply.tenant_id)
        )
        usage = reply.usage.model_copy(
            update={"concurrent": count.concurrent, "queued": count.queued}
        )
        return reply.model_copy(update={"usage": usage})
