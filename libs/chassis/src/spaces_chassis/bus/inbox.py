"""Where answers come in: one wildcard subscription a process, so asking costs no subscription."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count

import structlog

from spaces_chassis.bus.transport import STATUS_HEADER, Packet
from spaces_chassis.errors import BusTimeout, NoResponders
from spaces_contracts.subject import answers_under

InboxCallback = Callable[[str, bytes, bool], None]
log = structlog.get_logger(__name__)

_NO_RESPONDERS = "503"


class Answer:
    """One expected answer: where to send it, and the future that gets it."""

    __slots__ = ("address", "packet")

    def __init__(self, address: str, packet: "asyncio.Future[Packet]") -> None:
        self.address = address
        self.packet = packet


class Answers:
    """Several expected answers, until `done` says that one was the last."""

    __slots__ = ("address", "complete", "packets")

    def __init__(self, address: str, complete: "asyncio.Future[None]") -> None:
        self.address = address
        self.complete = complete
        self.packets: list[Packet] = []


class Inbox:
    """An address for answers to fire-and-forget messages."""

    def __init__(self, prefix: str, close: Callable[[], None]) -> None:
        self.prefix = prefix
        self._close = close

    def address(self, token: str) -> str:
        """Where to have the answer sent; the token comes back with it. It may hold dots."""
        return f"{self.prefix}.{token}"

    def close(self) -> None:
        """Answers that come later are dropped."""
        self._close()


class ReplyBox:
    """Gives each expected answer a token under one static prefix, and finds its waiter again.

    The token begins with what was asked: the broker's permissions say who may answer that.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.pattern = f"{prefix}.>"
        self._numbers = count(1)
        self._waiting: dict[str, Callable[[Packet], None]] = {}
        self._failing: dict[str, asyncio.Future[Packet] | asyncio.Future[None]] = {}
        self._inboxes: dict[str, InboxCallback] = {}

    def receive(self, packet: Packet) -> None:
        """Called for everything under the prefix."""
        token = packet.subject[len(self._prefix) + 1 :]
        waiter = self._waiting.get(token)
        if waiter is not None:
            waiter(packet)
            return
        box, _, rest = token.partition(".")
        callback = self._inboxes.get(box)
        if callback is None:
            return  # an answer that nobody waits for any more
        nobody = bool(packet.headers) and packet.headers.get(STATUS_HEADER) == _NO_RESPONDERS
        try:
            callback(rest, packet.body, nobody)
        except Exception:  # one bad answer must not stop the others of this process
            log.exception("inbox_callback_failed", token=rest)

    @contextmanager
    def expect(self, subject: str, timeout_s: float) -> Iterator[Answer]:
        """One answer. Its future fails with BusTimeout, NoResponders or BusUnavailable."""
        loop = asyncio.get_running_loop()
        token = f"{answers_under(subject)}.{next(self._numbers)}"
        future: asyncio.Future[Packet] = loop.create_future()

        def receive(packet: Packet) -> None:
            if future.done():
                return
            if packet.headers and packet.headers.get(STATUS_HEADER) == _NO_RESPONDERS:
                future.set_exception(NoResponders(f"nobody listens on {subject}"))
            else:
                future.set_result(packet)

        with self._waiter(token, receive, future, subject, timeout_s):
            yield Answer(f"{self._prefix}.{token}", future)

    @contextmanager
    def expect_many(self, subject: str, timeout_s: float) -> Iterator[Answers]:
        """Several answers, complete with the first that has a status (which is kept too)."""
        loop = asyncio.get_running_loop()
        token = f"{answers_under(subject)}.{next(self._numbers)}"
        complete: asyncio.Future[None] = loop.create_future()
        answers = Answers(f"{self._prefix}.{token}", complete)

        def receive(packet: Packet) -> None:
            if complete.done():
                return
            status = packet.headers.get(STATUS_HEADER) if packet.headers else None
            if status == _NO_RESPONDERS:
                complete.set_exception(NoResponders(f"nobody listens on {subject}"))
                return
            answers.packets.append(packet)
            if status is not None:
                complete.set_result(None)

        with self._waiter(token, receive, complete, subject, timeout_s):
            yield answers

    @contextmanager
    def _waiter(
        self,
        token: str,
        receive: Callable[[Packet], None],
        future: "asyncio.Future[Packet] | asyncio.Future[None]",
        subject: str,
        timeout_s: float,
    ) -> Iterator[None]:
        def late() -> None:
            if not future.done():
                future.set_exception(BusTimeout(f"no answer on {subject} within {timeout_s:g} s"))

        timer = asyncio.get_running_loop().call_later(timeout_s, late)
        self._waiting[token] = receive
        self._failing[token] = future
        try:
            yield
        finally:
            timer.cancel()
            del self._waiting[token], self._failing[token]
            if future.done() and not future.cancelled():
                future.exception()  # marks it as seen: the caller may have failed before it waited

    def inbox(self, callback: InboxCallback, name: str | None = None) -> Inbox:
        """A place for answers to fire-and-forget messages. Raises ValueError for a name that is taken."""
        box = name or f"i{next(self._numbers)}"
        if box in self._inboxes:
            raise ValueError(f"there is an inbox called {name!r} already")
        self._inboxes[box] = callback
        return Inbox(f"{self._prefix}.{box}", lambda: self._inboxes.pop(box, None) and None)

    def fail_all(self, error: Exception) -> None:
        """Everybody who waits gets the error."""
        for future in self._failing.values():
            if not future.done():
                future.set_exception(error)
