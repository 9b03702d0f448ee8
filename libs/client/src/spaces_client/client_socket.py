"""The client socket: one connection for all readers and submits, made again and resumed whenever it breaks."""

import asyncio
import contextlib
import itertools
import random
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from spaces_client.connection import read, refused, signed_in
from spaces_client.endpoint import Endpoint
from spaces_client.errors import Refused, SpacesError, Unreachable
from spaces_client.resume import Event
from spaces_client.retry import Patience, Repeat, next_delay
from spaces_client.stream import RequestStream, SpaceStream, Watch
from spaces_contracts.client_socket import (
    After,
    SpaceFrame,
    SubmitFrame,
    SubmittedFrame,
    ToClient,
    Unsubscribe,
)
from spaces_contracts.frames import ErrorFrame, Frame, GoAway, Ping, Pong
from spaces_contracts.problems import Code
from spaces_contracts.requests import MAX_FRAME_BYTES


@dataclass
class _Submit:
    frame: SubmitFrame
    answer: asyncio.Future[SubmittedFrame]
    tries: int = 0
    since: float = field(default_factory=lambda: asyncio.get_running_loop().time())


class ClientSocket:
    """Connects when first needed and comes back as long as anybody waits for something."""

    def __init__(self, endpoint: Endpoint, patience: Patience, reconnect_for_s: float) -> None:
        self._endpoint = endpoint
        self._first = patience
        self._again = Patience(reconnect_for_s, patience.first_s, patience.longest_s)
        self._refs = itertools.count(1)
        self._watches: dict[str, Watch[Any]] = {}
        self._by_subject: dict[str, list[Watch[Any]]] = {}
        self._submits: dict[str, _Submit] = {}
        self._spaces: dict[str, SpaceFrame] = {}  # what is known of watched spaces
        self._connection: ClientConnection | None = None
        self._wanted = asyncio.Event()
        self._runner: asyncio.Task[None] | None = None
        self._later: set[asyncio.Task[None]] = set()
        self._closed = False
        self._useful = False
        self.connects = 0

    # What callers ask for

    def request(self, request_id: str, after: After | None = None) -> RequestStream:
        """The events of a request, from the position on."""
        return RequestStream(self, self.new_ref(), request_id, after)

    def space(self, space_id: str) -> SpaceStream:
        """What changes in a space."""
        return SpaceStream(self, self.new_ref(), space_id)

    async def submit(self, frame: SubmitFrame) -> SubmittedFrame:
        """Submits once, however often the connection breaks: the frame carries an idempotency key."""
        self._start()
        # The gateway closes on a larger frame, and after each reconnect it would be sent again.
        if len(frame.encode().encode()) > MAX_FRAME_BYTES:
            raise Refused(Code.FRAME_TOO_LARGE.value)
        waiting = _Submit(frame, asyncio.get_running_loop().create_future())
        self._submits[frame.ref] = waiting
        self._wanted.set()
        try:
            await self._say(frame)
            return await waiting.answer
        finally:
            del self._submits[frame.ref]
            self._still_wanted()

    def new_ref(self) -> str:
        """A name for a frame that wants an answer."""
        return f"r{next(self._refs)}"

    async def close(self) -> None:
        """Ends the connection, every stream and every waiting submit."""
        self._closed = True
        tasks = [task for task in (self._runner, *self._later) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._fail_all(_closed())

    # The connection

    def _start(self) -> None:
        if self._closed:
            raise _closed()
        if self._runner is None or self._runner.done():
            self._runner = asyncio.create_task(self._run(), name="spaces-client-socket")

    def _still_wanted(self) -> None:
        if not self._watches and not self._submits:
            self._wanted.clear()

    async def _run(self) -> None:
        try:
            while True:
                await self._wanted.wait()
                await self._stay_connected()
        except Exception as error:
            # A mistake of ours: nobody may wait for ever because of it. It is raised for the log as well.
            self._fail_all(SpacesError("internal_error", f"The client failed: {error!r}."))
            raise

    async def _stay_connected(self) -> None:
        """Until nobody wants anything or patience is over, which is longer once a connection was up."""
        loop = asyncio.get_running_loop()
        tries, since = 0, loop.time()
        while self._wanted.is_set():
            connects = self.connects
            try:
                wait_s: float | None = await self._connect_and_read()
                error: SpacesError | None = None
            except SpacesError as caught:
                wait_s, error = None, caught
            if self.connects > connects:  # it was up: what counts is the time since it broke
                since = loop.time()
                # One that breaks before it brought anything is not helped by coming back faster.
                tries = 0 if self._useful else tries
            if error is not None:
                tries += 1
                patience = self._again if self.connects else self._first
                wait_s = self._delay(patience, error, tries, loop.time() - since)
            if wait_s is None:
                self._fail_all(error or _closed())
                return
            await asyncio.sleep(wait_s)

    async def _connect_and_read(self) -> float:
        """Lives as long as one connection. The answer is in how many seconds the gateway wants us back."""
        async with signed_in(self._endpoint) as connection:
            self.connects += 1
            self._useful = False
            self._connection = connection
            # Reading goes on while everything is asked for again: the gateway drops those who do not read.
            asking = asyncio.create_task(self._ask_for_all(connection))
            try:
                async for text in connection:
                    frame = read(text)
                    if isinstance(frame, GoAway):
                        return frame.reconnect_after_s
                    if frame is not None:
                        await self._take(frame)
            finally:
                self._connection = None
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)
        raise Unreachable(f"{self._endpoint.socket_url} closed the connection.", sent=True)

    async def _ask_for_all(self, connection: ClientConnection) -> None:
        for watch in [watch for watch in self._watches.values() if not watch.behind]:
            await connection.send(watch.subscribe_frame().encode())
        for waiting in list(self._submits.values()):
            await connection.send(waiting.frame.encode())

    async def _say(self, frame: Frame) -> None:
        # What does not get out now is said after the next connect.
        if self._connection is not None:
            with contextlib.suppress(ConnectionClosed):
                await self._connection.send(frame.encode())

    # What comes in

    async def _take(self, frame: ToClient) -> None:
        if isinstance(frame, Event):
            await self._deliver(frame.request_id, frame)
        elif isinstance(frame, SpaceFrame):
            known = self._spaces.get(frame.space_id, frame)
            self._spaces[frame.space_id] = known.model_copy(
                update=frame.model_dump(exclude_none=True)
            )
            await self._deliver(frame.space_id, frame)
        elif isinstance(frame, SubmittedFrame):
            await self._take_submitted(frame)
        elif isinstance(frame, ErrorFrame):
            self._take_error(frame)
        elif isinstance(frame, Ping):
            await self._say(Pong(id=frame.id))

    async def _take_submitted(self, frame: SubmittedFrame) -> None:
        waiting = self._submits.get(frame.ref)
        if waiting is not None and not waiting.answer.done():
            self._useful = True
            waiting.answer.set_result(frame)
        # A submit also subscribes, which counts against the socket's limit; whoever wants events asks for them.
        if frame.request_id not in self._by_subject:
            await self._say(Unsubscribe(request_id=frame.request_id))

    async def _deliver(self, subject_id: str, frame: Event | SpaceFrame) -> None:
        for watch in list(self._by_subject.get(subject_id, ())):
            if watch.full:
                watch.behind = True
                if not self._others_listen(watch):
                    await self._say(watch.unsubscribe_frame())
            if watch.behind:
                continue
            watch.tries = 0
            before = watch.given
            if watch.take(frame):
                await self._say(watch.subscribe_frame())
            self._useful = self._useful or watch.given > before
            if watch.over:
                self._forget(watch)

    def _take_error(self, frame: ErrorFrame) -> None:
        error = refused(frame)
        waiting = self._submits.get(frame.ref or "")
        if waiting is not None and not waiting.answer.done():
            waiting.tries += 1
            elapsed_s = asyncio.get_running_loop().time() - waiting.since
            delay = self._delay(self._first, error, waiting.tries, elapsed_s)
            if delay is None:
                waiting.answer.set_exception(error)
            else:
                self._soon(self._submit_again(delay, waiting))
            return
        named = self._watches.get(frame.ref or "")
        watches = [named] if named else list(self._by_subject.get(frame.request_id or "", ()))
        for watch in watches:
            watch.tries += 1
            delay = self._delay(self._again, error, watch.tries, 0.0)
            if delay is None:
                watch.end(error)
                self._forget(watch)
            else:
                self._soon(self._listen_again(delay, watch))

    def _delay(
        self, patience: Patience, error: SpacesError, tries: int, elapsed_s: float
    ) -> float | None:
        chance = random.random()
        return next_delay(
            patience, error, Repeat.HARMLESS, tries=tries, elapsed_s=elapsed_s, chance=chance
        )

    def _soon(self, saying: Any) -> None:
        task = asyncio.create_task(saying)
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    async def _submit_again(self, delay_s: float, waiting: _Submit) -> None:
        await asyncio.sleep(delay_s)
        if not waiting.answer.done():
            await self._say(waiting.frame)

    async def _listen_again(self, delay_s: float, watch: Watch[Any]) -> None:
        await asyncio.sleep(delay_s)
        if watch.ref in self._watches and not watch.behind:
            await self._say(watch.subscribe_frame())

    # Who listens (stream.Source)

    async def listen(self, watch: Watch[Any]) -> None:
        """Asks for what the watch does not have yet, now and after every reconnect."""
        self._start()
        if watch.ref not in self._watches:
            self._watches[watch.ref] = watch
            self._by_subject.setdefault(watch.subject_id, []).append(watch)
            self._wanted.set()
        known = self._spaces.get(watch.subject_id)
        if known is not None:  # the gateway tells the whole only to a socket's first watcher
            watch.put(known)
        await self._say(watch.subscribe_frame())

    async def leave(self, watch: Watch[Any]) -> None:
        """Asks for no more."""
        if self._forget(watch) and not self._others_listen(watch):
            await self._say(watch.unsubscribe_frame())

    def _others_listen(self, watch: Watch[Any]) -> bool:
        same = self._by_subject.get(watch.subject_id, ())
        return any(other is not watch and not other.behind for other in same)

    def _forget(self, watch: Watch[Any]) -> bool:
        if self._watches.pop(watch.ref, None) is None:
            return False
        same = self._by_subject[watch.subject_id]
        same.remove(watch)
        if not same:
            del self._by_subject[watch.subject_id]
            self._spaces.pop(watch.subject_id, None)
        self._still_wanted()
        return True

    def _fail_all(self, error: SpacesError) -> None:
        for watch in list(self._watches.values()):
            watch.end(error)
            self._forget(watch)
        for waiting in self._submits.values():
            if not waiting.answer.done():
                waiting.answer.set_exception(error)
        if not self._watches:
            self._wanted.clear()


def _closed() -> SpacesError:
    return Unreachable("The client was closed.", sent=False, code="closed")
