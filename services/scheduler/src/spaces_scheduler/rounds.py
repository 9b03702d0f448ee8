"""Splits a batch so that no round names anything twice: what a batch function asks of its callers. Pure."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

T = TypeVar("T")


def rounds(items: Sequence[T], names: Callable[[T], Iterable[Hashable]]) -> list[list[int]]:
    """Indexes of the items, each once; items that share a name are in different rounds, the earlier one first."""
    taken: dict[Hashable, int] = {}  # the last round that a name is in
    split: list[list[int]] = []
    for index, item in enumerate(items):
        own = tuple(names(item))
        nth = max((taken.get(name, -1) for name in own), default=-1) + 1
        taken.update(dict.fromkeys(own, nth))
        if nth == len(split):
            split.append([])
        split[nth].append(index)
    return split
