"""One caller's limits: its tenant's, which it shares, and its key's own."""

import asyncio
import math
from time import monotonic

from spaces_chassis.errors import ProblemError
from spaces_contracts.problems import Code
from spaces_contracts.quotas import WINDOW_S, Holder
from spaces_gateway.quotas.leases import Lease
from spaces_gateway.quotas.open_count import FULL_S, OpenCount


class Side:
    """All limits of one tenant or key."""

    __slots__ = ("count", "lease", "tenant_id", "waiters")

    def __init__(self, holder: Holder, holder_id: str, tenant_id: str) -> None:
        self.lease = Lease(holder, holder_id)
        self.count = OpenCount()
        self.tenant_id = tenant_id
        self.waiters: list[asyncio.Future[None]] = []

    def lacks(self, now: float) -> bool:
        """Whether a request that is to be let in must wait for an answer about this."""
        if now >= self.lease.ends or (self.lease.limit is not None and self.lease.left <= 0):
            return True
        return self.count.bound and (self.count.room <= 0 or now >= self.count.good_until)

    def tell(self, error: ProblemError | None) -> None:
        """There is an answer, or none will come: who waits looks again."""
        waiters, self.waiters = self.waiters, []
        for waiter in waiters:
            if waiter.done():
                continue
            if error is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(error)

    def problem(self) -> ProblemError:
        """The refusal while this has too many requests at once."""
        which = self.count.which
        limit = self.count.queued if which == "queued" else self.count.concurrent
        used = self.count.waiting if which == "queued" else self.count.open
        what = "wait already" if which == "queued" else "have not ended"
        return _refusal(
            Code.QUOTA_EXCEEDED,
            f"{used} requests of this {self.lease.holder.value} {what}; its limit is {limit}.",
            max(1.0, FULL_S),
            {"limited": self.lease.holder.value, "which": which, "limit": limit, "used": used},
        )


class Account:
    """The two sides of a caller."""

    __slots__ = ("free_until", "key", "leases", "tenant")

    def __init__(self, tenant: Side, key: Side) -> None:
        self.tenant = tenant
        self.key = key
        self.leases = (tenant.lease, key.lease)
        self.free_until = float(
            "-inf"
        )  # until then nothing needs to be looked at: there is no limit

    @property
    def counted(self) -> bool:
        """Whether requests at once are limited."""
        return self.tenant.count.bound or self.key.count.bound

    def take(self, now: float) -> bool:
        """One request of the minute, of both."""
        tenant, key = self.leases
        if not tenant.take(now):
            return False
        if not key.take(now):
            tenant.give_back()
            return False
        if tenant.limit is None and key.limit is None and not self.counted:
            self.free_until = min(tenant.attend_at, key.attend_at)
        return True

    def wants_attention(self, now: float) -> bool:
        """Whether something may have to be asked in the background."""
        tenant, key = self.leases
        if tenant.wants_attention(now) or key.wants_attention(now):
            return True
        return self.counted and (self.tenant.count.stale(now) or self.key.count.stale(now))

    def enter(self, now: float) -> tuple[list[OpenCount], Side | None]:
        """One more request at once, of both: the counts it entered, or the side that is full or not known enough."""
        entered: list[OpenCount] = []
        for side in (self.tenant, self.key):
            if not side.count.bound:
                continue
            if not side.count.enter(now):
                for count in entered:
                    count.give_back()
                return [], side
            entered.append(side.count)
        return entered, None

    def give_back(self) -> None:
        """It was of the minute, and did not get in."""
        for lease in self.leases:
            lease.give_back()

    def spent(self, now: float) -> ProblemError | None:
        """The refusal while nothing is left of the minute."""
        for lease in self.leases:
            until = lease.spent_until(now)
            if until is not None:
                return _refusal(
                    Code.RATE_LIMITED,
                    f"This {lease.holder.value} may send {lease.limit} requests a minute.",
                    math.ceil((until - monotonic()) * 10) / 10,
                    {"limited": lease.holder.value, "limit": lease.limit, "window_s": WINDOW_S},
                )
        return None


def _refusal(
    code: Code, message: str, retry_after_s: float, facts: dict[str, object]
) -> ProblemError:
    problem = ProblemError.of(code, message, **facts).problem
    return ProblemError(problem.model_copy(update={"retry_after_s": max(0.1, retry_after_s)}))
