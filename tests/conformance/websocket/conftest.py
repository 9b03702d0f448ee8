"""Servers for conformance, and the report that all of it adds up to."""

import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from spaces_stack.child import Program
from spaces_stack.ports import free_ports, listens
from spaces_stack.supervisor import Supervisor
from tests.conformance.websocket.autobahn import LARGEST
from tests.conformance.websocket.echo_gateway import MAX_SIZE
from tests.conformance.websocket.live_gateway import LiveGateway, live_gateway
from tests.conformance.websocket.log_check import LogCheck

ROOT = Path(__file__).parents[3]
REPORT = ROOT / "build/reports/conformance.json"

Note = Callable[[str, dict[str, Any]], None]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--long", action="store_true", help="large messages, compression, 100,000 broken frames"
    )


@pytest.fixture(scope="session")
def long_form(request: pytest.FixtureRequest) -> bool:
    """Whether the long form was asked for. A folder's option is unknown when the folder was not named."""
    return bool(request.config.getoption("--long", default=False))


@pytest.fixture
def only_long(long_form: bool) -> None:
    """Skips a test that belongs to the long form."""
    if not long_form:
        pytest.skip("the long form: pytest tests/conformance/websocket --long")


@pytest.fixture(scope="session")
def note() -> Iterator[Note]:
    """`note(section, row)` puts a row into build/reports/conformance.json, in place of an earlier one."""
    rows: dict[str, dict[str, Any]] = {}

    def add(section: str, row: dict[str, Any]) -> None:
        rows[f"{section} {row.get('socket', '')} {row.get('form', '')}".strip()] = row

    yield add
    if rows:
        REPORT.parent.mkdir(parents=True, exist_ok=True)
        earlier = json.loads(REPORT.read_text()) if REPORT.exists() else {}
        REPORT.write_text(json.dumps(earlier | rows, indent=1), encoding="utf-8")


@dataclass(frozen=True)
class EchoServer:
    """The gateway's own server with an echo behind it."""

    port: int
    log: LogCheck

    def url(self, path: str) -> str:
        """The address of a socket."""
        return f"ws://127.0.0.1:{self.port}{path}"


@contextmanager
def echoing(**environ: str) -> Iterator[EchoServer]:
    """A process of its own, so that its log is all of its log."""
    with tempfile.TemporaryDirectory(prefix="spaces-test-") as folder:
        port = free_ports(1)[0]
        supervisor = Supervisor(Path(folder), restart=False)
        program = Program(
            name="echo",
            argv=(sys.executable, "-m", "tests.conformance.websocket.echo_gateway"),
            environ=os.environ | {"SPACES_GATEWAY_PORT": str(port)} | environ,
            ready=lambda pid: listens(pid, port),
            cwd=ROOT,
        )
        try:
            supervisor.start([program])
            yield EchoServer(port, LogCheck(Path(folder) / "echo.log"))
        finally:
            supervisor.stop_all()


@pytest.fixture(scope="session")
def echo_server() -> Iterator[EchoServer]:
    """With the product's bounds."""
    with echoing() as server:
        yield server


@pytest.fixture(scope="session")
def wide_echo_server(long_form: bool) -> Iterator[EchoServer]:
    """The same, but for messages of up to 16 MiB."""
    if not long_form:
        pytest.skip("the long form: pytest tests/conformance/websocket --long")
    with echoing(**{MAX_SIZE: str(LARGEST)}) as server:
        yield server


@pytest.fixture(scope="session")
def live() -> Iterator[LiveGateway]:
    """The real endpoints."""
    with live_gateway() as gateway:
        yield gateway
