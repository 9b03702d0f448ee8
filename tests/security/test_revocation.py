"""The campaign of revocations in its small form."""

import pytest

from tests.security import revocation
from tests.support.platform import Platform


@pytest.mark.timeout(180)
async def test_who_is_shut_out_loses_every_socket_and_nobody_else_one(platform: Platform) -> None:
    found = await revocation.run(platform, sockets=200)
    assert found.attempts >= 6 * 200
    assert (found.wrongly_allowed, found.wrongly_refused, found.errors) == ([], [], [])
