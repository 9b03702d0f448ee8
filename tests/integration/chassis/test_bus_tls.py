"""NATS with TLS and credentials are plain settings, and TLS that was asked for is never left out."""

import asyncio
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from spaces_chassis.bus import Bus, serve
from spaces_chassis.settings import BusSettings
from tests.conformance.bus_messages import Add, Sum
from tests.integration.chassis.nats_process import NatsProcess
from tests.support.eventually import eventually

USERS = 'authorization { user: "ann", password: "secret-1" }\n'


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with cert.pem and key.pem, which sign themselves."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "1", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", folder / "key.pem", "-out", folder / "cert.pem"),
        ],
        check=True,
        capture_output=True,
    )
    return folder


@pytest.fixture
def tls_server(tmp_path: Path, certificates: Path) -> Iterator[NatsProcess]:
    files = f'cert_file: "{certificates}/cert.pem", key_file: "{certificates}/key.pem"'
    server = NatsProcess(tmp_path, USERS + f"tls {{ {files} }}")
    server.start()
    yield server
    server.kill()


@pytest.fixture
def plain_server(tmp_path: Path) -> Iterator[NatsProcess]:
    server = NatsProcess(tmp_path, USERS)
    server.start()
    yield server
    server.kill()


def bus_at(server: NatsProcess, password: str = "secret-1", ca_file: Path | None = None) -> Bus:
    settings = BusSettings(
        nats_url=server.url,
        nats_user="ann",
        nats_password=SecretStr(password),
        nats_ca_file=ca_file,
    )
    return Bus.from_settings(settings, name="test")


async def add(command: Add) -> Sum:
    return Sum(total=command.a + command.b)


async def given_up(bus: Bus, starting: "asyncio.Task[None]") -> None:
    """Returns after two refusals: the bus still tries, and was let in nowhere."""
    await eventually(lambda: bus._meters.errors._value.get() >= 2)
    assert not starting.done()
    starting.cancel()
    await asyncio.wait([starting])
    await bus.stop()


async def test_a_server_with_tls_and_a_password_is_used(
    tls_server: NatsProcess, certificates: Path
) -> None:
    bus = bus_at(tls_server, ca_file=certificates / "cert.pem")
    bus.add_routes([serve(Add, add, queue="q")])
    await bus.start()
    assert (await bus.request(Add(a=1, b=2))).total == 3

    await asyncio.to_thread(tls_server.kill)
    await eventually(lambda: not bus.connected)
    await asyncio.to_thread(tls_server.start)
    await eventually(lambda: bus.connected)
    assert (await bus.request(Add(a=2, b=2))).total == 4
    await bus.stop()


async def test_a_server_with_another_certificate_is_refused(tls_server: NatsProcess) -> None:
    bus = bus_at(tls_server)
    await given_up(bus, asyncio.create_task(bus.start()))


async def test_a_server_without_tls_never_sees_the_password_of_who_asked_for_tls(
    plain_server: NatsProcess, certificates: Path
) -> None:
    bus = bus_at(plain_server, ca_file=certificates / "cert.pem")
    await given_up(bus, asyncio.create_task(bus.start()))


async def test_a_wrong_password_is_tried_again_until_it_is_right(plain_server: NatsProcess) -> None:
    bus = bus_at(plain_server, password="wrong")
    await given_up(bus, asyncio.create_task(bus.start()))
