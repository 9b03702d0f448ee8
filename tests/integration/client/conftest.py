"""A scripted gateway, and clients of it."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from spaces_client import AsyncSpaces
from tests.integration.client.scripted_gateway import API_KEY, ScriptedGateway, running_gateway


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What the person who runs the tests has set up plays no role."""
    for name in ("SPACES_URL", "SPACES_API_KEY", "SPACES_API_KEY_FILE", "SPACES_CA_FILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
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


@pytest.fixture
async def certificate(tmp_path: Path) -> Path:
    """A certificate for localhost that signed itself, with its key, in one file."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("there is no openssl command to make a certificate with")
    path = tmp_path / "localhost.pem"
    making = await asyncio.create_subprocess_exec(
        *(openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
        *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
        *("-keyout", str(path), "-out", str(path.with_suffix(".crt"))),
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert await making.wait() == 0
    path.write_text(path.read_text() + path.with_suffix(".crt").read_text())
    return path
