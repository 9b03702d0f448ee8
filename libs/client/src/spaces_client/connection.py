"""One connection of the client socket: opening it, signing in, and what its end means."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidStatus,
    WebSocketException,
)
from websockets.typing import Subprotocol

from spaces_client.endpoint import Endpoint
from spaces_client.errors import Refused, SpacesError, Unreachable
from spaces_client.http_api import unreachable
from spaces_contracts.client_socket import Auth, Ready, ToClient, read_to_client
from spaces_contracts.frames import PROTOCOL, ErrorFrame, FrameError, Ping, Pong
from spaces_contracts.problems import Code
from spaces_contracts.requests import MAX_FRAME_BYTES

_PING_S = 10.0
_READY_S = 10.0
_CODES = frozenset(code.value for code in Code)
# Closes that another try would only repeat: who you are, and the protocol's version.
_FINAL_CLOSES = {
    4401: Code.UNAUTHENTICATED,
    4403: Code.FORBIDDEN,
    4406: Code.UNSUPPORTED_PROTOCOL,
}


# At DEBUG the library logs every frame, and the first one holds the key: a general DEBUG must not turn that on.
_LOG = logging.getLogger("spaces_client.frames")
_LOG.setLevel(logging.INFO)


@asynccontextmanager
async def signed_in(endpoint: Endpoint) -> AsyncIterator[ClientConnection]:
    """A connection that may be used. Raises SpacesError, also for what breaks it inside the block."""
    url = endpoint.socket_url
    try:
        async with await _open(endpoint) as connection:
            await connection.send(Auth(token=endpoint.api_key).encode())
            async with asyncio.timeout(_READY_S):
                await _await_ready(connection)
            yield connection
    except InvalidStatus as error:
        raise _refused_handshake(url, error) from error
    except ConnectionClosed as error:
        raise _ended(url, error) from error
    except (OSError, InvalidHandshake) as error:
        raise unreachable(url, error) from error
    except WebSocketException as error:
        raise Unreachable(f"{url}: {error}.", sent=True) from error


async def _open(endpoint: Endpoint) -> ClientConnection:
    extra: dict[str, Any] = {}
    if endpoint.tls is not None:
        extra["ssl"] = endpoint.tls
    return await connect(
        endpoint.socket_url,
        subprotocols=[Subprotocol(PROTOCOL)],
        compression=None,
        max_size=2 * MAX_FRAME_BYTES,
        max_queue=64,
        open_timeout=endpoint.timeout_s,
        ping_interval=_PING_S,
        ping_timeout=_PING_S,
        close_timeout=2.0,
        user_agent_header="spaces-client",
        logger=_LOG,
        **extra,
    )


async def _await_ready(connection: ClientConnection) -> None:
    while True:
        frame = read(await connection.recv())
        if isinstance(frame, Ready):
            return
        if isinstance(frame, ErrorFrame):
            raise refused(frame)
        if isinstance(frame, Ping):
            await connection.send(Pong(id=frame.id).encode())


def read(text: str | bytes) -> ToClient | None:
    """A frame, or None for one that this version does not know."""
    try:
        return read_to_client(text)
    except FrameError:
        try:
            return read_to_client(_with_known_code(text))
        except (FrameError, ValueError):
            return None


def _with_known_code(text: str | bytes) -> str:
    # A newer gateway may say a code that is not in this version's table; the end of a request must still get through.
    frame = json.loads(text)
    if not isinstance(frame, dict):
        raise ValueError("not a frame")
    problem = frame if frame.get("type") == "error" else frame.get("error")
    if isinstance(problem, dict) and problem.get("code") not in _CODES:
        problem["facts"] = {**(problem.get("facts") or {}), "code": problem.get("code")}
        problem["code"] = Code.INTERNAL_ERROR.value
    return json.dumps(frame)


def refused(frame: ErrorFrame) -> Refused:
    """The error that a frame carries."""
    return Refused(
        str(frame.facts.get("code") or frame.code),
        frame.message,
        retry_after_s=frame.retry_after_s,
        facts=frame.facts,
    )


def _refused_handshake(url: str, error: InvalidStatus) -> SpacesError:
    response = error.response
    try:
        problem = json.loads(response.body or b"")
    except ValueError:
        problem = None
    if isinstance(problem, dict) and isinstance(problem.get("code"), str):
        return Refused(
            problem["code"],
            str(problem.get("detail") or problem.get("title") or ""),
            status=response.status_code,
        )
    answer = f"{response.status_code} {response.reason_phrase}".rstrip()
    if response.status_code >= 500:
        return Refused("http_error", f"{url} answered {answer}.", status=response.status_code)
    # A gateway lets every socket in and then says what is wrong, so this was somebody else.
    return Unreachable(f"{url} is no client socket: {answer}.", sent=True, code="no_socket")


def _ended(url: str, error: ConnectionClosed) -> SpacesError:
    close = error.rcvd
    if close is not None and close.code in _FINAL_CLOSES:
        code = close.reason if close.reason in _CODES else _FINAL_CLOSES[close.code]
        return Refused(str(code), "" if close.reason in _CODES else close.reason)
    return Unreachable(f"The connection to {url} broke: {error}.", sent=True)
