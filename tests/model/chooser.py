"""Who decides what happens next: a seed, or hypothesis."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

T = TypeVar("T")
_MASK = (1 << 64) - 1


class Chooser(Protocol):
    """A source of decisions."""

    def below(self, n: int) -> int:
        """One of 0 .. n-1."""
        ...


class Seeded:
    """Decisions from a number. A generator of the standard library takes ten times as long to seed."""

    __slots__ = ("_state",)

    def __init__(self, seed: int) -> None:
        self._state = (seed * 0x9E3779B97F4A7C15 + 0xD1B54A32D192ED03) & _MASK

    def below(self, n: int) -> int:
        self._state = (self._state + 0x9E3779B97F4A7C15) & _MASK
        mixed = ((self._state ^ (self._state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
        return (mixed ^ (mixed >> 31)) % n


def pick(chooser: Chooser, values: Sequence[T]) -> T:
    """One of some values."""
    return values[chooser.below(len(values))]


def chance(chooser: Chooser, one_in: int) -> bool:
    """Whether something happens that happens once in so many times. The usual is 0, for shrinking."""
    return chooser.below(one_in) == one_in - 1
