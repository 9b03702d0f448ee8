"""The campaign of addresses: all of it, for it takes a second."""

from tests.security import ssrf


async def test_no_address_of_a_client_leads_inside() -> None:
    found = await ssrf.run()
    assert found.attempts >= 60
    assert (found.wrongly_allowed, found.wrongly_refused, found.errors) == ([], [], [])
