"""The bus over NATS. The one module that imports nats, so that its sharp edges are dulled in one place.

Known edges of nats-py 2.16 and what is done about them here:
- `flush()` writes its PING ahead of buffered commands: `barrier()` first gives the flusher a turn.
- Callbacks that raise end the read loop or the reconnecting: ours cannot.
- Publishes made in an outage are kept and delivered late: `pending_size=-1` refuses them, and what was
  buffered at the moment of the cut is thrown away.
- Most `-ERR`s close the connection for good: `closed_cb` reports it, and the process ends and is restarted.
- A server that offers no TLS is spoken to in the clear, password included: `_Client` refuses it.
- After a refused TLS handshake the client waits for ever: `_Client` forgets that connection.
- Leaving a frozen server waits for unsent bytes to be taken: `_Client` drops the socket instead.
"""

import asyncio
import contextlib
import inspect
import random
import ssl
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription as NatsSubscription

from spaces_chassis.bus.transport import NO_HEADERS, Packet, Receive, Watcher
from spaces_chassis.errors import BusUnavailable
from spaces_chassis.settings import BusSettings

# A dead peer is noticed within ping_interval * (max_outstanding_pings + 1) seconds.
_PING_INTERVAL_S = 5
_MAX_OUTSTANDING_PINGS = 2
_CONNECT_TIMEOUT_S = 2
_CLOSE_S = 1.0


class NatsTransport:
    """One connection to NATS that reconnects for ever."""

    def __init__(self, settings: BusSettings, *, name: str, inbox_prefix: str) -> None:
        self._settings = settings
        self._name = name
        self._inbox_prefix = inbox_prefix
        self._client = _Client(wants_tls=_wants_tls(settings))
        self._watcher: Watcher | None = None

    @property
    def connected(self) -> bool:
        return self._client.is_connected

    @property
    def unsent_bytes(self) -> int:
        return self._client.pending_data_size + self._client.unwritten_bytes

    async def connect(self, watcher: Watcher) -> None:
        """Tries until a server takes us; each refusal goes to the watcher."""
        self._watcher = watcher
        settings = self._settings
        await self._connect(settings)
        if not self._client.is_connected:  # it can return so when authentication timed out
            raise BusUnavailable("connected to no NATS server")
        watcher.on_connected()

    async def _connect(self, settings: BusSettings) -> None:
        await self._client.connect(
            servers=[url.strip() for url in settings.nats_url.split(",")],
            name=self._name,
            user=settings.nats_user,
            password=_plain(settings.nats_password),
            token=_plain(settings.nats_token),
            tls=_tls(settings),
            inbox_prefix=self._inbox_prefix,
            error_cb=self._on_error,
            disconnected_cb=self._on_disconnected,
            reconnected_cb=self._on_reconnected,
            closed_cb=self._on_closed,
            max_reconnect_attempts=-1,
            # Spread, so that a restarted server does not meet everybody in the same instant.
            reconnect_time_wait=0.1 + 0.3 * random.random(),  # type: ignore[arg-type]  # floats work
            connect_timeout=_CONNECT_TIMEOUT_S,
            ping_interval=_PING_INTERVAL_S,
            max_outstanding_pings=_MAX_OUTSTANDING_PINGS,
            pending_size=-1,
            skip_subject_validation=True,  # ours are made by contracts, which check them
        )

    def publish(
        self, subject: str, body: bytes, reply_to: str | None, headers: Mapping[str, str] | None
    ) -> None:
        """Appends to the client's buffer, which its flusher task writes in one go."""
        try:
            _without_waiting(
                self._client.publish(
                    subject, body, reply_to or "", dict(headers) if headers else None
                )
            )
        except (nats.errors.OutboundBufferLimitError, nats.errors.ConnectionClosedError) as error:
            raise BusUnavailable("the bus is not connected") from error
        except nats.errors.ConnectionDrainingError as error:
            raise BusUnavailable("the bus is stopping") from error

    def server_info(self) -> Mapping[str, Any]:
        return dict(self._client._server_info or {})

    async def subscribe(self, subject: str, queue: str | None, receive: Receive) -> "NatsHandle":
        try:
            subscription = await self._client.subscribe(subject, queue or "", cb=_waiting(receive))
        except (nats.errors.ConnectionClosedError, nats.errors.ConnectionDrainingError) as error:
            raise BusUnavailable("the bus is closed") from error
        if not inspect.iscoroutinefunction(receive):
            # Before the server can answer: SUB is not even written yet.
            self._client.receivers[subscription._id] = receive
        return NatsHandle(self, subscription)

    async def barrier(self, timeout_s: float) -> None:
        if not self._client.is_connected:
            raise BusUnavailable("the bus is not connected")
        # The flusher task must write what is buffered before flush() writes its PING past it.
        await asyncio.sleep(0)
        try:
            await self._client.flush(timeout_s)  # type: ignore[arg-type]  # floats work
        except (nats.errors.Error, OSError) as error:
            raise BusUnavailable(f"the NATS server did not answer: {error}") from error

    async def close(self) -> None:
        if self._client.is_connected:
            with contextlib.suppress(BusUnavailable):
                await self.barrier(_CLOSE_S)
        if self._client.is_closed or self._watcher is None:
            return
        try:
            async with asyncio.timeout(_CLOSE_S):
                await self._client.close()
        except TimeoutError:  # a frozen server: nothing more can be sent
            self._client.drop()

    async def _on_error(self, error: Exception) -> None:
        if self._watcher is not None:
            self._watcher.on_error(error)

    async def _on_disconnected(self) -> None:
        # Written by nobody yet, and stale once a server is back. Subscriptions are kept elsewhere.
        self._client._pending = []
        self._client._pending_data_size = 0
        if self._watcher is not None:
            self._watcher.on_disconnected()

    async def _on_reconnected(self) -> None:
        if self._watcher is not None:
            self._watcher.on_connected()

    async def _on_closed(self) -> None:
        if self._watcher is not None:
            self._watcher.on_closed(str(self._client.last_error or "closed"))


class _Client(Client):
    """nats-py's client with two of its edges dulled from the inside; there is no hook outside."""

    def __init__(self, *, wants_tls: bool) -> None:
        super().__init__()
        self._wants_tls = wants_tls
        self.receivers: dict[int, Receive] = {}  # by subscription

    @property
    def unwritten_bytes(self) -> int:
        """What the flusher handed to the event loop and the kernel did not take yet."""
        writer = self._writer
        return 0 if writer is None else writer.transport.get_write_buffer_size()

    def drop(self) -> None:
        """Closes the socket without waiting for unsent bytes."""
        writer = self._writer
        if writer is not None:
            writer.transport.abort()

    @property
    def _writer(self) -> asyncio.StreamWriter | None:
        return getattr(self._transport, "_io_writer", None)

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        # Called before CONNECT, which carries the password.
        if initial_connection and self._wants_tls and not info.get("tls_required"):
            raise nats.errors.Error("nats: the server offers no TLS, and TLS was asked for")
        await super()._process_info(info, initial_connection)

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes
    ) -> None:
        # The queue and the task that nats-py puts before each callback cost more than most of ours do.
        receive = self.receivers.get(sid)
        if receive is None or sid not in self._subs:
            await super()._process_msg(sid, subject, reply, data, headers)
            return
        parsed = await self._process_headers(headers) if headers else None
        receive(Packet(subject.decode(), reply.decode() or None, data, parsed or NO_HEADERS))

    def _remove_sub(self, sid: int, max_msgs: int = 0) -> None:
        self.receivers.pop(sid, None)
        super()._remove_sub(sid, max_msgs)

    async def _close(self, status: int, do_cbs: bool = True) -> None:
        if status == Client.DISCONNECTED and self._writer is not None:
            # An attempt to connect failed. Waiting for the end of a refused TLS handshake would never end.
            self.drop()
            self._transport = None
        await super()._close(status, do_cbs)

    async def _process_op_err(self, e: Exception) -> None:
        self.drop()
        await super()._process_op_err(e)


class NatsHandle:
    """One subscription."""

    def __init__(self, transport: NatsTransport, subscription: NatsSubscription) -> None:
        self._transport = transport
        self._subscription = subscription

    async def stop(self) -> None:
        with contextlib.suppress(nats.errors.Error):  # closed before us: nothing is left to end
            await self._subscription.unsubscribe()

    async def drain(self) -> None:
        if not self._transport.connected:
            await self.stop()
            return
        with contextlib.suppress(nats.errors.Error):
            # nats-py left this one function without types.
            await self._subscription.drain()  # type: ignore[no-untyped-call]  # nats-py's own lack


def _waiting(receive: Receive) -> Callable[[Msg], Awaitable[None]]:
    """nats-py's callback for handlers that may wait; those that do not are called without it."""

    async def callback(message: Msg) -> None:
        result = receive(
            Packet(
                message.subject,
                message.reply or None,
                message.data,
                message.headers or NO_HEADERS,
            )
        )
        if result is not None:
            await result

    return callback


def _without_waiting(coroutine: Coroutine[Any, Any, None]) -> None:
    """Runs a coroutine that never waits, as nats-py's publish with an unbounded buffer."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    coroutine.close()
    raise RuntimeError("publish waited: nats-py changed, see NatsTransport.publish")


def _plain(secret: Any) -> str | None:
    return None if secret is None else str(secret.get_secret_value())


def _wants_tls(settings: BusSettings) -> bool:
    named = settings.nats_ca_file is not None or settings.nats_cert_file is not None
    return named or any(url.strip().startswith("tls://") for url in settings.nats_url.split(","))


def _tls(settings: BusSettings) -> ssl.SSLContext | None:
    if not _wants_tls(settings):
        return None
    context = ssl.create_default_context(cafile=settings.nats_ca_file)
    if settings.nats_cert_file is not None:
        context.load_cert_chain(settings.nats_cert_file, settings.nats_key_file)
    return context
