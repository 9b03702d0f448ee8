"""The flood in small, and that its judge sees what it must see."""

import asyncio

import pytest

from tests.security.flood import FLOOR_S, Flood, judge, measure
from tests.support.platform import running_platform


def test_a_flood_at_a_hundred_times_its_share_is_refused_and_nobody_else_is() -> None:
    with running_platform() as platform:
        # The whole share is let in at once and then nothing: the figures are of both.
        flood = asyncio.run(measure(platform, seconds=4, share_per_minute=120))
    found = judge(flood, floor_s=5 * FLOOR_S)
    assert found.attempts > 100
    assert (found.wrongly_allowed, found.wrongly_refused, found.errors) == ([], [], []), flood
    assert flood.answers["429"] > flood.answers["202"] >= 0.9 * 120


SEEN = Flood(
    share_per_minute=10,
    windows=1,
    idle_p95_s=0.01,
    flooded_p95_s=0.015,
    sent_per_s=100,
    answers={"202": 10, "429": 990},
)


def test_what_went_well_is_no_finding() -> None:
    found = judge(SEEN)
    assert found.attempts == 1000
    assert found.wrongly_allowed == found.wrongly_refused == found.errors == []


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"answers": {"202": 11, "429": 9}}, "wrongly_allowed"),
        ({"refused_others": ["429: no"]}, "wrongly_refused"),
        ({"answers": {"202": 10, "500": 1}}, "errors"),
        ({"flooded_p95_s": 0.021}, "errors"),
    ],
)
def test_what_went_wrong_is_found(change: dict[str, object], where: str) -> None:
    found = judge(Flood(**{**SEEN.__dict__, **change}))
    assert getattr(found, where)
