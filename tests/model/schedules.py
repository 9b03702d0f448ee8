"""Random schedules: a seed makes a list of steps, steps make a history, and a history keeps its promises or not."""

import random
from collections import Counter
from dataclasses import dataclass, field
from itertools import accumulate
from typing import NamedTuple

from tests.model.chooser import Seeded
from tests.model.quiet import settle
from tests.model.rules import BY_NAME, RULES
from tests.model.upkeep import WholeQueue
from tests.model.witness import PromiseBroken
from tests.model.world import MakeQueue, World

LENGTHS = (20, 40, 60, 100)
_NAMES = [rule.name for rule in RULES]
_WEIGHTS = list(accumulate(rule.weight for rule in RULES))


class Step(NamedTuple):
    """One rule, and the decisions in it."""

    rule: str
    seed: int


@dataclass
class History:
    """What became of a schedule."""

    seed: int
    steps: int = 0
    edges: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    broken: str | None = None
    trace: list[str] = field(default_factory=list)


def plan(seed: int) -> list[Step]:
    """The steps of a seed."""
    source = random.Random(seed)
    length = source.choice(LENGTHS)
    names = source.choices(_NAMES, cum_weights=_WEIGHTS, k=length)
    return [Step(name, source.getrandbits(32)) for name in names]


def run(
    seed: int,
    steps: list[Step] | None = None,
    *,
    make_queue: MakeQueue = WholeQueue,
    tracing: bool = False,
) -> History:
    """Runs a schedule, or only some of its steps. Never raises for a broken promise: it is told."""
    history = History(seed)
    world: World | None = None
    try:
        world = World(Seeded(seed), make_queue)
        if tracing:
            world.trace = history.trace
        for step in plan(seed) if steps is None else steps:
            _one(world, step, history)
        settle(world)
    except PromiseBroken as broken:
        history.broken = str(broken)
    except (AssertionError, LookupError, ValueError) as error:
        history.broken = f"somebody fails: {error!r}"
    if world is not None:
        history.edges = world.witness.edges
    return history


def _one(world: World, step: Step, history: History) -> None:
    rule = BY_NAME[step.rule]
    if not rule.possible(world):
        return
    history.steps += 1
    if world.trace is not None:
        world.trace.append(f"{world.now:8.2f} {step.rule}")
    rule.act(world, Seeded(step.seed))
    world.check()


def shrink(seed: int, *, make_queue: MakeQueue = WholeQueue) -> list[Step]:
    """As few of a failing schedule's steps as fail as well: halves first, then one by one."""
    steps = plan(seed)
    size = len(steps)
    while size >= 1:
        start = 0
        while start < len(steps):
            fewer = steps[:start] + steps[start + size :]
            if run(seed, fewer, make_queue=make_queue).broken is not None:
                steps = fewer
            else:
                start += size
        size //= 2
    return steps
