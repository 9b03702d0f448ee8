"""However messages dawdle and get lost, gateways together never let more in than the limit of a window."""

from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spaces_contracts.identifiers import new_id
from spaces_contracts.quotas import WINDOW_S, Allowance, Holder
from spaces_gateway.quotas.leases import (
    AHEAD_S,
    BELIEVE_S,
    PARTS,
    PAUSE_S,
    REFRESH_S,
    Lease,
    Wanted,
)

TENANT = new_id()


class Registry:
    """Fixed windows by its own clock."""

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self.used: Counter[int] = Counter()

    def answer(self, wanted: Wanted, now: float) -> Allowance:
        nothing = Allowance(holder=Holder.TENANT, holder_id=TENANT, ahead=wanted.ahead)
        if self.limit is None:
            return nothing
        window = int(now // WINDOW_S) + wanted.ahead
        granted = max(0, min(wanted.amount, self.limit - self.used[window]))
        self.used[window] += granted
        return nothing.model_copy(
            update={
                "granted": granted,
                "limit": self.limit,
                "used": self.used[window],
                "starts_in_s": window * WINDOW_S - now,
                "ends_in_s": (window + 1) * WINDOW_S - now,
            }
        )


@dataclass
class Gateway:
    """A lease, and what is on its way to and from the registry. Its clock began at another time."""

    behind_s: float
    lease: Lease = field(default_factory=lambda: Lease(Holder.TENANT, TENANT))
    questions: list[tuple[Wanted, int, float]] = field(default_factory=list)
    answers: list[tuple[Wanted, int, float, Allowance]] = field(default_factory=list)

    def request(self, now: float) -> bool:
        local = now - self.behind_s
        entered = self.lease.take(local)
        if not entered or self.lease.wants_attention(local):
            for wanted in self.lease.wanted(local, waiting=0 if entered else 1):
                self.questions.append((wanted, self.lease.generation, local))
        return entered

    def receive(self, now: float) -> None:
        wanted, generation, asked_at, given = self.answers.pop(0)
        self.lease.answered(wanted, generation, given, asked_at, now - self.behind_s)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["request"] * 6 + ["arrive"] * 4 + ["answer"] * 4 + ["lose", "forget", "wait"]),
        st.integers(0, 3),
        st.sampled_from([0.0, 0.0, 0.001, 0.05, 0.7, 2.0, 7.0, 29.0, 58.0, 130.0]),
    ),
    max_size=120,
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(
    st.integers(0, 45),
    st.lists(st.floats(0, 1000), min_size=1, max_size=4),
    st.floats(0, 200),
    STEPS,
)
def test_no_window_lets_in_more_than_its_limit(
    limit: int, clocks: list[float], start: float, steps: list[tuple[str, int, float]]
) -> None:
    registry, now = Registry(limit), 10_000 + start
    gateways = [Gateway(behind_s) for behind_s in clocks]
    entered: Counter[int] = Counter()
    for what, which, pause_s in steps:
        now += pause_s
        gateway = gateways[which % len(gateways)]
        if what == "request":
            entered[int(now // WINDOW_S)] += gateway.request(now)
        elif what == "arrive" and gateway.questions:
            wanted, generation, asked_at = gateway.questions.pop(0)
            given = registry.answer(wanted, now)
            gateway.answers.append((wanted, generation, asked_at, given))
        elif what == "answer" and gateway.answers:
            gateway.receive(now)
        elif what == "lose" and gateway.questions:
            gateway.lease.unanswered(gateway.questions.pop(0)[0], now - gateway.behind_s)
        elif what == "forget":
            gateway.lease.forget()
        assert gateway.lease.left >= 0
    assert all(count <= limit for count in entered.values()), entered


def settle(gateway: Gateway, registry: Registry, now: float) -> int:
    """Everything on its way arrives at once; how many questions that were."""
    asked = 0
    while gateway.questions:
        wanted, generation, asked_at = gateway.questions.pop(0)
        gateway.answers.append((wanted, generation, asked_at, registry.answer(wanted, now)))
        gateway.receive(now)
        asked += 1
    return asked


@settings(max_examples=50, deadline=None)
@given(st.integers(2 * PARTS, 2000), st.floats(0, 1))
def test_one_gateway_lets_the_whole_limit_in_and_a_known_caller_never_waits(
    limit: int, start: float
) -> None:
    registry, gateway, now = Registry(limit), Gateway(0), 6000 + start
    assert not gateway.request(now)  # nothing is known of this tenant yet
    settle(gateway, registry, now)
    for _ in range(limit):
        assert gateway.request(now)
        settle(gateway, registry, now)
    assert not gateway.request(now)
    assert gateway.lease.spent_until(now) == pytest.approx(6060)


def test_a_caller_that_goes_on_does_not_wait_when_a_minute_begins() -> None:
    registry, gateway, now = Registry(6000), Gateway(0), 6000.0
    gateway.request(now)
    settle(gateway, registry, now)
    waited = 0
    while now < 6300:
        now += 0.1
        waited += not gateway.request(now)
        settle(gateway, registry, now)
    assert waited == 0


def test_a_limit_too_small_to_be_parted_is_asked_for_one_by_one() -> None:
    registry, now = Registry(3), 6000.0
    first, second = Gateway(0), Gateway(50)
    for gateway in (first, second, first):
        assert not gateway.request(now)
        settle(gateway, registry, now)
        assert gateway.request(now)
        settle(gateway, registry, now)
    assert registry.used[100] == 3


def test_no_limit_is_asked_again_while_it_is_used_and_believed_for_a_while() -> None:
    registry, gateway, now = Registry(None), Gateway(0), 6000.0
    gateway.request(now)
    settle(gateway, registry, now)
    assert gateway.request(now + REFRESH_S - 0.1)
    assert not gateway.questions
    assert gateway.request(now + REFRESH_S)
    assert gateway.questions == [(Wanted(1, False), 1, now + REFRESH_S)]
    gateway.lease.unanswered(gateway.questions.pop()[0], now + REFRESH_S)
    assert gateway.request(now + REFRESH_S + PAUSE_S / 2)
    assert not gateway.questions, "a registry that does not answer is not asked for each request"
    assert gateway.request(now + BELIEVE_S - 0.1)
    assert not gateway.request(now + BELIEVE_S)


def test_a_lease_ends_with_its_window_whoever_cannot_be_asked() -> None:
    registry, gateway, now = Registry(100), Gateway(0), 6000.0
    gateway.request(now)
    settle(gateway, registry, now)
    assert gateway.request(now + WINDOW_S - AHEAD_S - 1)
    assert not gateway.request(now + WINDOW_S)


def test_an_answer_that_dawdles_is_no_good_after_its_window() -> None:
    registry, gateway = Registry(100), Gateway(0)
    gateway.request(6059.0)
    (wanted, generation, asked_at) = gateway.questions.pop()
    given = registry.answer(wanted, 6059.1)
    gateway.answers.append((wanted, generation, asked_at, given))
    gateway.receive(6062.0)
    assert not gateway.request(6062.5)


def test_a_part_of_the_next_window_is_not_used_before_that_has_begun_for_sure() -> None:
    registry, gateway, now = Registry(100), Gateway(0), 6000.0
    gateway.request(now)
    settle(gateway, registry, now)
    assert gateway.request(6058.0)
    (ahead,) = [question for question in gateway.questions if question[0].ahead]
    # The question took a second, the answer half of one: it began between 6060 and 6061, as far as one can tell here.
    given = registry.answer(ahead[0], 6059.0)
    gateway.answers.append((*ahead, given))
    gateway.questions.clear()
    gateway.receive(6059.5)
    assert gateway.lease.following is not None
    assert gateway.lease.following.starts == pytest.approx(6060.5)
    assert not gateway.request(6060.4)
    assert gateway.request(6060.5)


def leased(limit: int | None) -> tuple[Registry, Gateway]:
    """A gateway that holds a lease."""
    registry, gateway = Registry(limit), Gateway(0.0)
    ask(registry, gateway, 0.0)
    return registry, gateway


def ask(registry: Registry, gateway: Gateway, now: float) -> None:
    for wanted in gateway.lease.wanted(now, waiting=1):
        given = registry.answer(wanted, now)
        gateway.lease.answered(wanted, gateway.lease.generation, given, now, now)


@pytest.mark.parametrize("limit", [100, None])
def test_when_nobody_says_what_a_limit_was_changed_to_the_lease_holds(limit: int | None) -> None:
    _, gateway = leased(limit)
    gateway.lease.forget()
    assert not gateway.lease.take(1.0), "first it is asked for"
    (wanted,) = gateway.lease.wanted(1.0, waiting=1)
    gateway.lease.unanswered(wanted, 1.0)
    assert gateway.lease.holds(1.0)
    assert gateway.lease.take(1.0)
    assert not gateway.lease.take(WINDOW_S + BELIEVE_S), "and not for ever"


def test_what_held_in_an_outage_ends_with_the_next_answer() -> None:
    registry, gateway = leased(100)
    gateway.lease.forget()
    gateway.lease.unanswered(gateway.lease.wanted(1.0, waiting=1)[0], 1.0)
    assert gateway.lease.take(1.0)
    assert gateway.lease.wanted(1.0) == [], "not more often than after a pause"
    registry.limit = 0
    assert gateway.lease.wants_attention(1.0 + PAUSE_S)
    ask(registry, gateway, 1.0 + PAUSE_S)
    assert gateway.lease.limit == 0
    assert not gateway.lease.take(1.0 + PAUSE_S)


def test_a_changed_limit_counts_at_once_while_somebody_answers() -> None:
    registry, gateway = leased(100)
    gateway.lease.forget()
    registry.limit = 0
    ask(registry, gateway, 1.0)
    assert not gateway.lease.take(1.0)
