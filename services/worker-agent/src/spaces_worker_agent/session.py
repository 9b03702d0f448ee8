"""What an agent holds and what it says next. Pure: values in, values out, time as a parameter.

The host side (handlers, spool) and the wire side (links) are elsewhere. The rules that matter:
- an attempt runs at most once per agent, however often its job arrives; a newer attempt ends an older one;
- a cancel that overtakes its job leaves a tombstone, and the job is then confirmed as cancelled without a start;
- chunks and results are kept until they are acknowledged, and sent again after a new registration;
- a result waits for its chunks' acknowledgement (for a bounded time), so that a client never misses the tail.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime

from spaces_contracts.connections import Attempt, InFlight
from spaces_contracts.problems import Code, Problem
from spaces_contracts.requests import ResultOutcome
from spaces_worker_agent.attempts import (
    Accept,
    Chunks,
    Effects,
    Held,
    Job,
    Keep,
    Key,
    Outgoing,
    Progress,
    Refuse,
    Result,
    Settle,
    Start,
    Stop,
)
from spaces_worker_agent.cancelled import never_started, stopped
from spaces_worker_agent.due_times import DueTimes
from spaces_worker_agent.finished import FinishedMemory
from spaces_worker_agent.window import credit_due, next_batch

# A result that comes sooner says that the job was taken. Brokers repeat an unanswered job after 2 s.
ACCEPT_AFTER_S = 0.05
PROGRESS_EVERY_S = 0.2
CHUNKS_AGAIN_S = 5.0
RESULT_AFTER_CHUNKS_S = 2.0
RESULT_AGAIN_S = 1.0
RESULT_AGAIN_MAX_S = 60.0
# A refused job is offered again at once; the pause keeps an agent that refuses everything from spinning.
REFUSE_AFTER_S = 1.0


class Session:
    """Everything one agent holds for its spaces, over any number of connections one after another."""

    def __init__(
        self, finished: FinishedMemory, wall: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._finished = finished
        self._wall = wall
        self._held: dict[Key, Held] = {}
        self._attempts: dict[str, list[Key]] = {}  # held ones, by request
        self._online: set[str] = set()
        self._ready: dict[Key, None] = {}
        self._due: DueTimes[Key] = (
            DueTimes()
        )  # one an attempt: an earlier one looks at everything anyway
        self._refusals: deque[tuple[float, Refuse]] = deque()
        self.refusing: Problem | None = None

    # From the gateway

    def job(self, job: Job, now: float) -> Effects:
        """A job arrived, for the first time or again."""
        key = job.key
        held = self._held.get(key)
        if held is not None:
            self._repeat(held)
            return []
        if self._finished.cancelled(key, now):
            return self._confirm_cancel(job)
        if self._finished.knows(key, now):
            return []
        others = self._attempts.get(key.request_id, [])
        if any(other.attempt > key.attempt for other in others):
            return []
        effects: Effects = []
        for other in others.copy():
            effects += self._abandon(self._held[other], now)
        if self.refusing is not None:
            self._refusals.append((now + REFUSE_AFTER_S, Refuse(key, job.space_id, self.refusing)))
            return effects
        self._hold(Held(key, job.space_id, came_at=now, accept_due_at=now + ACCEPT_AFTER_S))
        return [*effects, Start(job)]

    def cancel(self, key: Key, reason: Problem, now: float) -> Effects:
        """A cancel arrived; without its job it leaves a tombstone."""
        held = self._held.get(key)
        if held is None:
            if not self._finished.knows(key, now):
                self._finished.remember(key, now, "cancelled")
            return []
        if held.result is not None:
            self._repeat(held)
            return []
        if held.stopping is not None:
            return []
        held.stopping = reason
        return [Stop(key, reason)]

    def chunks_acked(self, key: Key, n: int, now: float) -> int | None:
        """All chunks up to n are stored. Returns up to which chunk the handler should know that, if it should."""
        held = self._held.get(key)
        if held is None or n <= held.acked_n:
            return None
        done = min(n, held.last_n) - held.acked_n
        held.uncredited_characters += sum(map(len, held.chunks[:done]))
        del held.chunks[:done]
        held.acked_n += done
        held.sent_n = max(held.sent_n, held.acked_n)
        held.chunks_due_at = now + CHUNKS_AGAIN_S
        self._ready[key] = None
        if held.result is None and credit_due(
            held.acked_n - held.credited_n, held.uncredited_characters
        ):
            held.credited_n, held.uncredited_characters = held.acked_n, 0
            return held.acked_n
        return None

    def result_acked(self, key: Key, outcome: ResultOutcome, now: float) -> Effects:
        """The gateway judged a result; it is dropped only if it is the one that is held."""
        held = self._held.get(key)
        if held is None or held.result is None:
            return []
        return self._settle(held, now)

    def registered(
        self, space_id: str, adopted: Iterable[Attempt], abandon: Iterable[Attempt], now: float
    ) -> Effects:
        """A space is served (again): drop what it does not want, say the rest again."""
        self._online.add(space_id)
        effects: Effects = []
        for attempt in abandon:
            held = self._held.get(Key(attempt.request_id, attempt.attempt))
            if held is not None:
                effects += self._abandon(held, now)
        again = {Key(attempt.request_id, attempt.attempt) for attempt in adopted}
        for held in self._held.values():
            if held.space_id != space_id or held.abandoned:
                continue
            if held.key in again and held.result is None:
                held.accept_due_at = now
            held.sent_n = held.acked_n
            held.result_due_at = float("-inf")
            held.result_held_until = None
            held.result_tries = 0
            self._ready[held.key] = None
        return effects

    def leave_space(self, space_id: str, now: float) -> Effects:
        """A space is not served any more: whatever it gave is stopped and dropped."""
        self._online.discard(space_id)
        effects: Effects = []
        for held in list(self._held.values()):
            if held.space_id == space_id:
                effects += self._abandon(held, now)
        return effects

    def not_taken(self, request_id: str, code: Code, message: str) -> Effects:
        """The gateway could not take what was said about a request. What never fits is replaced by a failure."""
        if code not in (Code.FRAME_TOO_LARGE, Code.MALFORMED_FRAME, Code.PAYLOAD_TOO_LARGE):
            return []  # what is unacknowledged is sent again in a while
        effects: Effects = []
        for held in self._held.values():
            result = held.result
            if held.key.request_id == request_id and result and result.output_json is not None:
                problem = Problem(code=Code.OUTPUT_TOO_LARGE, message=message)
                held.result = replace(result, status="failed", output_json=None, error=problem)
                held.result_due_at = float("-inf")
                self._ready[held.key] = None
                effects.append(Keep(held.result))
        return effects

    def disconnected(self, space_id: str | None = None) -> None:
        """The connection of one space, or of all, is gone."""
        if space_id is None:
            self._online.clear()
            self._refusals.clear()
        else:
            self._online.discard(space_id)

    # From the handlers

    def chunks(self, key: Key, data: list[str]) -> None:
        """A handler yielded; ignored once the attempt is being stopped."""
        held = self._held.get(key)
        if held is None or held.stopping is not None or held.abandoned or held.result is not None:
            return
        held.chunks += data
        held.last_n += len(data)
        self._ready[key] = None

    def progress(self, key: Key, percent: float | None, message: str | None) -> None:
        """Only the newest is kept: progress is a state, not a history."""
        held = self._held.get(key)
        if held is None or held.result is not None or held.abandoned:
            return
        held.progress = Progress(key, held.space_id, percent, message)
        self._ready[key] = None

    def stop_reason(self, key: Key) -> Problem | None:
        """Why the attempt is being stopped, if it is."""
        held = self._held.get(key)
        return None if held is None else held.stopping

    def expire(self, key: Key, reason: Problem) -> Effects:
        """The deadline passed on this host."""
        held = self._held.get(key)
        if held is None or held.stopping is not None or held.result is not None:
            return []
        held.stopping = reason
        return [Stop(key, reason)]

    def finished(self, result: Result, now: float) -> Effects:
        """The handler really stopped. What was being stopped ends as that, whatever it returned."""
        held = self._held.get(result.key)
        if held is None or held.result is not None:
            return []
        if held.abandoned:
            return self._settle(held, now)
        if held.stopping is not None:
            result = stopped(result, held.stopping)
        held.progress = None
        held.result = replace(result, last_n=held.last_n) if held.last_n else result
        self._ready[held.key] = None
        return [Keep(held.result)]

    def spooled(self, result: Result) -> None:
        """A result of an earlier run of this agent."""
        held = Held(result.key, result.space_id, result=result)
        held.acked_n = held.sent_n = held.last_n = result.last_n
        self._hold(held)

    # To the gateway

    def take(self, now: float) -> list[Outgoing]:
        """What to say now, in order. Never the same twice unless it must be repeated."""
        for key in self._due.take(now):
            self._ready[key] = None
        outgoing: list[Outgoing] = []
        while self._refusals and self._refusals[0][0] <= now:
            refusal = self._refusals.popleft()[1]
            if refusal.space_id in self._online:
                outgoing.append(refusal)
        keys, self._ready = self._ready, {}
        for key in keys:
            held = self._held.get(key)
            if held is not None and held.space_id in self._online and not held.abandoned:
                self._take_one(held, now, outgoing)
        return outgoing

    def next_due(self) -> float | None:
        """When `take` is worth calling again although nothing happens."""
        due = self._due.next()
        if not self._refusals:
            return due
        refusal = self._refusals[0][0]
        return refusal if due is None else min(due, refusal)

    def in_flight(self) -> list[InFlight]:
        """What to report at registration."""
        return [
            InFlight(
                space_id=held.space_id,
                request_id=held.key.request_id,
                attempt=held.key.attempt,
                finished=held.result is not None,
            )
            for held in self._held.values()
            if not held.abandoned
        ]

    @property
    def running(self) -> int:
        """Attempts whose handler has not stopped yet."""
        return sum(held.result is None for held in self._held.values())

    @property
    def unacknowledged(self) -> int:
        """Results that nobody confirmed yet."""
        return sum(held.result is not None for held in self._held.values())

    @property
    def idle(self) -> bool:
        """Whether nothing runs and nothing waits to be sent."""
        return not self._held

    # Inside

    def _take_one(self, held: Held, now: float, outgoing: list[Outgoing]) -> None:
        if held.accept_due_at is not None:
            self._take_accept(held, held.accept_due_at, now, outgoing)
        if held.progress is not None:
            self._take_progress(held, now, outgoing)
        if held.chunks:
            self._take_chunks(held, now, outgoing)
        if held.result is not None:
            self._take_result(held, held.result, now, outgoing)

    def _take_accept(self, held: Held, due_at: float, now: float, outgoing: list[Outgoing]) -> None:
        if held.result is not None and not held.chunks:
            held.accept_due_at = None  # the result says it
        elif now < due_at:
            self._due.set(held.key, due_at)
        else:
            held.accept_due_at = None
            after_ms = max(0, round((now - held.came_at) * 1000))
            outgoing.append(Accept(held.key, held.space_id, after_ms))

    def _take_progress(self, held: Held, now: float, outgoing: list[Outgoing]) -> None:
        due = held.progress_sent_at + PROGRESS_EVERY_S
        if held.progress is None or now < due:
            self._due.set(held.key, due)
            return
        outgoing.append(held.progress)
        held.progress = None
        held.progress_sent_at = now

    def _take_chunks(self, held: Held, now: float, outgoing: list[Outgoing]) -> None:
        if held.sent_n > held.acked_n and now >= held.chunks_due_at:
            held.sent_n = held.acked_n
        if held.sent_n == held.last_n:
            self._due.set(held.key, held.chunks_due_at)
            return
        while held.sent_n < held.last_n:
            start = held.sent_n - held.acked_n
            batch = next_batch(held.chunks, start)
            outgoing.append(Chunks(held.key, held.space_id, held.sent_n + 1, batch))
            held.sent_n += len(batch)
        held.chunks_due_at = now + CHUNKS_AGAIN_S
        self._due.set(held.key, held.chunks_due_at)

    def _take_result(
        self, held: Held, result: Result, now: float, outgoing: list[Outgoing]
    ) -> None:
        if held.chunks:
            if held.result_held_until is None:
                held.result_held_until = now + RESULT_AFTER_CHUNKS_S
            if now < held.result_held_until:
                self._due.set(held.key, held.result_held_until)
                return
        if now >= held.result_due_at:
            outgoing.append(result)
            pause = min(RESULT_AGAIN_MAX_S, RESULT_AGAIN_S * 2**held.result_tries)
            held.result_tries += 1
            held.result_due_at = now + pause
        self._due.set(held.key, held.result_due_at)

    def _hold(self, held: Held) -> None:
        self._held[held.key] = held
        self._attempts.setdefault(held.key.request_id, []).append(held.key)
        self._ready[held.key] = None

    def _drop(self, held: Held) -> None:
        del self._held[held.key]
        self._due.drop(held.key)
        attempts = self._attempts[held.key.request_id]
        attempts.remove(held.key)
        if not attempts:
            del self._attempts[held.key.request_id]

    def _repeat(self, held: Held) -> None:
        if held.result is not None:
            held.result_due_at = float("-inf")
        else:
            held.accept_due_at = float("-inf")
        self._ready[held.key] = None

    def _confirm_cancel(self, job: Job) -> Effects:
        held = Held(job.key, job.space_id)
        held.result = never_started(job, self._wall())
        self._hold(held)
        return [Keep(held.result)]

    def _abandon(self, held: Held, now: float) -> Effects:
        if held.result is not None:
            return self._settle(held, now)
        if held.abandoned:
            return []
        held.abandoned = True
        held.chunks.clear()
        already = held.stopping is not None
        reason = held.stopping or Problem(
            code=Code.CANCELLED, message="The request was given to another attempt or has ended."
        )
        held.stopping = reason
        return [] if already else [Stop(held.key, reason)]

    def _settle(self, held: Held, now: float) -> Effects:
        self._drop(held)
        self._finished.remember(held.key, now, "settled")
        return [Settle(held.key)]
