"""Routes: which message goes to which handler. A service lists them in its subscriptions.py."""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, TypeVar

from spaces_chassis.bus.replies import encode_reply
from spaces_chassis.bus.transport import DEADLINE_HEADER, Packet
from spaces_chassis.errors import ProblemError
from spaces_contracts.message import Command, Message, Reply
from spaces_contracts.problems import Code, Problem
from spaces_contracts.subject import Subject

M = TypeVar("M", bound=Message)
C = TypeVar("C", bound=Command[Any])
R = TypeVar("R", bound=Reply)


class Replier(Protocol):
    """The part of the bus a delivery needs."""

    def publish_bytes(self, subject: str, body: bytes) -> None: ...

    def unix_ms(self) -> int: ...


class Delivery:
    """One message as it arrived: its subject, headers and bytes, and the way back."""

    __slots__ = (
        "_bus",
        "_fields",
        "_template",
        "body",
        "deadline_ms",
        "headers",
        "reply_to",
        "subject",
    )

    def __init__(self, packet: Packet, template: Subject | None, bus: Replier) -> None:
        self.subject, self.reply_to, self.body, self.headers = packet
        self._template = template
        self._bus = bus
        self._fields: dict[str, str] | None = None
        stamp = self.headers.get(DEADLINE_HEADER) if self.headers else None
        # Unix time in ms after which the sender no longer waits; None when it did not say.
        self.deadline_ms: int | None = int(stamp) if stamp and stamp.isdigit() else None

    @property
    def fields(self) -> dict[str, str]:
        """What the subject says, by the names in the message's subject template."""
        if self._fields is None:
            self._fields = self._template.parse(self.subject) if self._template else {}
        return self._fields

    @property
    def expired(self) -> bool:
        """Whether the sender has stopped waiting."""
        return self.deadline_ms is not None and self._bus.unix_ms() >= self.deadline_ms

    def remaining_s(self) -> float | None:
        """Seconds the sender still waits (not below 0); None when it did not say."""
        if self.deadline_ms is None:
            return None
        return max(0.0, (self.deadline_ms - self._bus.unix_ms()) / 1000)

    def decode(self, message_type: type[M]) -> M:
        """Reads the body as that message. Raises ProblemError `invalid_request`."""
        try:
            return message_type.decode(self.body, self.subject)
        except ValueError as error:  # pydantic's ValidationError and SubjectError are ValueErrors
            text = f"{message_type.__name__} does not fit its schema: {error}"
            raise ProblemError.of(Code.INVALID_REQUEST, text) from error

    def reply_now(self, answer: Reply | Problem) -> None:
        """Answers without waiting; does nothing when no answer was asked for.

        Raises BusUnavailable while disconnected: who asked has been told so by its own side.
        """
        if self.reply_to:
            self._bus.publish_bytes(self.reply_to, encode_reply(answer))

    async def reply(self, answer: Reply | Problem) -> None:
        """Answers; does nothing when no answer was asked for. Raises BusUnavailable."""
        self.reply_now(answer)


Handler = Callable[[Delivery], Awaitable[None] | None]


class Route:
    """A handler for one subject. Not generic: `list[Route[Any]]` would switch mypy's check of handlers off."""

    __slots__ = ("concurrency", "handler", "is_async", "name", "queue", "subject", "template")

    def __init__(
        self,
        name: str,
        subject: str,
        handler: Handler,
        *,
        template: Subject | None = None,
        queue: str | None = None,
        concurrency: int = 64,
    ) -> None:
        self.name = name
        self.subject = subject
        self.handler = handler
        self.template = template
        self.queue = queue
        self.concurrency = concurrency
        self.is_async = inspect.iscoroutinefunction(handler)

    def __repr__(self) -> str:
        return f"Route({self.name}, {self.subject!r}, queue={self.queue!r})"


def on(
    message_type: type[M],
    handler: Callable[[M, Delivery], Awaitable[None] | None],
    *,
    queue: str | None = None,
    concurrency: int = 64,
) -> Route:
    """Calls `handler(message, delivery)` for each message of that type.

    A plain function is called at once, in the order of arrival, and may only enqueue.
    An async function runs as a task, at most `concurrency` at a time; its errors are logged and counted.
    A message that does not parse is logged, counted, and answered with a problem when an answer was asked for.
    """
    call: Handler
    if inspect.iscoroutinefunction(handler):

        async def call_async(delivery: Delivery) -> None:
            result = handler(delivery.decode(message_type), delivery)
            if result is not None:
                await result

        call = call_async
    else:

        def call_now(delivery: Delivery) -> None:
            handler(delivery.decode(message_type), delivery)

        call = call_now
    return Route(
        message_type.__name__,
        message_type.subject.pattern,
        call,
        template=message_type.subject,
        queue=queue,
        concurrency=concurrency,
    )


def serve(
    command_type: type[C],
    handler: Callable[[C], Awaitable[Reply]],
    *,
    queue: str,
    concurrency: int = 256,
) -> Route:
    """Answers each command with what `await handler(command)` returns.

    ProblemError becomes a problem reply; any other error is logged and answered with `internal_error`.
    """

    async def call(delivery: Delivery) -> None:
        try:
            answer = await handler(delivery.decode(command_type))
        except ProblemError as error:
            await delivery.reply(error.problem)
            return
        if not isinstance(answer, command_type.reply):
            raise TypeError(
                f"{command_type.__name__} wants {command_type.reply.__name__}, got {answer!r}"
            )
        await delivery.reply(answer)

    return Route(
        command_type.__name__,
        command_type.subject.pattern,
        call,
        template=command_type.subject,
        queue=queue,
        concurrency=concurrency,
    )


def listen(
    pattern: str,
    handler: Callable[[Delivery], None],
    *,
    queue: str | None = None,
    name: str | None = None,
) -> Route:
    """Calls a plain function for everything on a pattern, unread: for who passes bytes through.

    `name` is what metrics call it; without one it is the pattern's first token.
    """
    return Route(name or pattern.partition(".")[0], pattern, handler, queue=queue)


def problem_for(error: Exception) -> Problem:
    """What to answer when a handler failed."""
    if isinstance(error, ProblemError):
        return error.problem
    return Problem(code=Code.INTERNAL_ERROR, message="something is wrong on the server")


def headers_with_deadline(
    headers: Mapping[str, str] | None, deadline_ms: int | None
) -> dict[str, str] | None:
    """A fresh dict, because nats-py keeps and changes what it is given; None when there is nothing to say."""
    if deadline_ms is None:
        return dict(headers) if headers else None
    return {**(headers or {}), DEADLINE_HEADER: str(deadline_ms)}
