"""The core keeps its promises under any schedule, and a check that finds planted bugs says so."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from spaces_registry.leases import Watch
from spaces_registry.seats import Place
from tests.model import registry
from tests.model.bugs import BUGS
from tests.model.quiet import settle
from tests.model.rules import BY_NAME, RULES, Rule
from tests.model.schedules import Step, plan, run, shrink
from tests.model.upkeep import WholeQueue
from tests.model.world import MakeQueue, World

SCHEDULES = 300
FOUND_WITHIN = 3000


class Drawn:
    """Decisions by hypothesis, which makes a failing schedule small by itself."""

    def __init__(self, data: st.DataObject) -> None:
        self._data = data

    def below(self, n: int) -> int:
        return self._data.draw(st.integers(0, n - 1)) if n > 1 else 0


class Core(RuleBasedStateMachine):
    """Every rule of the model as a rule of hypothesis. At the end the faults stop."""

    world: World | None = None

    @initialize(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        self.world = World(Drawn(data))

    def teardown(self) -> None:
        if self.world is not None:
            settle(self.world)


def _as_rule(of: Rule) -> Callable[..., None]:
    def step(self: Core, data: st.DataObject) -> None:
        assert self.world is not None
        of.act(self.world, Drawn(data))
        self.world.check()

    def may(self: Core) -> bool:
        return self.world is not None and of.possible(self.world)

    step.__name__ = of.name
    decorated: Callable[..., None] = precondition(may)(rule(data=st.data())(step))
    return decorated


for each in RULES:
    if each.weight:
        setattr(Core, each.name, _as_rule(each))

TestCore: Any = Core.TestCase
TestCore.settings = settings(
    max_examples=250,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def test_no_promise_is_broken_in_any_of_some_hundred_schedules() -> None:
    broken = {seed: run(seed).broken for seed in range(SCHEDULES)}
    assert {seed: what for seed, what in broken.items() if what} == {}


def test_a_seed_tells_the_same_history_each_time() -> None:
    first, second = run(7, tracing=True), run(7, tracing=True)
    assert first.trace == second.trace
    assert first.edges == second.edges


def found(make_queue: MakeQueue) -> int | None:
    """The first seed whose schedule shows a broken promise."""
    seeds = range(FOUND_WITHIN)
    return next((seed for seed in seeds if run(seed, make_queue=make_queue).broken), None)


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
def test_a_planted_bug_is_found(bug: type[WholeQueue]) -> None:
    assert found(bug) is not None


def test_a_failing_schedule_is_made_small() -> None:
    bug = BUGS[-3]
    seed = found(bug)
    assert seed is not None
    steps = shrink(seed, make_queue=bug)
    assert run(seed, steps, make_queue=bug).broken is not None
    assert len(steps) < len(plan(seed))


def test_two_holders_of_a_seat_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "choose_seat", lambda *_: Place(0))
    assert found(WholeQueue) is not None


def test_a_death_without_silence_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Watch, "may_kill", property(lambda self: True))
    assert found(WholeQueue) is not None


def test_a_deadline_that_is_set_by_a_stepped_clock_is_found() -> None:
    """In the model nobody mends such times; the scheduler does (`mend_times`, tested on the real tables)."""

    def unseen(seed: int) -> list[Step]:
        return [
            Step("step_clock_unseen" if step.rule == "step_clock" else step.rule, step.seed)
            for step in plan(seed)
        ]

    assert any(
        "too early" in (run(seed, unseen(seed)).broken or "") for seed in range(FOUND_WITHIN)
    )


def test_steps_are_made_of_rules_that_exist() -> None:
    assert all(step.rule in BY_NAME for step in plan(1))
