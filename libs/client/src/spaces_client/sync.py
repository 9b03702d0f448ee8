"""The synchronous client: the asynchronous one on a private event loop in a thread of its own."""

import asyncio
import functools
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar

from spaces_client.client import AsyncSpaces
from spaces_client.errors import Unreachable
from spaces_client.resume import Event
from spaces_client.stream import Watch
from spaces_contracts.client_socket import After, SpaceFrame

P = ParamSpec("P")
T = TypeVar("T")


def _blocking(
    method: Callable[Concatenate[AsyncSpaces, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate["Spaces", P], T]:
    @functools.wraps(method)
    def call(self: "Spaces", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.wait_for(method(self.asynchronous, *args, **kwargs))

    return call


class Events(Generic[T]):
    """A stream that a `for` loop reads; close it, or use it with `with`, to stop early."""

    def __init__(self, spaces: "Spaces", watch: Watch[T]) -> None:
        self._spaces = spaces
        self._watch = watch

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        try:
            return self._spaces.wait_for(self._watch.__anext__())
        except StopAsyncIteration:
            raise StopIteration from None

    def close(self) -> None:
        """Stops watching. The request goes on."""
        self._spaces.wait_for(self._watch.aclose())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Spaces:
    """AsyncSpaces for code without an event loop: same methods, same arguments, same errors."""

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        ca_file: str | Path | None = None,
        timeout_s: float | None = None,
        retry_for_s: float = 20.0,
        reconnect_for_s: float = 300.0,
    ) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="spaces-client", daemon=True
        )
        self._thread.start()
        try:
            self.asynchronous = self.wait_for(
                _make(
                    url,
                    api_key,
                    ca_file=ca_file,
                    timeout_s=timeout_s,
                    retry_for_s=retry_for_s,
                    reconnect_for_s=reconnect_for_s,
                )
            )
        except BaseException:
            self._stop()
            raise

    def wait_for(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine on the client's loop. Ctrl-C cancels it there."""
        if self._loop.is_closed():
            work.close()
            raise Unreachable("The client was closed.", sent=False, code="closed")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except KeyboardInterrupt:
            future.cancel()
            raise

    def close(self) -> None:
        """Closes all connections and ends the thread. Requests go on."""
        if not self._loop.is_closed():
            self.wait_for(self.asynchronous.close())
            self._stop()

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    me = _blocking(AsyncSpaces.me)
    submit = _blocking(AsyncSpaces.submit)
    get = _blocking(AsyncSpaces.get)
    list = _blocking(AsyncSpaces.list)
    cancel = _blocking(AsyncSpaces.cancel)
    result = _blocking(AsyncSpaces.result)
    wait = _blocking(AsyncSpaces.wait)
    download = _blocking(AsyncSpaces.download)
    upload = _blocking(AsyncSpaces.upload)
    create_space = _blocking(AsyncSpaces.create_space)
    list_spaces = _blocking(AsyncSpaces.list_spaces)
    get_space = _blocking(AsyncSpaces.get_space)
    update_space = _blocking(AsyncSpaces.update_space)
    delete_space = _blocking(AsyncSpaces.delete_space)
    queue = _blocking(AsyncSpaces.queue)
    connections = _blocking(AsyncSpaces.connections)
    drain_connection = _blocking(AsyncSpaces.drain_connection)
    kick_connection = _blocking(AsyncSpaces.kick_connection)
    create_worker_token = _blocking(AsyncSpaces.create_worker_token)
    list_worker_tokens = _blocking(AsyncSpaces.list_worker_tokens)
    revoke_worker_token = _blocking(AsyncSpaces.revoke_worker_token)
    create_key = _blocking(AsyncSpaces.create_key)
    list_keys = _blocking(AsyncSpaces.list_keys)
    revoke_key = _blocking(AsyncSpaces.revoke_key)
    create_tenant = _blocking(AsyncSpaces.create_tenant)
    list_tenants = _blocking(AsyncSpaces.list_tenants)

    def stream(self, request_id: str, after: After | None = None) -> Events[Event]:
        """The request's events until it ends, across reconnects: no chunk missing, none twice, in order."""
        return Events(self, self.asynchronous.stream(request_id, after))

    def watch_space(self, space: str) -> Events[SpaceFrame]:
        """What changes in a space (workers, queue), across reconnects, without an end."""
        return Events(self, self.wait_for(self.asynchronous.watch_space(space)))


async def _make(url: str | None, api_key: str | None, **options: Any) -> AsyncSpaces:
    return AsyncSpaces(url, api_key, **options)
