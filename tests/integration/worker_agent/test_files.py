"""Files: fetched when the handler looks, verified, given back, and gone afterwards; over real HTTP."""

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from spaces_contracts.identifiers import new_id
from spaces_worker_agent.addresses import socket_url
from spaces_worker_agent.websocket_link import WebSocketLink
from tests.support.agents import StartAgent, agents
from tests.support.eventually import eventually
from tests.support.fake_gateway import FakeGateway, fake_gateway


class FileServer(ThreadingHTTPServer):
    """The file part of a gateway; fails as often as it is told."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content = b"content of the file"
        self.uploads: list[tuple[str, str, bytes]] = []
        self.asked = 0
        self.failures: list[int] = []
        self.callers: list[tuple[str, str, str]] = []
        self.redirect: str | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def ref(self, **more: Any) -> dict[str, Any]:
        facts = {"file_id": new_id(), "name": "../in put.TXT", "kind": "file"}
        digest = hashlib.sha256(b"content of the file").hexdigest()
        facts |= {"media_type": "text/plain", "sha256": digest, "url": "/files/x?sig=secret"}
        return facts | {"size_bytes": 19} | more


class _Handler(BaseHTTPRequestHandler):
    server: FileServer

    def do_GET(self) -> None:
        self.server.asked += 1
        self._answer(self.server.content)

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        name = unquote(self.headers["X-File-Name"])
        self.server.uploads.append((name, self.headers["Content-Type"], body))
        ref = self.server.ref(name=name, sha256=hashlib.sha256(body).hexdigest())
        self._answer(json.dumps(ref).encode())

    def _answer(self, body: bytes) -> None:
        said = ("Authorization", "Spaces-Instance", "Spaces-Attempt")
        self.server.callers.append(tuple(self.headers.get(name, "") for name in said))  # type: ignore[arg-type]  # three
        status = self.server.failures.pop(0) if self.server.failures else 200
        if self.server.redirect is not None:
            status = 307
        self.send_response(status)
        if self.server.redirect is not None:
            self.send_header("Location", self.server.redirect)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@pytest.fixture
def files() -> Iterator[FileServer]:
    server = FileServer()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
async def gateway() -> Any:
    async with fake_gateway() as running:
        yield running


@pytest.fixture
async def start_agent(gateway: FakeGateway, files: FileServer, tmp_path: Path) -> Any:
    url = socket_url(gateway.url)
    async with agents(lambda: WebSocketLink(url), files.url, tmp_path) as start:
        yield start


async def given_back(gateway: FakeGateway, job: dict[str, Any]) -> dict[str, Any]:
    visit = await gateway.admitted()
    await visit.job(upload_url="/api/results/x/files?sig=s", **job)
    return await visit.result()


async def test_a_file_goes_in_and_another_comes_out(
    gateway: FakeGateway, start_agent: StartAgent, files: FileServer
) -> None:
    await start_agent("with_files")
    result = await given_back(gateway, {"files": [files.ref()]})
    assert result["status"] == "succeeded", result
    assert files.uploads == [("copy.txt", "text/plain", b"content of the file copied")]
    (ref,) = result["output_files"]
    assert ref["name"] == "copy.txt"
    place = Path(result["output"]["place"])
    assert (place.name, result["output"]["suffix"]) == ("in put.TXT", ".TXT")
    assert set(result["output"]) == {"place", "suffix"}
    await eventually(lambda: not place.parents[2].exists())


async def test_a_file_that_nobody_looks_at_is_not_fetched(
    gateway: FakeGateway, start_agent: StartAgent, files: FileServer
) -> None:
    await start_agent("handler")
    await given_back(gateway, {"files": [files.ref()]})
    assert files.asked == 0


async def test_a_gateway_that_fails_for_a_moment_is_asked_again(
    gateway: FakeGateway, start_agent: StartAgent, files: FileServer
) -> None:
    files.failures = [503]
    await start_agent("with_files")
    result = await given_back(gateway, {"files": [files.ref()]})
    assert (result["status"], files.asked) == ("succeeded", 2)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda files: setattr(files, "content", b"changed"), "arrived damaged: 7 of 19 bytes"),
        (lambda files: files.failures.append(403), "could not be fetched: HTTP 403"),
    ],
)
async def test_a_file_that_cannot_be_had_fails_the_request(
    gateway: FakeGateway,
    start_agent: StartAgent,
    files: FileServer,
    spoil: Callable[[FileServer], None],
    words: str,
) -> None:
    spoil(files)
    await start_agent("with_files")
    result = await given_back(gateway, {"files": [files.ref()]})
    assert result["error"]["code"] == "handler_failed"
    assert words in result["error"]["message"]
    assert "secret" not in result["error"]["message"]


async def test_an_upload_that_is_refused_fails_the_request(
    gateway: FakeGateway, start_agent: StartAgent, files: FileServer
) -> None:
    files.failures = [200, 413]
    await start_agent("with_files")
    result = await given_back(gateway, {"files": [files.ref()]})
    assert result["error"]["code"] == "handler_failed"
    assert "copy.txt was refused by the gateway: HTTP 413" in result["error"]["message"]


async def test_a_list_of_files_that_fills_a_frame_fails_the_request(
    gateway: FakeGateway, start_agent: StartAgent, files: FileServer
) -> None:
    await start_agent("many_files")
    result = await given_back(gateway, {})
    assert result["error"]["code"] == "output_too_large"
    assert "the list of its 40 files" in result["error"]["message"]


async def test_a_file_that_does_not_exist_is_told(
    gateway: FakeGateway, start_agent: StartAgent, files: FileServer
) -> None:
    await start_agent("missing_output")
    result = await given_back(gateway, {})
    assert result["error"]["message"] == "FileNotFoundError: output file 'none.txt' does not exist"


async def test_a_cancel_ends_a_fetch(
    gateway: FakeGateway, start_agent: StartAgent, files: FileServer
) -> None:
    files.failures = [503] * 100
    agent = await start_agent("with_files", grace_s=30)
    visit = await gateway.admitted()
    pids = agent.engine.pool.pids
    rid = await visit.job(files=[files.ref()])
    await eventually(lambda: files.asked)
    await visit.cancel(rid)
    assert (await visit.result())["status"] == "cancelled"
    assert agent.engine.pool.pids == pids


async def test_each_call_says_whose_it_is(
    gateway: FakeGateway, start_agent: StartAgent, files: FileServer
) -> None:
    agent = await start_agent("with_files")
    await given_back(gateway, {"files": [files.ref()]})
    instance = agent.engine.spool.identity.instance_id
    assert files.callers == [("Bearer token-of-the-test", instance, "1")] * 2


@pytest.mark.parametrize(
    "address",
    [
        "{elsewhere}/files/x?sig=s",
        "//{host}/files/x",
        "/\\{host}/files/x",
        "\\\\{host}/files/x",
        "///{host}/files/x",
        "/../files/x",
        "file:///etc/passwd",
        "{elsewhere}",
        "@{host}/files/x",
        "/files/\tx",
    ],
)
async def test_an_address_that_leads_elsewhere_is_not_asked(
    gateway: FakeGateway, start_agent: StartAgent, files: FileServer, address: str
) -> None:
    elsewhere = FileServer()
    thread = threading.Thread(target=elsewhere.serve_forever, daemon=True)
    thread.start()
    url = address.format(elsewhere=elsewhere.url, host=elsewhere.url.removeprefix("http://"))
    try:
        await start_agent("with_files")
        result = await given_back(gateway, {"files": [files.ref(url=url)]})
    finally:
        elsewhere.shutdown()
        elsewhere.server_close()
        thread.join()
    assert "does not lie on the gateway" in result["error"]["message"]
    assert (elsewhere.asked, files.asked) == (0, 0)


async def test_a_redirect_is_not_followed(
    gateway: FakeGateway, start_agent: StartAgent, files: FileServer
) -> None:
    files.redirect = "/files/elsewhere"
    await start_agent("with_files")
    result = await given_back(gateway, {"files": [files.ref()]})
    assert "could not be fetched: HTTP 307" in result["error"]["message"]
    assert files.asked == 1


async def test_a_file_that_grows_beyond_what_its_request_says_is_cut_off(
    gateway: FakeGateway, start_agent: StartAgent, files: FileServer
) -> None:
    files.content = bytes(1_000_000)
    await start_agent("with_files")
    result = await given_back(gateway, {"files": [files.ref()]})
    assert "is larger than its request says" in result["error"]["message"]
