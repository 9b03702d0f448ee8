"""A running gateway with a healthy client and a healthy worker, beside whom others may break every rule."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from spaces_contracts.client_socket import Auth
from spaces_contracts.connections import AgentInfo
from spaces_contracts.frames import PROTOCOL
from spaces_contracts.identifiers import new_id
from spaces_contracts.worker_socket import Register, Resume
from tests.conformance.websocket.log_check import LogCheck
from tests.conformance.websocket.raw_socket import TEXT, WAIT_S, RawSocket, frame
from tests.support.platform import Platform, running_platform

_HANDLER = Path(__file__).parents[2] / "support/handlers/echo.py"
CLIENT, WORKER = "/ws", "/ws/worker"


@dataclass
class LiveGateway:
    """Its port, its log, its neighbours."""

    platform: Platform
    space_id: str
    hostile_token: str
    log: LogCheck
    port: int
    neighbour: ClientConnection
    _instance: str = field(default_factory=new_id)
    _pings: int = 0

    def opened(self, path: str) -> RawSocket:
        """A socket that has said nothing."""
        return RawSocket(self.port, path)

    def signed_in(self, path: str) -> RawSocket:
        """A socket whose first frame was accepted."""
        peer = self.opened(path)
        if path == CLIENT:
            first, wanted = Auth(token=self.platform.admin_key).encode(), "ready"
        else:
            first, wanted = self._register(), "registered"
        peer.send(frame(TEXT, first.encode()))
        opcode, payload = peer.next()
        assert opcode == TEXT, (opcode, payload)
        assert json.loads(payload)["type"] == wanted, payload
        return peer

    def assert_neighbours_are_well(self) -> None:
        """A client that was here before gets its answer, and the worker does its work."""
        self._pings += 1
        self.neighbour.send(json.dumps({"type": "ping", "id": self._pings}))
        pong = {"type": "pong", "id": self._pings}
        while json.loads(self.neighbour.recv(timeout=WAIT_S)) != pong:
            pass  # what else the gateway said comes before
        answer = httpx2.post(
            f"{self.platform.gateway_url}/api/spaces/{self.space_id}/requests?wait=20",
            json={"prompt": "still well"},
            headers={"Authorization": f"Bearer {self.platform.admin_key}"},
            trust_env=False,
            timeout=30,
        )
        assert answer.status_code == 200, answer.text
        assert answer.json()["output"]["echo"] == "still well"

    def _register(self) -> str:
        return Register(
            token=self.hostile_token,
            spaces=["hostile"],
            instance_id=self._instance,  # the same agent each time: it takes its own place over
            agent=AgentInfo(version="test"),
            resume=Resume(secret="secret of the test"),
        ).encode()


@contextmanager
def live_gateway() -> Iterator[LiveGateway]:
    """Real processes; the gateway's log from the moment that all is well."""
    with running_platform() as platform:
        space = platform.create_space("well")
        platform.create_space("hostile")
        platform.start_worker("well", spaces=["well"], handler=str(_HANDLER))
        token = platform.worker_token(["hostile"]).read_text().strip()
        log = LogCheck(platform.folder / "logs" / "gateway.log")
        port = urlsplit(platform.gateway_url).port or 0
        # A thread of its own answers the gateway's pings while a test is busy elsewhere.
        with connect(
            f"ws://127.0.0.1:{port}{CLIENT}",
            subprotocols=[Subprotocol(PROTOCOL)],
            compression=None,
            proxy=None,
            max_queue=None,
        ) as neighbour:
            neighbour.send(Auth(token=platform.admin_key).encode())
            gateway = LiveGateway(platform, space["space_id"], token, log, port, neighbour)
            gateway.assert_neighbours_are_well()
            yield gateway
