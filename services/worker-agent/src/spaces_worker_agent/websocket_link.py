"""The link through a gateway: one WebSocket that this host opens, so that it needs no public address."""

import asyncio
import contextlib
import json
import ssl
import time
from collections.abc import Callable, Sequence

import structlog
from websockets.asyncio.client import connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidMessage,
    InvalidProxy,
    InvalidStatus,
    InvalidUpgrade,
    NegotiationError,
    ProxyError,
)
from websockets.typing import Subprotocol

from spaces_contracts.frames import PROTOCOL, FrameError, Ping, Pong
from spaces_contracts.problems import Code, Problem
from spaces_contracts.worker_socket import (
    Bye,
    DrainRequest,
    InferenceRequest,
    Register,
    Resume,
    read_to_worker,
)
from spaces_worker_agent.addresses import without_password
from spaces_worker_agent.attempts import Outgoing, job_of
from spaces_worker_agent.exits import Exit, Leave
from spaces_worker_agent.frame_socket import FrameSocket
from spaces_worker_agent.link import Incoming, Introduction, LinkDown, LinkUnusable
from spaces_worker_agent.wire import encode

log = structlog.get_logger()

OPEN_S = 15.0
NO_SOCKS = "A SOCKS proxy needs two more libraries: pip install python-socks socksio."
# The gateway's frames have 1 MiB at most; more room here lets a newer gateway raise that.
MAX_FRAME_BYTES = 4 * 1_048_576


class WebSocketLink:
    """One socket that serves all spaces of the agent."""

    def __init__(
        self, url: str, *, trust: ssl.SSLContext | None = None, proxy: str | None = None
    ) -> None:
        self._url = url
        self._trust = trust if url.startswith("wss:") else None
        self._proxy = proxy
        self._socket: FrameSocket | None = None
        self._heard_at = time.monotonic()
        self._pings = 0

    async def open(self, introduction: Introduction) -> None:
        """Connects and sends `register`. Raises LinkDown or Leave."""
        await self.close()
        self._socket = await self._connect()
        self._heard_at = time.monotonic()
        if self._socket.subprotocol != PROTOCOL:
            await self.close()
            raise Leave.because(_other_protocol(f"The gateway does not speak {PROTOCOL}."))
        await self._say(
            Register(
                token=introduction.token,
                spaces=list(introduction.spaces),
                slots=introduction.slots,
                instance_id=introduction.instance_id,
                agent=introduction.agent,
                resume=Resume(secret=introduction.secret, in_flight=list(introduction.in_flight)),
                takeover=introduction.takeover,
            ).encode()
        )

    async def listen(self, hear: Callable[[Sequence[Incoming]], None]) -> None:
        """Pings are answered here. Frames of unknown types are skipped."""
        socket = self._open_socket()
        failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def heard(texts: list[bytes]) -> None:
            try:
                hear(self._read(socket, texts))
            # Whatever it is: it ends the connection, and whoever listens hears of it.
            except Exception as error:
                socket.ignore()
                failed.set_exception(error)

        listening = asyncio.ensure_future(socket.listen(heard))
        try:
            await asyncio.wait([listening, failed], return_when=asyncio.FIRST_COMPLETED)
            if failed.done():
                failed.result()
            await listening
        except ConnectionClosed as closed:
            raise _closed(closed) from None
        finally:
            socket.ignore()
            listening.cancel()

    def send(self, items: Sequence[Outgoing]) -> bool:
        return self._socket is None or self._socket.put(map(encode, items))

    async def room(self) -> None:
        await self._say()

    async def beat(self, running: int) -> None:
        self._pings += 1
        await self._say(Ping(id=self._pings).encode())

    def silent_s(self) -> float:
        return time.monotonic() - self._heard_at

    async def say_draining(self) -> None:
        await self._say(DrainRequest().encode())

    async def say_bye(self) -> None:
        await self._say(Bye().encode())

    async def close(self) -> None:
        """Says goodbye for a second at most, then cuts."""
        socket, self._socket = self._socket, None
        if socket is None:
            return
        with contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(1.0):
                await socket.close()
        socket.transport.abort()

    async def _connect(self) -> FrameSocket:
        try:
            return await dial(self._url, trust=self._trust, proxy=self._proxy)
        except ImportError as error:
            raise Leave(Exit.SETTINGS, f"{NO_SOCKS} ({error})") from None
        except (InvalidHandshake, OSError, TimeoutError, ValueError, EOFError) as error:
            raise self._why(error) from None

    def _why(self, error: Exception) -> Exception:
        """What went wrong while connecting, in words that help."""
        if isinstance(error, InvalidProxy | ProxyError):
            proxy = without_password(self._proxy or "")
            return LinkDown(f"the proxy {proxy} does not let us through: {error}")
        if isinstance(error, ssl.SSLCertVerificationError):
            text = f"The certificate of {self._url} is not trusted: {error.verify_message}."
            hint = "Give the certificate authority with --ca-file, or correct the host name."
            return LinkUnusable(f"{text} {hint}", Exit.TLS_FAILED)
        if isinstance(error, ssl.SSLError):
            text = f"{self._url} does not speak TLS ({error.reason}); is it http:// (ws://)?"
            return LinkUnusable(text, Exit.TLS_FAILED)
        if isinstance(error, InvalidStatus):
            return self._refused(error)
        if isinstance(error, NegotiationError):
            return Leave.because(_other_protocol(str(error)))
        if isinstance(error, InvalidMessage | InvalidUpgrade):
            return LinkUnusable(
                f"{self._url} does not answer like a gateway ({error}); check --gateway.",
                Exit.NOT_A_GATEWAY,
            )
        return LinkDown(f"cannot connect to {self._url}: {_text(error)}")

    def _refused(self, error: InvalidStatus) -> Exception:
        response = error.response
        problem = _problem_in(bytes(response.body))
        if problem is not None and problem.code in (
            Code.UNSUPPORTED_PROTOCOL,
            Code.ORIGIN_NOT_ALLOWED,
        ):
            return Leave.because(problem)
        status = response.status_code
        if (problem is None and status in (400, 404, 405, 426)) or 200 <= status < 400:
            return LinkUnusable(
                f"{self._url} answers with HTTP {status}: no gateway there; check --gateway.",
                Exit.NOT_A_GATEWAY,
            )
        detail = f": {problem.message or problem.code}" if problem else ""
        return LinkDown(f"the gateway answers with HTTP {status}{detail}")

    def _read(self, socket: FrameSocket, texts: list[bytes]) -> list[Incoming]:
        self._heard_at = time.monotonic()
        frames: list[Incoming] = []
        for text in texts:
            try:
                frame = read_to_worker(text)
            except FrameError as error:
                log.warning("frame_not_understood", problem=error.problem.message)
                continue
            if isinstance(frame, InferenceRequest):
                frames.append(job_of(frame, text))
            elif isinstance(frame, Ping):
                socket.put([Pong(id=frame.id).encode()])
            elif not isinstance(frame, Pong):
                frames.append(frame)
        return frames

    async def _say(self, *texts: str) -> None:
        try:
            await self._open_socket().send_frames(texts)
        except ConnectionClosed as closed:
            raise _closed(closed) from None

    def _open_socket(self) -> FrameSocket:
        if self._socket is None:
            raise LinkDown("not connected")
        return self._socket


async def dial(
    url: str, *, trust: ssl.SSLContext | None = None, proxy: str | None = None
) -> FrameSocket:
    """Opens a socket with the agent's settings, and says nothing yet. Raises what websockets raises."""
    socket = await connect(
        url,
        create_connection=FrameSocket,
        subprotocols=[Subprotocol(PROTOCOL)],
        ssl=trust,
        proxy=proxy,
        compression=None,  # small frames: it costs memory and time on both sides
        open_timeout=OPEN_S,
        ping_interval=None,  # the protocol's own pings tell more: they pass the gateway's queue
        max_size=MAX_FRAME_BYTES,
        user_agent_header="spaces-worker",
    )
    assert isinstance(socket, FrameSocket)
    return socket


def _closed(closed: ConnectionClosed) -> Exception:
    frame = closed.rcvd
    if frame is None:
        return LinkDown("the connection broke")
    try:
        code = Code(frame.reason.split(":")[0].strip())
    except ValueError:
        code = Code.UNSUPPORTED_PROTOCOL if frame.code == 4406 else Code.GOING_AWAY
    if code is Code.UNSUPPORTED_PROTOCOL:
        return Leave.because(_other_protocol(frame.reason))
    return LinkDown(f"the gateway closed the connection ({frame.code} {frame.reason})".rstrip())


def _other_protocol(message: str) -> Problem:
    return Problem(code=Code.UNSUPPORTED_PROTOCOL, message=message)


def _problem_in(body: bytes) -> Problem | None:
    try:
        document = json.loads(body)
        message = str(document.get("message") or document.get("detail") or "")
        return Problem(code=Code(document["code"]), message=message)
    except (ValueError, KeyError, AttributeError):
        return None


def _text(error: Exception) -> str:
    if isinstance(error, TimeoutError) and not str(error):
        return f"no answer within {OPEN_S:g} s"
    return str(error) or type(error).__name__
