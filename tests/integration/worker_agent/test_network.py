"""The way to the gateway: TLS with an authority of one's own, proxies, and what doctor says about them."""

import asyncio
import contextlib
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from spaces_contracts.connections import AgentInfo
from spaces_contracts.worker_socket import Registered
from spaces_worker_agent.addresses import socket_url
from spaces_worker_agent.app import trusted
from spaces_worker_agent.doctor import Check, examine
from spaces_worker_agent.exits import Exit, Leave
from spaces_worker_agent.link import Incoming, Introduction, LinkDown, LinkUnusable
from spaces_worker_agent.settings import AgentSettings
from spaces_worker_agent.websocket_link import WebSocketLink
from tests.support.fake_gateway import FakeGateway, fake_gateway

INTRODUCTION = Introduction(
    token="t",
    spaces=("demo",),
    slots=1,
    instance_id="i" * 26,
    secret="s" * 32,
    agent=AgentInfo(version="1"),
)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1, its own authority."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *(
                "-nodes",
                "-days",
                "2",
                "-subj",
                "/CN=test",
                "-addext",
                "subjectAltName=IP:127.0.0.1",
            ),
            *("-keyout", str(key), "-out", str(cert)),
        ],
        check=True,
        capture_output=True,
    )
    return cert, key


@pytest.fixture
async def secure(certificate: tuple[Path, Path]) -> AsyncIterator[FakeGateway]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    async with fake_gateway(ssl=context) as gateway:
        yield gateway


async def registers(link: WebSocketLink, gateway: FakeGateway) -> None:
    await link.open(INTRODUCTION)
    await gateway.admitted()
    heard: asyncio.Queue[Sequence[Incoming]] = asyncio.Queue()
    listening = asyncio.create_task(link.listen(heard.put_nowait))
    (registered,) = await asyncio.wait_for(heard.get(), 10)
    assert isinstance(registered, Registered)
    await link.close()
    with pytest.raises(LinkDown):
        await listening


async def test_an_authority_of_ones_own_is_trusted(
    secure: FakeGateway, certificate: tuple[Path, Path]
) -> None:
    assert secure.url.startswith("https://")
    link = WebSocketLink(socket_url(secure.url), trust=trusted(certificate[0]))
    await registers(link, secure)


async def test_an_unknown_authority_is_refused_with_advice(secure: FakeGateway) -> None:
    link = WebSocketLink(socket_url(secure.url), trust=trusted(None))
    with pytest.raises(LinkUnusable, match=r"not trusted: .*--ca-file") as refused:
        await link.open(INTRODUCTION)
    assert refused.value.exit_code is Exit.TLS_FAILED


def test_a_file_without_certificates_is_told(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    for name in ("ca.pem", "none.pem"):
        with pytest.raises(Leave, match=rf"--ca-file .*{name} cannot be used") as left:
            trusted(tmp_path / name)
        assert left.value.exit_code is Exit.SETTINGS


class Proxy:
    """An HTTP proxy that knows CONNECT."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[str] = []
        self.status = "200 OK"

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.asked.append(head)
        writer.write(f"HTTP/1.1 {self.status}\r\n\r\n".encode())
        if self.status.startswith("200"):
            host, port = head.split()[1].split(":")
            far_reader, far_writer = await asyncio.open_connection(host, int(port))
            await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))
        writer.close()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    running = Proxy()
    server = await asyncio.start_server(running.handle, "127.0.0.1", 0)
    running.url = f"http://user:secret@127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield running


async def test_a_proxy_is_used(gateway: FakeGateway, proxy: Proxy) -> None:
    await registers(WebSocketLink(socket_url(gateway.url), proxy=proxy.url), gateway)
    assert proxy.asked[0].startswith(f"CONNECT {gateway.url.removeprefix('http://')} ")
    assert "Proxy-Authorization: Basic " in proxy.asked[0]


async def test_tls_goes_through_a_proxy(
    secure: FakeGateway, proxy: Proxy, certificate: tuple[Path, Path]
) -> None:
    trust = trusted(certificate[0])
    link = WebSocketLink(socket_url(secure.url), trust=trust, proxy=proxy.url)
    await registers(link, secure)


async def test_a_proxy_that_refuses_is_named_without_its_password(
    gateway: FakeGateway, proxy: Proxy
) -> None:
    proxy.status = "407 Proxy Authentication Required"
    link = WebSocketLink(socket_url(gateway.url), proxy=proxy.url)
    with pytest.raises(LinkDown, match=r"the proxy http://\*\*\*@127.0.0.1:\d+ does not let us"):
        await link.open(INTRODUCTION)


async def test_a_socks_proxy_without_its_library_is_told(gateway: FakeGateway) -> None:
    link = WebSocketLink(socket_url(gateway.url), proxy="socks5://127.0.0.1:9")
    with pytest.raises(Leave, match="pip install python-socks socksio") as left:
        await link.open(INTRODUCTION)
    assert left.value.exit_code is Exit.SETTINGS


async def test_a_gateway_of_another_version_ends_the_agent(gateway: FakeGateway) -> None:
    async with fake_gateway(
        subprotocols=["spaces.v9.json"], select_subprotocol=lambda *_: None
    ) as other:
        link = WebSocketLink(socket_url(other.url))
        with pytest.raises(Leave, match=r"does not speak spaces\.v1\.json") as left:
            await link.open(INTRODUCTION)
    assert left.value.exit_code is Exit.UNSUPPORTED_PROTOCOL


async def test_nobody_there_is_worth_a_retry() -> None:
    link = WebSocketLink("ws://127.0.0.1:9/ws/worker")
    with pytest.raises(LinkDown, match=r"cannot connect to ws://127\.0\.0\.1:9/ws/worker"):
        await link.open(INTRODUCTION)
    with pytest.raises(LinkDown, match="not connected"):
        await link.listen(lambda _: None)


async def levels(settings: AgentSettings, folder: Path, **environ: str) -> dict[str, Check]:
    environ |= {"XDG_STATE_HOME": str(folder), "SPACES_WORKER_TOKEN": "t"}
    checks = await examine(settings, environ)
    return {check.name: check for check in checks}


def settings_for(gateway: str, folder: Path, **more: object) -> AgentSettings:
    token = folder / "token"
    token.write_text("t")
    facts = {"gateway": gateway, "space": ("demo",), "token_file": token}
    return AgentSettings.model_validate(facts | more)


async def test_doctor_sees_an_untrusted_certificate(secure: FakeGateway, tmp_path: Path) -> None:
    found = await levels(settings_for(secure.url, tmp_path), tmp_path)
    assert (found["tcp"].level, found["tls"].level) == ("ok", "fail")
    assert "--ca-file" in found["tls"].advice
    assert found["gateway"].level == "skip"
    assert found["token file"].level == "warn"


async def test_doctor_sees_a_certificate_that_ends_soon(
    secure: FakeGateway, certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    settings = settings_for(secure.url, tmp_path, ca_file=certificate[0])
    found = await levels(settings, tmp_path)
    assert (found["tls"].level, "ends in 2 days" in found["tls"].text) == ("warn", True)
    assert found["websocket"].level == "ok"


async def test_doctor_goes_through_the_proxy(
    gateway: FakeGateway, proxy: Proxy, tmp_path: Path
) -> None:
    settings = settings_for(gateway.url, tmp_path)
    found = await levels(settings, tmp_path, HTTP_PROXY=proxy.url)
    assert "secret" not in str(found)
    assert "through http://***@127.0.0.1" in found["proxy"].text
    assert found["websocket"].level == "ok"


async def test_doctor_names_what_is_wrong_on_the_way(tmp_path: Path) -> None:
    found = await levels(settings_for("http://no-such-host.invalid", tmp_path), tmp_path)
    assert found["dns"].level == "fail"
    found = await levels(settings_for("http://127.0.0.1:9", tmp_path), tmp_path)
    assert (found["dns"].level, found["tcp"].level) == ("ok", "fail")
    found = await levels(settings_for("gateway", tmp_path), tmp_path)
    assert found["gateway address"].level == "fail"
    broken = settings_for("http://127.0.0.1:9", tmp_path, spool_dir=tmp_path / "token" / "x")
    assert (await levels(broken, tmp_path))["spool"].level == "fail"
