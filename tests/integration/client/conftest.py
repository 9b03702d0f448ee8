"""A scripted gateway, and clients of it."""

from collections.abc import AsyncIterator

import pytest

from spaces_client import AsyncSpaces
from tests.integration.client.scripted_gateway import API_KEY, ScriptedGateway, running_gateway


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    """What the person who runs the tests has set up plays no role."""
    for name in ("SPACES_URL", "SPACES_API_KEY", "SPACES_API_KEY_FILE", "SPACES_CA_FILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


@pytest.fixture
async def gateway() -> AsyncIterator[ScriptedGateway]:
    """A gateway with one space, `echo`."""
    async with running_gateway() as gateway:
        gateway.admin.add_space("echo")
        yield gateway


@pytest.fixture
async def spaces(gateway: ScriptedGateway) -> AsyncIterator[AsyncSpaces]:
    """A client of it."""
    async with AsyncSpaces(gateway.url, API_KEY, retry_for_s=5, reconnect_for_s=10) as client:
        yield client
