"""What a fault is, and all of them."""

import random
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from tests.faults.rig import Rig

_MANY = 10

Inflict = Callable[[Rig, random.Random], Awaitable[None]]


@dataclass(frozen=True)
class Kind:
    """A way to hurt the platform. `inflict` returns when the fault is over and what it killed runs again."""

    name: str
    family: str
    inflict: Inflict
    needs: str | None = None  # a capability of the rig
    rare: bool = False  # takes long: comes less often


def select(kinds: Iterable[Kind], wanted: Iterable[str]) -> list[Kind]:
    """Kinds by name or family; all when nothing is wanted. Raises ValueError for what is not known."""
    kinds, wanted = list(kinds), list(wanted)
    unknown = [name for name in wanted if not any(name in (k.name, k.family) for k in kinds)]
    if unknown:
        known = ", ".join(sorted({k.family for k in kinds} | {k.name for k in kinds}))
        raise ValueError(f"no fault is called {', '.join(unknown)}; there are: {known}")
    return [k for k in kinds if not wanted or k.name in wanted or k.family in wanted]


def sequence(kinds: Iterable[Kind], count: int, dice: random.Random) -> list[Kind]:
    """So many faults: every family comes, those of many kinds twice as often; rare kinds a quarter as often."""
    by_family: dict[str, list[Kind]] = {}
    for kind in kinds:
        by_family.setdefault(kind.family, []).append(kind)
    families: list[str] = []
    chosen = []
    for _ in range(count):
        if not families:
            families = sorted(by_family) + sorted(f for f in by_family if len(by_family[f]) > _MANY)
            dice.shuffle(families)
        family = by_family[families.pop()]
        weights = [1.0 if kind.rare else 4.0 for kind in family]
        chosen.append(dice.choices(family, weights)[0])
    return chosen
