"""Merges live events, replays and the end of one request into what a watcher gets. Pure.

Events may come late, twice, out of order, cut differently by a worker that sends again, and from several
attempts. The watcher gets each chunk of an attempt once and in order; a new attempt begins with a reset; the end
comes last, when all chunks that the worker counted were delivered, or when waiting for them was given up.
"""

from dataclasses import dataclass
from typing import TypeAlias

from pydantic_core import from_json, to_json

from spaces_contracts.requests import EventKind, RequestEvent, RequestFinished

# What came ahead of a gap is kept up to here; the rest is read again from the stream.
MAX_AHEAD_EVENTS = 1024
MAX_AHEAD_BYTES = 1_048_576


@dataclass(slots=True)  # one a frame: frozen ones take three times as long to make
class Chunk:
    """Chunks n … n+count-1 of an attempt; `data_json` is a JSON array as text."""

    attempt: int
    n: int
    count: int
    data_json: str


@dataclass(frozen=True, slots=True)
class Reset:
    """A new attempt began: the chunks before are void."""

    attempt: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the attempt is."""

    attempt: int
    percent: float | None
    message: str | None


@dataclass(frozen=True, slots=True)
class Started:
    """A worker took the attempt."""

    attempt: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The end; `recovered` is false when chunks are missing."""

    event: RequestFinished
    recovered: bool


Output: TypeAlias = Chunk | Reset | Progress | Started | Ended


class StreamMerge:
    """One watcher's view of one request."""

    __slots__ = ("_ahead", "_ahead_bytes", "_end", "_highest", "attempt", "done", "n")

    def __init__(self, attempt: int = 0, n: int = 0) -> None:
        """`attempt` and `n` are the last chunk that the watcher has; 0 when it has none."""
        self.attempt = attempt
        self.n = n if attempt else 0
        self.done = False
        self._highest = self.n  # the last chunk of this attempt that is known to exist
        self._ahead: dict[int, RequestEvent] = {}
        self._ahead_bytes = 0
        self._end: RequestFinished | None = None

    @property
    def gap(self) -> bool:
        """Whether chunks exist that were not delivered because one before them is missing."""
        return not self.done and self.n < self._highest

    @property
    def ending(self) -> bool:
        """Whether the end came and waits for missing chunks."""
        return self._end is not None and not self.done

    def event(self, event: RequestEvent) -> list[Output]:
        """Something that a worker told, live or replayed."""
        if self.done or event.attempt < self.attempt:
            return []
        outputs: list[Output] = []
        if event.attempt > self.attempt:
            if self._end is not None:  # the end names the last attempt there is
                return []
            self._begin(event.attempt, outputs)
        if event.kind is EventKind.CHUNK:
            self._chunk(event, outputs)
        elif self._end is None:
            if event.kind is EventKind.PROGRESS:
                outputs.append(Progress(event.attempt, event.percent, event.message))
            else:
                outputs.append(Started(event.attempt))
        return outputs

    def finished(self, event: RequestFinished) -> list[Output]:
        """The terminal event; only the first counts."""
        if self.done or self._end is not None:
            return []
        outputs: list[Output] = []
        self._end = event
        if event.attempt > self.attempt:
            self._begin(event.attempt, outputs)
        if event.attempt == self.attempt:
            self._highest = max(self._highest, event.last_n)
        self._close_when_whole(outputs)
        return outputs

    def give_up(self) -> list[Output]:
        """The missing chunks were not found in time: ends without them, if the end is known."""
        if self._end is None or self.done:
            return []
        self.done = True
        return [Ended(self._end, recovered=False)]

    def _begin(self, attempt: int, outputs: list[Output]) -> None:
        if self.attempt > 0:
            outputs.append(Reset(attempt))
        self.attempt = attempt
        self.n = 0
        self._highest = 0
        self._ahead.clear()
        self._ahead_bytes = 0

    def _chunk(self, event: RequestEvent, outputs: list[Output]) -> None:
        last = event.n + event.count - 1
        if event.n < 1 or event.count < 1 or event.data_json is None:
            return
        self._highest = max(self._highest, last)
        if last <= self.n:
            return
        if event.n > self.n + 1:
            self._keep(event)
            return
        self._deliver(event, outputs)
        while (following := self._following()) is not None:
            self._deliver(following, outputs)
        self._close_when_whole(outputs)

    def _deliver(self, event: RequestEvent, outputs: list[Output]) -> None:
        assert event.data_json is not None
        known = self.n - event.n + 1
        last = event.n + event.count - 1
        data = event.data_json if known <= 0 else without_first(event.data_json, known)
        outputs.append(Chunk(self.attempt, self.n + 1, last - self.n, data))
        self.n = last

    def _following(self) -> RequestEvent | None:
        """What was kept and now fits; what was overtaken is dropped."""
        while self._ahead:
            first = self.n + 1 if self.n + 1 in self._ahead else min(self._ahead)
            if first > self.n + 1:
                return None
            event = self._ahead.pop(first)
            self._ahead_bytes -= len(event.data_json or "")
            if first + event.count - 1 > self.n:
                return event
        return None

    def _keep(self, event: RequestEvent) -> None:
        size = len(event.data_json or "")
        known = self._ahead.get(event.n)
        if known is not None and known.count >= event.count:
            return
        if len(self._ahead) >= MAX_AHEAD_EVENTS or self._ahead_bytes + size > MAX_AHEAD_BYTES:
            return
        if known is not None:
            self._ahead_bytes -= len(known.data_json or "")
        self._ahead[event.n] = event
        self._ahead_bytes += size

    def _close_when_whole(self, outputs: list[Output]) -> None:
        if self._end is None or self.done:
            return
        # Chunks that the worker did not count (it died, or was stopped) are delivered as far as they came.
        if self.n >= self._end.last_n or self._end.attempt < self.attempt:
            self.done = True
            outputs.append(Ended(self._end, recovered=self._end.attempt >= self.attempt))


def without_first(data_json: str, count: int) -> str:
    """A JSON array without its first elements."""
    return to_json(from_json(data_json)[count:]).decode()


def joined(outputs: list[Output], max_bytes: int) -> list[Output]:
    """The same with neighbouring chunks in one, up to a size: fewer frames for a replay."""
    result: list[Output] = []
    for output in outputs:
        last = result[-1] if result else None
        if (
            isinstance(output, Chunk)
            and isinstance(last, Chunk)
            and last.attempt == output.attempt
            and last.n + last.count == output.n
            and len(last.data_json) + len(output.data_json) <= max_bytes
        ):
            data = f"{last.data_json[:-1]},{output.data_json[1:]}"
            result[-1] = Chunk(last.attempt, last.n, last.count + output.count, data)
        else:
            result.append(output)
    return result


def readable(event: RequestEvent) -> bool:
    """Whether a chunk event holds what it says. Direct workers write events themselves."""
    if event.kind is not EventKind.CHUNK:
        return True
    text = event.data_json or ""
    if not (text.startswith("[") and text.endswith("]")):  # joined() relies on it
        return False
    try:
        data = from_json(text)
    except ValueError:
        return False
    return isinstance(data, list) and len(data) == event.count >= 1 and event.n >= 1
