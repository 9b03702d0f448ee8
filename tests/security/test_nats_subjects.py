"""The campaign against the broker, as a test: it takes seconds, so it runs whole."""

from tests.security import nats_subjects


def test_nothing_that_a_worker_says_or_asks_for_reaches_outside_its_own_space() -> None:
    found = nats_subjects.run()
    assert (found.wrongly_allowed, found.wrongly_refused, found.errors) == ([], [], [])
    assert found.attempts >= 200
