"""Which of the agent's spaces are served, and what a verdict about one means. Pure."""

from dataclasses import dataclass

from spaces_contracts.frames import ErrorFrame
from spaces_contracts.problems import Code, Problem
from spaces_contracts.worker_socket import Registered, RegisterError
from spaces_worker_agent.exits import Leave, worth_a_retry

REJOIN_S = 10.0


@dataclass(frozen=True)
class Retry:
    """Connect again, not before that many seconds."""

    reason: str
    after_s: float = 0.0


class Membership:
    """The spaces one agent serves, by the name it was given."""

    def __init__(self, spaces: tuple[str, ...]) -> None:
        self.wanted: list[str] = list(spaces)
        self.served_before = False
        self._answered_once = False  # every space had an answer that was not a final no
        self._served: dict[str, Registered] = {}
        self._waiting: dict[str, Retry] = {}
        self._drained: set[str] = set()

    def begin(self) -> None:
        """A new connection: nothing is served yet."""
        self._served.clear()
        self._waiting.clear()
        self._drained.clear()

    @property
    def serving(self) -> bool:
        """Whether at least one space is served."""
        return bool(self._served)

    def joined(self, frame: Registered) -> Retry | None:
        """A space is served now."""
        self._served[frame.space] = frame
        self._waiting.pop(frame.space, None)
        self.served_before = True
        return self._verdict()

    def refused(self, frame: RegisterError) -> Retry | None:
        """A space is not served. Raises Leave when that is final and nothing else is left to serve."""
        space = frame.space or (self.wanted[0] if len(self.wanted) == 1 else None)
        problem = Problem(code=frame.code, message=frame.message)
        if worth_a_retry(frame.code, retry=frame.retry, holder=frame.holder):
            retry = Retry(f"{frame.message or frame.code}", frame.retry_after_s or 0.0)
            if space is None:
                return retry
            self._waiting[space] = retry
            return self._verdict()
        # At the first start every wrong name is an error; later the other spaces go on.
        if space is None or not self._answered_once or len(self.wanted) == 1:
            raise Leave.because(problem, space)
        self._forget(space)
        return self._verdict()

    def complained(self, frame: ErrorFrame) -> None:
        """The gateway reports an error. Raises Leave when that is its answer to our registration."""
        if self._served or worth_a_retry(frame.code, retry=frame.retry):
            return
        code, text = frame.code, frame.message
        if code in (Code.MALFORMED_FRAME, Code.UNKNOWN_FRAME_TYPE):
            code, text = Code.UNSUPPORTED_PROTOCOL, f"Our registration was not understood: {text}"
        raise Leave.because(Problem(code=code, message=text))

    def ended(self, connection_id: str, problem: Problem, *, retry: bool) -> Retry | str:
        """A connection was ended by the server: come back, or go on without that space (its id).

        Raises Leave when it was the last.
        """
        space, space_id = self._find(connection_id)
        if retry:
            return Retry(problem.message or str(problem.code))
        if len(self.wanted) == 1 or space is None:
            raise Leave.because(problem, space)
        self._forget(space)
        return space_id

    def drained(self, connection_id: str) -> bool:
        """An operator drains a connection; True when it was the last of this agent."""
        space, _ = self._find(connection_id)
        if space is not None:
            self._drained.add(space)
        return set(self._served) <= self._drained

    def _find(self, connection_id: str) -> tuple[str | None, str]:
        for space, frame in self._served.items():
            if frame.connection_id == connection_id:
                return space, frame.space_id
        return None, ""

    def _forget(self, space: str) -> None:
        self._served.pop(space, None)
        self._waiting.pop(space, None)
        if space in self.wanted:
            self.wanted.remove(space)

    def _verdict(self) -> Retry | None:
        """Whether to come back, once every space has its answer."""
        if len(self._served) + len(self._waiting) < len(self.wanted):
            return None
        self._answered_once = True
        if not self._waiting:
            return None
        first = next(iter(self._waiting.values()))
        after_s = max(retry.after_s for retry in self._waiting.values())
        # What is served already is not cut off each half second for the sake of another space.
        return Retry(first.reason, max(after_s, REJOIN_S) if self._served else after_s)
