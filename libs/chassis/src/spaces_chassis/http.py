"""Serves an ASGI application as a Part of the process (extra `http`)."""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any

import structlog
import uvicorn

log = structlog.get_logger(__name__)

Scope = MutableMapping[str, Any]
Event = MutableMapping[str, Any]
App = Callable[
    [Scope, Callable[[], Awaitable[Event]], Callable[[Event], Awaitable[None]]], Awaitable[None]
]


class HttpServer:
    """uvicorn under our lifecycle: it binds in start, and leaves signals and logs to us."""

    def __init__(
        self,
        app: App,
        *,
        host: str,
        port: int,
        name: str = "http",
        drain_s: int = 10,
        **uvicorn_options: Any,
    ) -> None:
        """`uvicorn_options` go to uvicorn.Config, such as ws, ws_max_size, limit_concurrency."""
        self.name = name
        self._host = host
        self._asked_port = port
        self.port = 0
        self._config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=drain_s,
            **uvicorn_options,
        )
        self._server = _Server(self._config)
        self._task: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where it answers, once started."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{'https' if self._config.is_ssl else 'http'}://{host}:{self.port}"

    async def start(self) -> None:
        """Returns when connections are taken. Raises OSError when the port is."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((self._host, self._asked_port))
        except OSError:
            listener.close()
            raise
        listener.setblocking(False)
        self.port = listener.getsockname()[1]
        self._task = asyncio.get_running_loop().create_task(
            self._server.serve(sockets=[listener]), name=self.name
        )
        self._task.add_done_callback(lambda _task: self._server.listening.set())
        await self._server.listening.wait()
        if self._task.done():
            listener.close()
            await self._task
        log.info("http_listening", part=self.name, url=self.url)

    async def drain(self) -> None:
        """Takes no new connection, and returns when the requests in flight are answered."""
        self._server.should_exit = True
        if self._task is not None:
            await asyncio.wait([self._task])

    async def stop(self) -> None:
        """Ends the connections that are left."""
        self._server.should_exit = True
        self._server.force_exit = True
        if self._task is not None:
            await asyncio.wait([self._task])

    def healthy(self) -> bool:
        """Whether it takes connections."""
        return self._task is not None and not self._task.done()

    async def died(self) -> BaseException:
        """Returns when the server ended without being asked."""
        assert self._task is not None, "start() first"
        await asyncio.wait([self._task])
        if self._server.should_exit:
            await asyncio.get_running_loop().create_future()
        error = None if self._task.cancelled() else self._task.exception()
        return error or RuntimeError("the HTTP server ended")


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The lifecycle handles signals for all parts."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.listening.set()
