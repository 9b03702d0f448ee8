"""What an agent remembers of attempts that are over."""

from itertools import count

from spaces_worker_agent.attempts import Key
from spaces_worker_agent.finished import REMEMBER_REQUESTS, REMEMBER_S, FinishedMemory, Known

KEY = Key("r" * 26, 3)


def test_attempts_are_forgotten_after_a_quarter_of_an_hour() -> None:
    assert REMEMBER_S == 900.0
    memory = FinishedMemory()
    memory.remember(KEY, 100.0, "settled")
    assert memory.knows(KEY, 100.0 + REMEMBER_S)
    assert not memory.knows(KEY, 100.1 + REMEMBER_S)
    assert len(memory) == 0


def test_an_older_attempt_than_a_finished_one_is_known_too() -> None:
    memory = FinishedMemory()
    memory.remember(Key("a", 2), 0.0, "settled")
    assert memory.knows(Key("a", 1), 0.0)
    assert memory.knows(Key("a", 2), 0.0)
    assert not memory.knows(Key("a", 3), 0.0)
    assert not memory.knows(Key("b", 1), 0.0)
    memory.remember(Key("a", 1), 1.0, "cancelled")
    assert not memory.cancelled(Key("a", 1), 1.0)
    assert memory.fresh == [(Key("a", 2), "settled")]


def test_a_tombstone_is_for_its_attempt_alone() -> None:
    memory = FinishedMemory()
    memory.remember(Key("a", 1000), 0.0, "cancelled")
    assert memory.cancelled(Key("a", int("1000")), 0.0)
    assert not memory.cancelled(Key("a", 999), 0.0)
    assert not memory.cancelled(Key("a", 1001), 0.0)
    assert not memory.cancelled(Key("b", 1000), 0.0)


def test_what_was_settled_was_not_cancelled_before_it_came() -> None:
    memory = FinishedMemory()
    memory.remember(KEY, 0.0, "settled")
    assert not memory.cancelled(KEY, 0.0)


def test_a_tombstone_is_forgotten_as_well() -> None:
    memory = FinishedMemory()
    memory.remember(KEY, 0.0, "cancelled")
    assert memory.cancelled(KEY, REMEMBER_S)
    assert not memory.cancelled(KEY, REMEMBER_S + 0.1)


def test_the_same_attempt_may_be_told_again_and_a_newer_one_takes_its_place() -> None:
    memory = FinishedMemory()
    memory.remember(Key("a", 1000), 0.0, "cancelled")
    memory.remember(Key("a", int("1000")), 1.0, "settled")
    assert memory.newest() == [(Key("a", 1000), Known(1000, 1.0, "settled"))]
    memory.remember(Key("a", 1001), 2.0, "settled")
    assert memory.newest() == [(Key("a", 1001), Known(1001, 2.0, "settled"))]
    assert memory.fresh == [
        (Key("a", 1000), "cancelled"),
        (Key("a", 1000), "settled"),
        (Key("a", 1001), "settled"),
    ]


def test_what_was_restored_is_known_and_not_written_again() -> None:
    memory = FinishedMemory()
    assert memory.restore(Key("a", 2), -800.0, "settled")
    assert not memory.restore(Key("a", 1), -100.0, "settled")
    assert memory.fresh == []
    assert memory.knows(Key("a", 2), 100.0)
    assert not memory.knows(Key("a", 2), 101.0)


def test_of_very_many_only_the_newest_are_remembered() -> None:
    assert REMEMBER_REQUESTS == 50_000
    memory, extra = FinishedMemory(), 2
    for nth in range(REMEMBER_REQUESTS + extra):
        memory.restore(Key(f"{nth}", 1), 0.0, "settled")
    memory.remember(Key("0", 2), 0.0, "settled")
    assert len(memory) == REMEMBER_REQUESTS
    assert memory.knows(Key("0", 2), 0.0), "what was told last is the newest"
    known = [memory.knows(Key(f"{nth}", 1), 0.0) for nth in (1, 2, 3)]
    assert known == [False, False, True]
    assert len(memory) == REMEMBER_REQUESTS


def test_what_is_remembered_is_listed_oldest_first() -> None:
    memory, clock = FinishedMemory(), count()
    for request_id in ("b", "a", "c", "b"):
        memory.remember(Key(request_id, next(clock)), 0.0, "settled")
    assert [key.request_id for key, _ in memory.newest()] == ["a", "c", "b"]
