"""What a client sends never makes the agent, or the upstream behind it, call another server."""

import asyncio
import base64
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from spaces_chassis import guarded_http
from spaces_worker_agent.sdk import Request
from spaces_worker_agent.upstream import (
    URL,
    URLS,
    Model,
    UpstreamAddressError,
    UpstreamError,
    check_url,
)
from tests.integration.worker_agent.openai_server import OpenAiServer, openai_server

PICTURE = b"\x89PNG of the test"


class Neighbour:
    """A server on the same network that no client is to reach."""

    def __init__(self) -> None:
        self.connections = 0
        self.head = b"Content-Type: image/png\r\n"
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        await reader.readuntil(b"\r\n\r\n")
        length = b"Content-Length: %d\r\n\r\n" % len(PICTURE)
        writer.write(b"HTTP/1.1 200 OK\r\n" + self.head + length + PICTURE)
        await writer.drain()
        writer.close()


@pytest.fixture
async def neighbour() -> AsyncIterator[Neighbour]:
    running = Neighbour()
    server = await asyncio.start_server(running.serve, "127.0.0.1", 0)
    running.port = server.sockets[0].getsockname()[1]
    yield running
    server.close()
    await server.wait_closed()


@pytest.fixture
def upstream() -> Iterator[OpenAiServer]:
    with openai_server() as server:
        yield server


def model(upstream: OpenAiServer, urls: str = "refuse") -> Model:
    return Model({URL: upstream.url, "SPACES_UPSTREAM_MODEL": "tiny", URLS: urls})


def picture(url: str, **parameters: Any) -> Request:
    part = {"type": "image_url", "image_url": {"url": url}}
    message = {"role": "user", "content": [{"type": "text", "text": "what is it?"}, part]}
    return Request(payload={"messages": [message], "parameters": {"stream": False} | parameters})


async def handled(served: Model, request: Request) -> None:
    """Runs a request to its end, streamed or whole."""
    if request.parameters["stream"]:
        async for _ in served.handle(request):
            continue
    else:
        await served.handle(request)


async def test_an_address_in_a_request_is_refused_and_nobody_is_asked(
    upstream: OpenAiServer, neighbour: Neighbour
) -> None:
    with pytest.raises(UpstreamError, match="this worker takes content: send a data: URL"):
        await model(upstream).handle(picture(f"http://127.0.0.1:{neighbour.port}/a.png"))
    assert (neighbour.connections, upstream.asked) == (0, [])


async def test_a_streamed_request_is_looked_at_too(upstream: OpenAiServer) -> None:
    request = picture("http://10.0.0.1/a.png", stream=True)
    with pytest.raises(UpstreamError, match="data: URL"):
        await handled(model(upstream), request)
    assert upstream.asked == []


async def test_content_is_passed_on(upstream: OpenAiServer) -> None:
    url = "data:image/png;base64,eA=="
    await model(upstream).handle(picture(url))
    assert upstream.asked[0]["messages"][0]["content"][1]["image_url"]["url"] == url


async def test_a_worker_that_fetches_reaches_the_public_internet_only(
    upstream: OpenAiServer, neighbour: Neighbour
) -> None:
    fetching = model(upstream, "fetch")
    for host in ("127.0.0.1", "localhost", "0.0.0.0", "[::1]", "2130706433", "127.1"):
        with pytest.raises(UpstreamError, match="is not fetched: "):
            await fetching.handle(picture(f"http://{host}:{neighbour.port}/a.png"))
    assert (neighbour.connections, upstream.asked) == (0, [])


async def test_what_was_fetched_stands_in_the_place_of_its_address(
    upstream: OpenAiServer, neighbour: Neighbour, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guarded_http, "check_address", lambda *_: None)  # here stands for there

    async def to_here(_host: str, _port: int) -> list[str]:
        return ["127.0.0.1"]

    monkeypatch.setattr(guarded_http, "_resolve", to_here)
    fetching = model(upstream, "fetch")
    await fetching.handle(picture(f"http://pictures.example:{neighbour.port}/a.png"))
    sent = upstream.asked[0]["messages"][0]["content"][1]["image_url"]["url"]
    assert sent == "data:image/png;base64," + base64.b64encode(PICTURE).decode()
    neighbour.head = b"Content-Type: text/html\r\n"
    with pytest.raises(UpstreamError, match="is no picture, sound or video"):
        await fetching.handle(picture(f"http://pictures.example:{neighbour.port}/a.png"))


@pytest.mark.parametrize("stream", [True, False])
async def test_a_redirect_of_the_upstream_is_not_followed(
    upstream: OpenAiServer, neighbour: Neighbour, stream: bool
) -> None:
    upstream.redirect = f"http://127.0.0.1:{neighbour.port}/latest/meta-data/"
    request = Request(payload={"prompt": "x", "parameters": {"stream": stream}})
    with pytest.raises(UpstreamError, match="HTTP 307"):
        await handled(model(upstream), request)
    assert neighbour.connections == 0


async def test_a_client_chooses_neither_the_model_nor_the_server(upstream: OpenAiServer) -> None:
    served = model(upstream)
    await served.handle(
        Request(payload={"prompt": "x", "parameters": {"stream": False, "model": "other"}})
    )
    assert upstream.asked[0]["model"] == "tiny"
    for name in ("api_base", "base_url", "endpoint"):
        parameters = {"stream": False, name: "http://10.0.0.1"}
        with pytest.raises(UpstreamError, match=f"/{name} is an address"):
            await served.handle(Request(payload={"prompt": "x", "parameters": parameters}))


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:11434", "http://localhost:11434/v1", "http://ollama:11434", "http://[::1]:8000",
     "http://10.1.2.3:8000/v1", "https://models.example.org/v1"],
)  # fmt: skip
def test_an_operators_own_host_and_network_are_upstreams(url: str) -> None:
    assert check_url(url).startswith(url)


@pytest.mark.parametrize(
    "url",
    ["http://169.254.169.254", "http://[fe80::1]", "file:///v1", "http://user@host", "http://127.1:8000",
     "http://host/v1?x=1", "http://host/v1#x", "host:11434"],
)  # fmt: skip
def test_other_addresses_are_no_upstreams(url: str) -> None:
    with pytest.raises(UpstreamAddressError):
        check_url(url)
