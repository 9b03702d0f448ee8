"""One platform for the campaigns that need a gateway."""

from collections.abc import Iterator

import pytest

from tests.security import origins, uploads
from tests.support.platform import Platform, running_platform


@pytest.fixture(scope="package")
def attacked() -> Iterator[Platform]:
    """Real services with the settings of the campaigns."""
    with running_platform(environ_of={"gateway": origins.ENVIRON | uploads.ENVIRON}) as platform:
        yield platform
