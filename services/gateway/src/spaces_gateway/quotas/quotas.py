"""Lets requests in by the limits of their tenant and key, and asks registry and scheduler in the background."""

import asyncio
from collections.abc import Sequence
from time import monotonic
from typing import NamedTuple

import structlog

from spaces_chassis.batcher import Batcher, BatcherMetrics
from spaces_chassis.bus import Bus
from spaces_chassis.errors import UnavailableError
from spaces_chassis.metrics import Metrics
from spaces_contracts.access import Principal
from spaces_contracts.quotas import (
    MAX_ASKS,
    Allowance,
    AllowanceAsk,
    CountAsk,
    CountOpenRequests,
    Holder,
    OpenRequests,
    QuotaChanged,
    TakeAllowance,
)
from spaces_gateway.quotas.account import Account, Side
from spaces_gateway.quotas.leases import Wanted
from spaces_gateway.quotas.open_count import OpenCount
from spaces_gateway.quotas.rate_headers import Header, rate_headers

# The oldest go first; what they had leased is lost.
ACCOUNTS_MAX = 20_000
# A request waits no longer than this to be let in or refused.
DECIDE_S = 5.0

_UNREAD = "the limits of this tenant could not be read"

log = structlog.get_logger(__name__)


class _Question(NamedTuple):
    side: Side
    wanted: Wanted
    generation: int


class Quotas:
    """Admission of submits. A Part (its batchers). Admins are not limited."""

    name = "quotas"

    def __init__(self, bus: Bus, metrics: Metrics, batches: BatcherMetrics | None = None) -> None:
        self._bus = bus
        self._accounts: dict[str, Account] = {}
        self._sides: dict[str, Side] = {}  # tenants', shared by the accounts of their keys
        self._leases: Batcher[_Question, None] = Batcher(
            self._take, max_items=MAX_ASKS, name="allowances", metrics=batches
        )
        self._counts: Batcher[Side, None] = Batcher(
            self._count, max_items=MAX_ASKS, name="open_requests", metrics=batches
        )
        refused = metrics.counter(
            "spaces_quota_refusals_total", "Submits refused by a limit", ["limit"]
        )
        self._refused = {
            name: refused.labels(name) for name in ("requests_per_minute", "concurrent", "queued")
        }

    def admit(self, actor: Principal) -> "Admission | None":
        """None: the request may go on, and nothing is to be done. Else `enter` and at its end `leave`."""
        account = self._accounts.get(actor.principal_id)
        if account is not None:
            now = monotonic()
            if now < account.free_until:
                return None
            if not account.counted and account.take(now):
                if account.wants_attention(now):
                    self._attend(account, now)
                return None
        elif actor.is_admin or actor.tenant_id is None:
            return None
        return Admission(self, account or self._open(actor, actor.tenant_id or ""))

    def headers(self, actor: Principal) -> tuple[Header, ...]:
        """`RateLimit` and `RateLimit-Policy` for an answer; nothing for who has no limit."""
        account = self._accounts.get(actor.principal_id)
        if account is None:
            return ()
        now = monotonic()
        return () if now < account.free_until else rate_headers(*account.leases, now)

    def changed(self, message: QuotaChanged) -> None:
        """Limits were changed: those concerned are asked for anew."""
        for account in self._accounts.values():
            if message.changed_id in (account.tenant.lease.holder_id, account.key.lease.holder_id):
                account.free_until = float("-inf")
                for side in (account.tenant, account.key):
                    if side.lease.holder_id == message.changed_id:
                        side.lease.forget()

    def _open(self, actor: Principal, tenant_id: str) -> Account:
        tenant = self._sides.get(tenant_id)
        if tenant is None:
            tenant = self._sides[tenant_id] = Side(Holder.TENANT, tenant_id, tenant_id)
            _trim(self._sides)
        account = Account(tenant, Side(Holder.KEY, actor.principal_id, tenant_id))
        self._accounts[actor.principal_id] = account
        _trim(self._accounts)
        return account

    async def let_in(self, account: Account) -> list[OpenCount]:
        """Waits until the request may go on; returns what counts it.

        Problems: rate_limited, quota_exceeded, unavailable.
        """
        try:
            async with asyncio.timeout(DECIDE_S):
                while (entered := self._decide(account, monotonic())) is None:
                    await self._news(account)
        except TimeoutError:
            raise UnavailableError(_UNREAD) from None
        return entered

    def refuse_if_spent(self, actor: Principal) -> None:
        """Problem: rate_limited, by what is known already: before a large body is read for nothing."""
        account = self._accounts.get(actor.principal_id)
        spent = account.spent(monotonic()) if account is not None else None
        if spent is not None:
            self._refused["requests_per_minute"].inc()
            raise spent

    def _decide(self, account: Account, now: float) -> list[OpenCount] | None:
        """What counts it once it is in; None when more must be known first."""
        if not account.take(now):
            spent = account.spent(now)
            if spent is not None:
                self._refused["requests_per_minute"].inc()
                raise spent
            return None
        if account.wants_attention(now):
            self._attend(account, now)
        entered, full = account.enter(now)
        if full is None:
            return entered
        account.give_back()
        if full.count.full(now):
            self._refused[full.count.which].inc()
            raise full.problem()
        return None

    async def _news(self, account: Account) -> None:
        """Returns after the next answer about what the account lacks."""
        now = monotonic()
        waiter = asyncio.get_running_loop().create_future()
        sides = [side for side in (account.tenant, account.key) if side.lacks(now)]
        for side in sides:
            side.waiters.append(waiter)
            self._ask(side, now, waiting=len(side.waiters))
            self._recount(side)
        try:
            if sides:
                await waiter
            else:
                await asyncio.sleep(0)
        finally:
            for side in sides:
                if waiter in side.waiters:
                    side.waiters.remove(waiter)

    def settled(self, account: Account) -> None:
        """What was let in is committed: who waits for a count gets one that holds it."""
        for side in (account.tenant, account.key):
            if side.waiters:
                self._recount(side)

    def _recount(self, side: Side) -> None:
        # Not while our own are on their way: other gateways' are then as visible to us as ours to them.
        count = side.count
        if count.bound and not count.counting and not count.in_flight and side.lease.known:
            count.counting = True
            self._counts.add_with(side, _ignore)

    def _attend(self, account: Account, now: float) -> None:
        for side in (account.tenant, account.key):
            self._ask(side, now)
            if side.count.bound and side.count.stale(now):
                side.count.counting = True
                self._counts.add_with(side, _ignore)

    def _ask(self, side: Side, now: float, waiting: int = 0) -> None:
        for wanted in side.lease.wanted(now, waiting):
            self._leases.add_with(_Question(side, wanted, side.lease.generation), _ignore)

    async def _take(self, questions: list[_Question]) -> Sequence[None]:
        asks = [
            AllowanceAsk(holder=one.side.lease.holder, holder_id=one.side.lease.holder_id,
                         amount=one.wanted.amount, ahead=one.wanted.ahead)
            for one in questions
        ]  # fmt: skip
        asked_at = monotonic()
        try:
            reply = await self._bus.request(TakeAllowance(asks=asks))
            given = {(one.holder_id, one.ahead): one for one in reply.allowances}
        except Exception as error:  # whatever it is, who waits is told, and it is asked again
            log.warning("allowance_not_read", error=repr(error))
            for one in questions:
                self._unanswered(one, _told(error))
            return [None] * len(questions)
        now = monotonic()
        for one in questions:
            allowance = given.get((one.side.lease.holder_id, one.wanted.ahead))
            self._answered(one, allowance, asked_at, now)
        return [None] * len(questions)

    @staticmethod
    def _unanswered(one: _Question, error: UnavailableError) -> None:
        now = monotonic()
        one.side.lease.unanswered(one.wanted, now)
        # Who is known goes on with what was leased before; who has nothing is told.
        one.side.tell(None if one.side.lease.holds(now) else error)

    def _answered(
        self, one: _Question, given: Allowance | None, asked_at: float, now: float
    ) -> None:
        if given is None:
            self._unanswered(one, UnavailableError(_UNREAD))
            return
        one.side.lease.answered(one.wanted, one.generation, given, asked_at, now)
        one.side.count.limits(one.side.lease.concurrent, one.side.lease.queued)
        one.side.tell(None)

    async def _count(self, sides: list[Side]) -> Sequence[None]:
        asks = [
            CountAsk(holder=side.lease.holder, holder_id=side.lease.holder_id, tenant_id=side.tenant_id)
            for side in sides
        ]  # fmt: skip
        for side in sides:
            side.count.asked(monotonic())
        found: dict[str, OpenRequests] = {}
        failure = UnavailableError(_UNREAD)
        try:
            reply = await self._bus.request(CountOpenRequests(asks=asks))
            found = {one.holder_id: one for one in reply.counts}
        except Exception as error:  # as above
            log.warning("open_requests_not_counted", error=repr(error))
            failure = _told(error)
        for side in sides:
            count = found.get(side.lease.holder_id)
            if count is None:
                side.count.unanswered()
                side.tell(failure)
            else:
                side.count.counted(count.concurrent, count.queued, monotonic())
                side.tell(None)
        return [None] * len(sides)

    async def start(self) -> None:
        """Starts the batchers."""
        await self._leases.start()
        await self._counts.start()

    async def drain(self) -> None:
        """Returns when what was asked is answered."""
        await self._leases.drain()
        await self._counts.drain()

    async def stop(self) -> None:
        """Asks no more."""
        await self._leases.stop()
        await self._counts.stop()

    def healthy(self) -> bool:
        """Whether questions are asked."""
        return self._leases.healthy() and self._counts.healthy()


class Admission:
    """One request on its way in, which may have to wait or be counted."""

    __slots__ = ("_account", "_entered", "_quotas")

    def __init__(self, quotas: Quotas, account: Account) -> None:
        self._quotas = quotas
        self._account = account
        self._entered: list[OpenCount] = []

    async def enter(self) -> None:
        """Problems: rate_limited, quota_exceeded, unavailable."""
        self._entered = await self._quotas.let_in(self._account)

    def leave(self) -> None:
        """The scheduler answered, or nobody will ask it."""
        for count in self._entered:
            count.leave()
        if self._entered:
            self._quotas.settled(self._account)


def _trim(kept: "dict[str, Account] | dict[str, Side]") -> None:
    if len(kept) > ACCOUNTS_MAX:
        del kept[next(iter(kept))]


def _told(error: Exception) -> UnavailableError:
    return error if isinstance(error, UnavailableError) else UnavailableError(_UNREAD)


def _ignore(_verdict: object) -> None:
    """Whoever waits was told by the flush."""
