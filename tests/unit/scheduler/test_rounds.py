"""Rounds: everything once, nothing named twice in one, order kept among those that share a name."""

from hypothesis import given
from hypothesis import strategies as st

from spaces_scheduler.rounds import rounds

ITEMS = st.lists(st.frozensets(st.integers(0, 6), max_size=3), max_size=12)


@given(ITEMS)
def test_every_item_is_in_one_round(items: list[frozenset[int]]) -> None:
    split = rounds(items, lambda item: item)
    assert sorted(index for part in split for index in part) == list(range(len(items)))
    assert all(split)


@given(ITEMS)
def test_no_round_names_anything_twice(items: list[frozenset[int]]) -> None:
    for part in rounds(items, lambda item: item):
        names = [name for index in part for name in items[index]]
        assert len(names) == len(set(names))


@given(ITEMS)
def test_of_two_that_share_a_name_the_earlier_goes_first(items: list[frozenset[int]]) -> None:
    split = rounds(items, lambda item: item)
    nth = {index: number for number, part in enumerate(split) for index in part}
    for later in range(len(items)):
        for earlier in range(later):
            if items[earlier] & items[later]:
                assert nth[earlier] < nth[later]


def test_without_a_shared_name_there_is_one_round() -> None:
    assert rounds(["a", "b", "c"], lambda item: [item]) == [[0, 1, 2]]
    assert rounds([], lambda item: [item]) == []
