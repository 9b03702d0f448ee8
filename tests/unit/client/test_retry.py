"""When to try again, and when a second try could do harm."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces_client.errors import ConfigError, Refused, SpacesError, Unreachable
from spaces_client.retry import Patience, Repeat, next_delay

PATIENCE = Patience(for_s=10, first_s=0.1, longest_s=2)


def delay(
    error: SpacesError,
    repeat: Repeat = Repeat.HARMLESS,
    tries: int = 1,
    elapsed_s: float = 0.0,
) -> float | None:
    return next_delay(PATIENCE, error, repeat, tries=tries, elapsed_s=elapsed_s, chance=0.0)


@pytest.mark.parametrize(
    "code", ["unavailable", "going_away", "too_many_connections", "rate_limited"]
)
def test_what_passes_by_itself_is_tried_again(code: str) -> None:
    assert delay(Refused(code)) == 0.05


@pytest.mark.parametrize(
    "code",
    [
        "worker_not_connected",
        "queue_full",
        "quota_exceeded",
        "storage_full",
        "space_not_found",
        "forbidden",
        "empty_prompt",
    ],
)
def test_what_somebody_must_decide_about_is_not_tried_again(code: str) -> None:
    assert delay(Refused(code)) is None


def test_an_answer_of_a_proxy_counts_by_its_status() -> None:
    assert delay(Refused("http_error", status=503)) is not None
    assert delay(Refused("http_error", status=500)) is None
    assert delay(Refused("http_error", status=404)) is None


def test_an_internal_error_is_tried_once_more_only() -> None:
    assert delay(Refused("internal_error"), tries=1) is not None
    assert delay(Refused("internal_error"), tries=2) is None


def test_a_call_with_a_second_effect_is_repeated_only_if_it_never_left() -> None:
    for error, expected in (
        (Unreachable("x", sent=False), True),
        (Unreachable("x", sent=True), False),
        (Refused("unavailable"), False),
    ):
        assert (delay(error, Repeat.ONLY_UNSENT) is not None) is expected


def test_a_certificate_that_is_not_trusted_is_final() -> None:
    assert delay(Unreachable("x", sent=False, code="tls_failed")) is None
    assert delay(ConfigError("no_url", "x")) is None


def test_the_gateways_own_pause_is_kept() -> None:
    assert delay(Refused("rate_limited", retry_after_s=9)) == 9
    assert delay(Refused("rate_limited", retry_after_s=11)) is None
    assert delay(Refused("unavailable", retry_after_s=4)) == 4


def test_patience_ends() -> None:
    assert delay(Refused("unavailable"), elapsed_s=9.9) is not None
    assert delay(Refused("unavailable"), elapsed_s=9.99) is None
    assert delay(Refused("unavailable", retry_after_s=11)) is None


@pytest.mark.parametrize(
    ("tries", "chance", "pause"),
    [(1, 0.0, 0.05), (1, 0.5, 0.075), (2, 0.0, 0.1), (3, 0.5, 0.3), (4, 0.0, 0.4), (99, 0.5, 1.5)],
)
def test_pauses_double_up_to_the_longest_and_half_of_each_is_chance(
    tries: int, chance: float, pause: float
) -> None:
    assert PATIENCE.delay(tries, chance) == pytest.approx(pause)


def test_an_unsettled_patience_waits_three_seconds_at_most() -> None:
    assert Patience().delay(99, 0.0) == 1.5


@given(tries=st.integers(1, 100_000), chance=st.floats(0, 1, exclude_max=True))
def test_pauses_grow_within_their_bounds(tries: int, chance: float) -> None:
    pause = PATIENCE.delay(tries, chance)
    assert PATIENCE.first_s / 2 <= pause <= PATIENCE.longest_s
    assert PATIENCE.delay(tries + 1, chance) >= pause
