"""The campaign of origins: all of it, for it takes a second."""

from tests.security import origins
from tests.support.platform import Platform


async def test_no_page_from_elsewhere_opens_the_browser_socket(attacked: Platform) -> None:
    found = await origins.run(attacked.gateway_url)
    assert found.attempts >= 50
    assert (found.wrongly_allowed, found.wrongly_refused, found.errors) == ([], [], [])
