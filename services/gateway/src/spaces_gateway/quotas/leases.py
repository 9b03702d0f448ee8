"""Requests a minute as one gateway may let them in: a local count, leased from the registry in advance. Pure.

A gateway holds a tenth of the limit at a time, asks for more when half of it is gone, and for a part of the next
minute shortly before that begins: so a request of a known caller waits for nobody. A lease is good between two moments
that never lie outside the registry's window, however long messages take, so what is let in by all gateways together in
a window never exceeds the limit. What a gateway leased and did not use is lost with the window: with several gateways
a tenant may be refused when up to a tenth of its limit for each other gateway is unused.
"""

from typing import NamedTuple

from spaces_contracts.quotas import WINDOW_S, Allowance, Holder

# A lease is this part of the limit; of a limit too small to be parted each request is asked for by itself.
PARTS = 10
SMALLEST_LEASE = 2
# A part of the next window is asked for when the running one ends in so long.
AHEAD_S = 3.0
# "No limit" is asked again after this, and believed for so long when nobody answers.
REFRESH_S = 10.0
BELIEVE_S = 60.0
# After a question that nobody answered.
PAUSE_S = 1.0


class Wanted(NamedTuple):
    """What to ask the registry for."""

    amount: int
    ahead: bool


class _Window(NamedTuple):
    starts: float
    ends: float
    left: int
    remaining: int


class _Former(NamedTuple):
    """What a lease was before its limit was changed."""

    limit: int | None
    concurrent: int | None
    queued: int | None
    left: int
    part: int
    remaining: int
    low: int
    ends: float
    following: _Window | None
    spent: bool


class Lease:
    """What is known of one tenant's or key's limit. Times are this process's monotonic clock."""

    __slots__ = (
        "asking", "asking_ahead", "attend_at", "concurrent", "ends", "following", "former", "generation", "holder",
        "holder_id", "known", "left", "limit", "low", "name", "part", "policy", "queued", "remaining", "retry_at",
        "spent", "stale",
    )  # fmt: skip

    def __init__(self, holder: Holder, holder_id: str) -> None:
        self.holder = holder
        self.holder_id = holder_id
        self.name = b'"%s"' % holder.value.encode()  # as headers say it
        self.policy = b""
        self.generation = 1
        self.asking = self.asking_ahead = False
        self.retry_at = float("-inf")
        self.former: _Former | None = None
        self._clear()

    def forget(self) -> None:
        """The limit was changed: what was answered before counts only if nobody says what it is now."""
        if self.known:
            self.former = _Former(*(getattr(self, name) for name in _Former._fields))
        self.generation += 1
        self._clear()

    def _clear(self) -> None:
        self.known = False
        self.stale = False  # what is known is from before a change
        self.limit: int | None = None
        self.concurrent: int | None = None
        self.queued: int | None = None
        self.left = self.part = 0
        self.remaining = 0  # in the registry, by its last answer
        self.low = -1  # with no more than this left it is time to ask
        self.ends = self.attend_at = float("-inf")
        self.following: _Window | None = None
        self.spent = False  # the registry has no more in this window

    def take(self, now: float) -> bool:
        """Lets one request in, if it may."""
        if now >= self.ends and not self._turn(now):
            return False
        if self.limit is None:
            return True
        if self.left > 0:
            self.left -= 1
            return True
        return False

    def give_back(self) -> None:
        """The request that was let in was stopped by another limit."""
        if self.limit is not None:
            self.left += 1

    def wants_attention(self, now: float) -> bool:
        """Whether there may be something to ask for; cheap."""
        return self.left <= self.low or now >= self.attend_at

    def wanted(self, now: float, waiting: int = 0) -> list[Wanted]:
        """What to ask for now; each must be followed by `answered` or `unanswered`. `waiting` requests hold still."""
        if now < self.retry_at and not waiting:
            return []
        wanted: list[Wanted] = []
        if now >= self.ends:
            self._turn(now)
        if not self.asking and self._lacks(now, waiting):
            self.asking = True
            wanted.append(Wanted(max(self.part, waiting, 1), ahead=False))
        if not self.asking_ahead and self._should_look_ahead(now):
            self.asking_ahead = True
            wanted.append(Wanted(self.part, ahead=True))
        return wanted

    def _lacks(self, now: float, waiting: int) -> bool:
        if now >= self.ends or self.stale:
            return True
        if self.limit is None:
            return now >= self.attend_at
        return not self.spent and (self.left <= self.low or waiting > self.left)

    def _should_look_ahead(self, now: float) -> bool:
        return (
            self.limit is not None
            and self.part >= SMALLEST_LEASE
            and self.following is None
            and self.ends - AHEAD_S <= now < self.ends
        )

    def answered(
        self, wanted: Wanted, generation: int, given: Allowance, asked_at: float, now: float
    ) -> None:
        """The registry's answer to a question that left at `asked_at`."""
        self._asked(wanted)
        if generation != self.generation:
            self._keep(wanted, given, asked_at)
            return
        if self.stale:
            self._clear()  # as above
        self.former = None
        self.known = True
        self.concurrent, self.queued = given.concurrent, given.queued
        self.limit = given.limit
        if given.limit is None:
            self.ends, self.attend_at = asked_at + BELIEVE_S, now + REFRESH_S
            self.left, self.low, self.following = 0, -1, None
            return
        self.part = given.limit // PARTS
        self.policy = b"%s;q=%d;w=%d" % (self.name, given.limit, WINDOW_S)
        # Clocks are read before the question leaves and after the answer came: the window is never believed
        # to begin earlier or to end later than it does.
        window = _Window(
            now + given.starts_in_s,
            asked_at + given.ends_in_s,
            given.granted,
            given.limit - given.used,
        )
        if wanted.ahead:
            self._later(window, now)
        else:
            self._now(window, short=given.granted < wanted.amount)

    def _keep(self, wanted: Wanted, given: Allowance, asked_at: float) -> None:
        """What was leased by the old limit is lost, unless nobody says what the new one is."""
        former = self.former
        if former is None or former.limit is None or wanted.ahead or given.limit is None:
            return
        if _same(_Window(0, asked_at + given.ends_in_s, 0, 0), _Window(0, former.ends, 0, 0)):
            self.former = former._replace(left=former.left + given.granted)

    def unanswered(self, wanted: Wanted, now: float) -> None:
        """Nobody answered: what was known before a change holds until somebody does, or until its own end."""
        self._asked(wanted)
        self.retry_at = now + PAUSE_S
        if self.former is not None and not self.known:
            for name, value in self.former._asdict().items():
                setattr(self, name, value)
            self.former = None
            self.known = self.stale = True
            self.attend_at = self.retry_at

    def holds(self, now: float) -> bool:
        """Whether a request could be let in."""
        return now < self.ends and (self.limit is None or self.left > 0)

    def spent_until(self, now: float) -> float | None:
        """Until when nothing more is let in; None when there may be something."""
        if self.limit is not None and self.spent and self.left <= 0 and now < self.ends:
            return self.ends
        return None

    def _asked(self, wanted: Wanted) -> None:
        if wanted.ahead:
            self.asking_ahead = False
        else:
            self.asking = False

    def _now(self, window: _Window, *, short: bool) -> None:
        if self.following is not None and _same(window, self.following):
            # The answer shows that the window has begun.
            window = _joined(window, self.following)
            self.following = None
        if _same(window, _Window(0, self.ends, 0, 0)):
            self._enter(
                _Window(0, min(window.ends, self.ends), window.left + self.left, window.remaining)
            )
        elif window.ends > self.ends:
            self._enter(window)
        else:
            return  # it was on its way while its window ended
        if short:
            self.spent, self.low = True, -1

    def _later(self, window: _Window, now: float) -> None:
        if _same(window, _Window(0, self.ends, 0, 0)):
            # Meanwhile it began, and somebody asked.
            self._enter(
                _Window(0, min(window.ends, self.ends), window.left + self.left, window.remaining)
            )
        elif window.ends > self.ends:
            self.following = window
            self.attend_at = self.ends
            if now >= self.ends:
                self._turn(now)

    def _turn(self, now: float) -> bool:
        following = self.following
        if following is None or now < following.starts:
            return False
        self.following = None
        self._enter(following)
        return now < self.ends

    def _enter(self, window: _Window) -> None:
        self.ends, self.left, self.remaining = window.ends, window.left, window.remaining
        self.spent = False
        parted = self.part >= SMALLEST_LEASE
        self.low = self.part // 2 if parted else -1
        self.attend_at = window.ends - AHEAD_S if parted and self.following is None else window.ends


def _same(one: _Window, other: _Window) -> bool:
    # Two readings of one window differ by what messages took; two windows by a minute.
    return abs(one.ends - other.ends) < WINDOW_S / 2


def _joined(one: _Window, other: _Window) -> _Window:
    return _Window(one.starts, min(one.ends, other.ends), one.left + other.left, one.remaining)
