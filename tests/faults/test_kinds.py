"""Which faults come, how often, and how their rows add up."""

import random
from collections import Counter

import pytest

from tests.faults.campaign import merge
from tests.faults.catalogue import KINDS
from tests.faults.deaths import Death, summary, within_limits
from tests.faults.history import Report
from tests.faults.kinds import select, sequence

FAMILIES = {"process", "link", "netns", "disk", "clock", "nats", "postgres"}


def test_names_are_unique_and_all_families_are_there() -> None:
    assert max(Counter(kind.name for kind in KINDS).values()) == 1
    assert {kind.family for kind in KINDS} == FAMILIES


def test_kinds_are_chosen_by_name_or_family() -> None:
    assert select(KINDS, []) == KINDS
    chosen = select(KINDS, ["netns", "kill -9 nats"])
    assert {kind.family for kind in chosen} == {"netns", "process"}
    with pytest.raises(ValueError, match="no fault is called earthquake"):
        select(KINDS, ["netns", "earthquake"])


def test_a_seed_gives_the_same_faults_again_and_another_seed_others() -> None:
    one, again, other = (sequence(KINDS, 30, random.Random(seed)) for seed in (1, 1, 2))
    assert one == again != other


def test_every_family_comes_in_a_round_of_ten() -> None:
    for seed in range(50):
        chosen = sequence(KINDS, 10, random.Random(seed))
        assert {kind.family for kind in chosen} == FAMILIES


def test_rows_of_a_fault_add_up_and_keep_the_longest_stall() -> None:
    rows = [
        Report("a", 1, 10, 0, 1, 0, 2.5, fifo_violations=1, duplicate_executions=2),
        Report("b", 0, 0, 0, 0, 0, 0.0, skipped="no root"),
        Report("a", 1, 5, 1, 0, 0, 1.5),
    ]
    first, second = merge(rows)
    assert first == Report("a", 2, 15, 1, 1, 0, 2.5, fifo_violations=1, duplicate_executions=2)
    assert second.row()["skipped"] == "no root"
    assert "skipped" not in first.row()


def test_a_kind_that_ran_in_one_round_is_not_skipped() -> None:
    (row,) = merge(
        [Report("a", 0, 0, 0, 0, 0, 0.0, skipped="no root"), Report("a", 1, 5, 0, 0, 0, 1)]
    )
    assert row.skipped is None


@pytest.mark.parametrize(
    ("death", "in_time"),
    [
        (Death("kill", 10.2, 10.3, succeeded=True), True),
        (Death("kill", 15.1, 15.2, succeeded=True), False),
        (Death("kill", 14.0, 20.1, succeeded=True), False),
        (Death("kill", None, 14.0, succeeded=True), False),
        (Death("kill", 14.0, None, succeeded=True), False),
        (Death("kill", 10.2, 10.3, succeeded=False), False),
    ],
)
def test_a_death_is_judged_by_its_limits(death: Death, in_time: bool) -> None:
    others = [Death("freeze", 13.0, 13.1, succeeded=True)] * 5
    assert within_limits([*others, death]) == in_time
    row = summary([*others, death])["all"]
    assert row["count"] == 6
    assert (row["noticed_s_never"], row["requeued_s_never"], row["not_succeeded"]) == (
        death.noticed_s is None,
        death.requeued_s is None,
        not death.succeeded,
    )
