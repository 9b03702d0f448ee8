"""Autobahn's cases against the server behind both sockets: none fails.

The echo stands behind the gateway's own server (echo_gateway says what that covers and what not).
"""

import pytest

from tests.conformance.websocket.autobahn import (
    COMPRESSION,
    COMPRESSION_COUNT,
    LONG,
    LONG_COUNT,
    SHORT,
    SHORT_COUNT,
    as_client,
    tally,
)
from tests.conformance.websocket.conftest import EchoServer, Note
from tests.conformance.websocket.echo_gateway import PATHS
from tests.conformance.websocket.log_check import MOST_BYTES
from tests.conformance.websocket.raw_socket import TEXT, RawSocket, frame


@pytest.mark.parametrize("path", PATHS)
async def test_no_case_fails(echo_server: EchoServer, path: str, note: Note) -> None:
    echo_server.log.restart()
    told = tally(await as_client(echo_server.url(path), SHORT))
    log = echo_server.log
    log_bytes = round(log.bytes_each(told.cases), 1)
    note("server", told.row(path) | {"tracebacks": len(log.problems()), "log_bytes": log_bytes})
    assert told.failed == []
    assert told.cases == SHORT_COUNT
    assert log.problems() == []
    assert log_bytes <= MOST_BYTES


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("only_long")
@pytest.mark.parametrize("path", PATHS)
async def test_no_case_of_large_messages_fails(
    wide_echo_server: EchoServer, path: str, note: Note
) -> None:
    wide_echo_server.log.restart()
    told = tally(await as_client(wide_echo_server.url(path), LONG, concurrency=1))
    problems = wide_echo_server.log.problems()
    note("server", told.row(path) | {"form": "9.*", "tracebacks": len(problems)})
    assert told.failed == []
    assert told.cases == LONG_COUNT
    assert problems == []


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # kosoku's open files
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("only_long")
@pytest.mark.parametrize("path", PATHS)
async def test_compression_is_declined_in_every_case(
    echo_server: EchoServer, path: str, note: Note
) -> None:
    echo_server.log.restart()
    told = tally(await as_client(echo_server.url(path), COMPRESSION))
    problems = echo_server.log.problems()
    note("server", told.row(path) | {"form": "12.* 13.*", "tracebacks": len(problems)})
    assert told.verdicts == {"unimplemented": COMPRESSION_COUNT}
    assert problems == []


@pytest.mark.parametrize("path", PATHS)
def test_the_bound_is_one_mebibyte(echo_server: EchoServer, path: str) -> None:
    peer = RawSocket(echo_server.port, path)
    peer.send(frame(TEXT, b"x" * 1_048_576))
    assert peer.next() == (TEXT, b"x" * 1_048_576)
    peer.send(frame(TEXT, b"x" * 1_048_577))
    assert peer.ended(by_server=True).close_code == 1009
