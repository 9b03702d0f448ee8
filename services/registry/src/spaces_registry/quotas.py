"""Handlers of limits: what gateways lease of them, what is stored, and who may change them."""

from dataclasses import asdict
from datetime import date

from spaces_chassis.errors import ProblemError
from spaces_contracts.limits import Limits
from spaces_contracts.message import Done
from spaces_contracts.problems import Code
from spaces_contracts.quotas import (
    WINDOW_S,
    Allowance,
    AllowanceAsk,
    Allowances,
    ForgetStorage,
    GetQuotas,
    Holder,
    QuotasReply,
    SetQuotas,
    StorageAsk,
    TakeAllowance,
    TakeStorage,
    Usage,
)
from spaces_registry.actors import sees_tenant, tenant_not_found
from spaces_registry.hints import Hints
from spaces_registry.quota_store import BytesToTake
from spaces_registry.stores import Stores
from spaces_registry.usage_store import Take, Taken

_UNBOUND = Limits()


class Quotas:
    """Limits, leases and room."""

    def __init__(self, stores: Stores, hints: Hints, defaults: Limits) -> None:
        """`defaults` are the limits of a tenant that has none set."""
        self._quotas = stores.quotas
        self._usage = stores.usage
        self._access = stores.access
        self._hints = hints
        self._defaults = defaults

    async def take(self, command: TakeAllowance) -> Allowances:
        """Leases what is left, for many at once."""
        asks = list({(ask.holder, ask.holder_id, ask.ahead): ask for ask in command.asks}.values())
        set_for = await self._quotas.limits([(ask.holder, ask.holder_id) for ask in asks])
        known = [
            (ask, self._effective(ask.holder, set_for.get((ask.holder, ask.holder_id))))
            for ask in asks
        ]
        takes = [_take(ask, limits.requests_per_minute) for ask, limits in known
                 if limits.requests_per_minute is not None]  # fmt: skip
        taken = iter(await self._usage.take(takes) if takes else ())
        return Allowances(
            allowances=[
                _allowance(ask, limits, None if limits.requests_per_minute is None else next(taken))
                for ask, limits in known
            ]
        )

    async def get(self, command: GetQuotas) -> QuotasReply:
        """For members of the tenant, and admins."""
        if not sees_tenant(command.actor, command.tenant_id):
            raise tenant_not_found()
        return await self._reply(command.tenant_id)

    async def set(self, command: SetQuotas) -> QuotasReply:
        """Admins only: a tenant that could raise its own limits would have none."""
        if not await self._access.has_tenant(command.tenant_id):
            raise tenant_not_found()
        await self._quotas.change(
            Holder.TENANT, command.tenant_id, command.tenant_id, command.limits, command.changed
        )
        await self._hints.quota_changed(command.tenant_id)
        return await self._reply(command.tenant_id)

    async def take_storage(self, command: TakeStorage) -> Done:
        """Refuses what does not fit."""
        ask = command.ask
        full = await self._quotas.take_storage(await self._bytes_to_take(ask))
        if full is not None:
            raise ProblemError.of(
                Code.STORAGE_FULL,
                f"The {full.holder}'s files take {full.used} of {full.most} bytes; "
                f"{ask.size_bytes} more do not fit.",
                limit=full.most,
                used=full.used,
            )
        return Done()

    async def forget_storage(self, command: ForgetStorage) -> Done:
        """After a day's files were removed."""
        await self._quotas.forget_storage(_day(command.day))
        return Done()

    async def _bytes_to_take(self, ask: StorageAsk) -> BytesToTake:
        holders = [(Holder.TENANT, ask.tenant_id)]
        if ask.key_id is not None:
            holders.append((Holder.KEY, ask.key_id))
        found = await self._quotas.limits(holders)
        most = {
            holder: self._effective(holder, found.get((holder, holder_id))).stored_bytes
            for holder, holder_id in holders
        }
        return BytesToTake(
            day=_day(ask.day),
            size_bytes=ask.size_bytes,
            tenant_id=ask.tenant_id,
            most_of_tenant=most[Holder.TENANT],
            key_id=ask.key_id,
            most_of_key=most.get(Holder.KEY),
        )

    async def _reply(self, tenant_id: str) -> QuotasReply:
        if not await self._access.has_tenant(tenant_id):
            raise tenant_not_found()
        found = await self._quotas.limits([(Holder.TENANT, tenant_id)])
        own = found.get((Holder.TENANT, tenant_id), _UNBOUND)
        return QuotasReply(
            tenant_id=tenant_id,
            limits=own,
            effective=self._effective(Holder.TENANT, own),
            usage=Usage(
                requests_this_minute=await self._usage.used(_subject(Holder.TENANT, tenant_id)),
                stored_bytes=await self._quotas.stored_bytes(tenant_id),
            ),
            keys=await self._quotas.of_keys(tenant_id),
        )

    def _effective(self, holder: Holder, limits: Limits | None) -> Limits:
        if holder is Holder.KEY:
            return limits or _UNBOUND
        if limits is None:
            return self._defaults
        own = limits.model_dump(exclude_none=True)
        return self._defaults.model_copy(update=own)


def _subject(holder: Holder, holder_id: str) -> str:
    return f"{holder.value}:{holder_id}"


def _take(ask: AllowanceAsk, limit: int | None) -> Take:
    assert limit is not None, "only limited ones are taken from"
    subject = _subject(ask.holder, ask.holder_id)
    return Take(subject, limit, ask.amount, WINDOW_S, int(ask.ahead))


def _allowance(ask: AllowanceAsk, limits: Limits, taken: Taken | None) -> Allowance:
    unbound = Allowance(
        holder=ask.holder,
        holder_id=ask.holder_id,
        ahead=ask.ahead,
        limit=limits.requests_per_minute,
        concurrent=limits.concurrent,
        queued=limits.queued,
    )
    return unbound if taken is None else unbound.model_copy(update=asdict(taken))


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ProblemError.of(Code.INVALID_REQUEST, "There is no such day") from None
