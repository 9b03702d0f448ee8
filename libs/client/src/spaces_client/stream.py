"""What one reader of the client socket gets: a request's events from (attempt, n) on, or a space's changes."""

import asyncio
from typing import Any, Generic, Protocol, Self, TypeVar

from spaces_client.errors import SpacesError
from spaces_client.resume import Event, Reading
from spaces_contracts.client_socket import After, SpaceFrame, Subscribe, Unsubscribe

T = TypeVar("T")

# A reader that is further behind stops listening and asks again for the rest when it has caught up,
# so that it costs neither memory nor the other readers of the socket.
MAX_WAITING = 256


class Source(Protocol):
    """The socket, as a stream sees it."""

    async def listen(self, watch: "Watch[Any]") -> None:
        """Asks for what the watch does not have yet."""

    async def leave(self, watch: "Watch[Any]") -> None:
        """Asks for no more."""


class Watch(Generic[T]):
    """An async iterator of what the socket brings. Close it, or use it with `async with`."""

    def __init__(self, source: Source, ref: str, subject_id: str) -> None:
        self.ref = ref
        self.subject_id = subject_id
        self.tries = 0
        self.given = 0
        self.behind = False
        self.over = False
        self._source = source
        self._started = False
        self._waiting: asyncio.Queue[T | SpacesError | None] = asyncio.Queue()

    @property
    def full(self) -> bool:
        """Whether the reader is too far behind to be given more."""
        return self._waiting.qsize() >= MAX_WAITING

    def subscribe_frame(self) -> Subscribe:
        """What asks the gateway for the rest."""
        raise NotImplementedError

    def unsubscribe_frame(self) -> Unsubscribe:
        """What ends it."""
        raise NotImplementedError

    def take(self, frame: T) -> bool:
        """Hands on what is new in the frame; true when something is missing and must be asked for."""
        raise NotImplementedError

    def put(self, event: T) -> None:
        """Hands one event to the reader."""
        self.given += 1
        self._waiting.put_nowait(event)

    def end(self, error: SpacesError | None = None) -> None:
        """No more events: the reader gets what is waiting, then the error or the end."""
        if not self.over:
            self.over = True
            self._waiting.put_nowait(error)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        if self._waiting.empty() and not self.over and (self.behind or not self._started):
            self._started, self.behind = True, False
            await self._source.listen(self)
        item = await self._waiting.get()
        if item is None or isinstance(item, SpacesError):
            self._waiting.put_nowait(None)
            raise item or StopAsyncIteration
        return item

    async def aclose(self) -> None:
        """Stops watching. The request goes on."""
        await self._source.leave(self)
        self.end()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


class RequestStream(Watch[Event]):
    """The events of one request; ends after `finished`."""

    def __init__(
        self, source: Source, ref: str, request_id: str, after: After | None = None
    ) -> None:
        super().__init__(source, ref, request_id)
        self._reading = Reading(after)

    @property
    def after(self) -> After:
        """The last chunk received: a later stream that is given it goes on from there."""
        return self._reading.after

    def subscribe_frame(self) -> Subscribe:
        return Subscribe(ref=self.ref, request_id=self.subject_id, after=self._reading.after)

    def unsubscribe_frame(self) -> Unsubscribe:
        return Unsubscribe(request_id=self.subject_id)

    def take(self, frame: Event) -> bool:
        taken = self._reading.take(frame)
        for event in taken.events:
            self.put(event)
        if self._reading.finished:
            self.end()
        return taken.ask_again


class SpaceStream(Watch[SpaceFrame]):
    """What changes in one space, without an end."""

    def subscribe_frame(self) -> Subscribe:
        return Subscribe(ref=self.ref, space_id=self.subject_id)

    def unsubscribe_frame(self) -> Unsubscribe:
        return Unsubscribe(space_id=self.subject_id)

    def take(self, frame: SpaceFrame) -> bool:
        self.put(frame)
        return False
