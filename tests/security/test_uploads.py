"""A small form of the campaign of uploads."""

from tests.security import uploads
from tests.support.platform import Platform


async def test_no_hostile_upload_is_taken_or_traced_back(attacked: Platform) -> None:
    found = await uploads.run(attacked, most=150)
    assert found.attempts >= 150
    assert (found.wrongly_allowed, found.wrongly_refused, found.errors) == ([], [], [])


def test_the_whole_campaign_has_500_uploads() -> None:
    kinds = [case.what for case in uploads.cases("key", "127.0.0.1:1")]
    assert len(kinds) >= 500
