"""Where a reader of one request is, and what a frame means from there: nothing missing, nothing twice.

Pure: takes frames, returns events. The order of output is (attempt, n); see client_socket.ChunkFrame.
"""

from dataclasses import dataclass, field

from spaces_contracts.client_socket import (
    After,
    ChunkFrame,
    FinishedFrame,
    ProgressFrame,
    ResetFrame,
    StatusFrame,
)

Event = StatusFrame | ProgressFrame | ChunkFrame | ResetFrame | FinishedFrame


@dataclass
class Taken:
    """What one frame came to. `ask_again`: something is missing, subscribe again from the position."""

    events: list[Event] = field(default_factory=list)
    ask_again: bool = False


class Reading:
    """The position of one reader."""

    def __init__(self, after: After | None = None) -> None:
        self._attempt = after.attempt if after else 0
        self._n = after.n if after else 0
        self._status: StatusFrame | None = None
        self._asked_at: tuple[int, int] | None = None
        self.finished = False

    @property
    def after(self) -> After:
        """The last chunk that the reader has."""
        return After(attempt=self._attempt, n=self._n)

    def take(self, frame: Event) -> Taken:
        """What the reader gets for this frame."""
        if self.finished:
            return Taken()
        if isinstance(frame, StatusFrame):
            return self._take_status(frame)
        if isinstance(frame, ProgressFrame):
            return Taken([frame] if frame.attempt >= self._attempt else [])
        if isinstance(frame, ResetFrame):
            return Taken(self._begin(frame.request_id, frame.attempt))
        if isinstance(frame, ChunkFrame):
            return self._take_chunk(frame)
        return self._take_finished(frame)

    def _take_status(self, frame: StatusFrame) -> Taken:
        # A status comes with every subscription; the same one again is no news.
        bare = frame.model_copy(update={"ref": None})
        if bare == self._status:
            return Taken()
        self._status = bare
        return Taken([bare])

    def _begin(self, request_id: str, attempt: int) -> list[Event]:
        """Moves to a newer attempt; tells the reader only if it holds chunks to drop."""
        if attempt <= self._attempt:
            return []
        held = self._n > 0
        self._attempt, self._n = attempt, 0
        return [ResetFrame(request_id=request_id, attempt=attempt)] if held else []

    def _take_chunk(self, frame: ChunkFrame) -> Taken:
        if frame.attempt < self._attempt:
            return Taken()
        events = self._begin(frame.request_id, frame.attempt)
        if frame.n > self._n + 1:
            return Taken(events, ask_again=self._may_ask())
        new = frame.data[self._n + 1 - frame.n :]
        if new:
            events.append(frame.model_copy(update={"n": self._n + 1, "data": new}))
            self._n += len(new)
        return Taken(events)

    def _take_finished(self, frame: FinishedFrame) -> Taken:
        events = self._begin(frame.request_id, frame.attempt)
        missing = frame.attempt == self._attempt and frame.last_n > self._n
        if missing and frame.recovered:
            if self._may_ask():
                return Taken(events, ask_again=True)
            frame = frame.model_copy(update={"recovered": False})
        self.finished = True
        return Taken([*events, frame])

    def _may_ask(self) -> bool:
        # Once for each position: if the gateway has no more of it now, it never will, and `finished` brings the whole.
        position = (self._attempt, self._n)
        if self._asked_at == position:
            return False
        self._asked_at = position
        return True
