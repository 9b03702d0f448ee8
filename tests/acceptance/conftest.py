"""What the acceptance tests share: an API client with the admin's key."""

from collections.abc import AsyncIterator

import pytest

from tests.support.api import Api, api
from tests.support.platform import Platform


@pytest.fixture
async def admin(platform: Platform) -> AsyncIterator[Api]:
    """The API of the first gateway, as its admin."""
    async with api(platform.gateway_url, platform.admin_key) as client:
        yield client
