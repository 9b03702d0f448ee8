"""Splits a batch so that no round names anything twice: what a batch function asks of its callers."""

from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


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


async def in_rounds(
    items: Sequence[T],
    names: Callable[[T], Iterable[Hashable]],
    call: Callable[[Sequence[T]], Awaitable[list[R]]],
) -> list[R]:
    """What `call` says of each item, in their order; it is called once a round, nearly always once."""
    split = rounds(items, names)
    if len(split) == 1:
        return await call(items)
    said: dict[int, R] = {}
    for indexes in split:
        part = await call([items[nth] for nth in indexes])
        said.update(zip(indexes, part, strict=True))
    return [said[nth] for nth in range(len(items))]
