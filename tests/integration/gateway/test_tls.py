"""HTTPS and wss: at the gateway itself and behind a proxy, through the SDK and a real agent."""

import asyncio
import os
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from spaces_chassis.settings import SettingsError
from spaces_client import AsyncSpaces
from spaces_gateway.certificate import Certificate
from spaces_stack.ports import free_ports
from tests.support.certificates import Pair, make_certificate
from tests.support.eventually import eventually
from tests.support.platform import Platform
from tests.support.tls_proxy import tls_proxy

GATEWAY = str(Path(sys.executable).parent / "spaces-gateway")
HANDLER = Path(__file__).parents[2] / "support/handlers/echo.py"
HSTS = "max-age=31536000"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return make_certificate(tmp_path_factory.mktemp("tls"))


def trust(certificate: Pair) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate.chain))


async def answers(url: str, context: ssl.SSLContext) -> bool:
    async with httpx2.AsyncClient(verify=context, trust_env=False) as client:
        try:
            return (await client.get(f"{url}/health/ready")).status_code == 200
        except httpx2.TransportError:
            return False


def gateway_environ(platform: Platform) -> dict[str, str]:
    """What the platform's own gateway was started with."""
    stored = Path(f"/proc/{platform.pid('gateway')}/environ").read_bytes()
    pairs = (item.decode().partition("=") for item in stored.split(b"\0") if item)
    return {name: value for name, _, value in pairs}


@pytest.fixture
async def secure(platform: Platform, certificate: Pair, tmp_path: Path) -> AsyncIterator[str]:
    """One more gateway of the platform, with TLS by its flags."""
    (port,) = free_ports(1)
    arguments = ["serve", "--tls-cert", str(certificate.chain), "--tls-key", str(certificate.key)]
    with (tmp_path / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            GATEWAY,
            *arguments,
            env=gateway_environ(platform) | {"SPACES_GATEWAY_PORT": str(port)},
            stdout=log,
            stderr=log,
        )
    try:
        url = f"https://127.0.0.1:{port}"
        await eventually(lambda: answers(url, trust(certificate)), timeout_s=30)
        yield url
    finally:
        process.terminate()
        await process.wait()


@pytest.fixture
async def behind_proxy(platform: Platform, certificate: Pair) -> AsyncIterator[str]:
    async with tls_proxy(platform.gateway_url, certificate) as url:
        yield url


async def serves(platform: Platform, url: str, certificate: Pair, name: str) -> None:
    """A worker, and a client by HTTP and by socket, with a file, all through `url`."""
    space = f"tls-{name}"
    platform.create_space(space, inputs=["prompt", "file"])
    # In a thread: the proxy is served by this one.
    worker = await asyncio.to_thread(
        platform.start_worker,
        space,
        spaces=[space],
        handler=f"{HANDLER}:digest",
        gateway_url=url,
        arguments=["--ca-file", str(certificate.chain)],
    )
    try:
        async with AsyncSpaces(url, platform.admin_key, ca_file=certificate.chain) as spaces:
            file = await spaces.upload(b"over tls", name="a.txt")
            for over in ("http", "socket"):
                request = await spaces.submit(space, prompt="x", files=[file], wait=30, over=over)
                ended = await spaces.result(request.request_id, timeout=30)
                assert ended.state == "succeeded", ended.error
    finally:
        await asyncio.to_thread(platform.stop_worker, worker)


async def test_worker_client_and_files_over_the_gateways_own_tls(
    platform: Platform, secure: str, certificate: Pair
) -> None:
    await serves(platform, secure, certificate, "own")


async def test_worker_client_and_files_through_a_proxy_that_ends_tls(
    platform: Platform, behind_proxy: str, certificate: Pair
) -> None:
    await serves(platform, behind_proxy, certificate, "proxied")


async def test_with_tls_browsers_are_told_to_stay_with_it(secure: str, certificate: Pair) -> None:
    async with httpx2.AsyncClient(verify=trust(certificate), trust_env=False) as client:
        answer = await client.get(f"{secure}/health")
    assert answer.headers["strict-transport-security"] == HSTS


async def test_nothing_older_than_tls_1_2_is_spoken(secure: str, certificate: Pair) -> None:
    old = trust(certificate)
    old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    async with httpx2.AsyncClient(verify=old, trust_env=False) as client:
        with pytest.raises(httpx2.ConnectError):
            await client.get(f"{secure}/health")


async def test_plain_http_is_not_answered_on_the_tls_port(secure: str) -> None:
    async with httpx2.AsyncClient(trust_env=False) as client:
        with pytest.raises(httpx2.TransportError):
            await client.get(secure.replace("https:", "http:") + "/health")


@pytest.mark.parametrize("case", ["missing", "not a certificate", "other key", "locked"])
def test_a_certificate_that_cannot_serve_is_told_at_the_start(
    certificate: Pair, tmp_path: Path, case: str
) -> None:
    chain, key = certificate
    if case == "missing":
        chain = tmp_path / "nowhere.pem"
    elif case == "not a certificate":
        chain = tmp_path / "text.pem"
        chain.write_text("hello")
    elif case == "other key":
        key = make_certificate(tmp_path).key
    else:
        chain, key = make_certificate(tmp_path, password="secret")
    done = subprocess.run(
        [GATEWAY, "--tls-cert", str(chain), "--tls-key", str(key)],
        env={"PATH": os.environ["PATH"], "SPACES_GATEWAY_FILES_DIR": str(tmp_path / "files")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("spaces-gateway: TLS: ")
    assert str(chain) in last
    assert "Traceback" not in done.stderr


def test_a_key_alone_is_refused(tmp_path: Path) -> None:
    done = subprocess.run(
        [GATEWAY, "--tls-key", str(tmp_path / "key.pem")],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr.count("tls_key needs tls_cert")) == (1, 1)


async def test_a_renewed_certificate_is_taken_once_its_key_is_there(tmp_path: Path) -> None:
    first, second = make_certificate(tmp_path, "one"), make_certificate(tmp_path, "two")
    chain, key = tmp_path / "live.pem", tmp_path / "live-key.pem"
    chain.write_bytes(first.chain.read_bytes())
    key.write_bytes(first.key.read_bytes())
    served = Certificate(chain, key)
    chain.write_bytes(second.chain.read_bytes())
    await served.step()
    assert shows(served.context, first)  # half renewed: the old one still serves
    key.write_bytes(second.key.read_bytes())
    await served.step()
    assert shows(served.context, second)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"cannot read .*none\.pem: No such file"):
        Certificate(tmp_path / "none.pem")


def shows(server: ssl.SSLContext, pair: Pair) -> bool:
    """Whether a handshake shows this certificate, without a network."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    there = server.wrap_bio(to_server, to_client, server_side=True)
    here = trust(pair).wrap_bio(to_client, to_server, server_hostname="localhost")
    done: set[ssl.SSLObject] = set()
    while here not in done:
        for side in (here, there):
            try:
                side.do_handshake()
                done.add(side)
            except ssl.SSLWantReadError:
                continue
    return here.getpeercert(binary_form=True) == ssl.PEM_cert_to_DER_cert(pair.chain.read_text())
