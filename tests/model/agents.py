"""Worker agents: the product's session and memory, on a host that can crash and lose what it had not flushed."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from spaces_contracts.connections import Attempt
from spaces_contracts.problems import Code, Problem
from spaces_contracts.requests import RequestState, ResultOutcome
from spaces_worker_agent.attempts import (
    Accept,
    Effects,
    Job,
    Keep,
    Key,
    Outgoing,
    Refuse,
    Result,
    Settle,
    Start,
    Stop,
)
from spaces_worker_agent.finished import REMEMBER_S, FinishedMemory, Why
from spaces_worker_agent.session import Session
from tests.model.chooser import Chooser, chance, pick
from tests.model.tables import Told, Word
from tests.model.wire import Refused, ResultSaid, Taken
from tests.model.witness import require

if TYPE_CHECKING:
    from tests.model.world import World

SOME_TIME = datetime(2026, 1, 1, tzinfo=UTC)
GOING = Problem(code=Code.GOING_AWAY, message="The worker is stopping.")
CANCELLED = Problem(code=Code.CANCELLED, message="Cancelled")


@dataclass(slots=True)
class Handler:
    """A handler that works on one attempt."""

    run: int
    since_s: float


class Agent:
    """One process on one host, for one space. Its disk outlives it."""

    def __init__(self, world: "World", instance_id: str, space_id: str, slots: int) -> None:
        self.world = world
        self.instance_id = instance_id
        self.space_id = space_id
        self.slots = slots
        self.alive = False
        self.left = False  # it was told to go for good
        self.refuses = False
        self.socket: str | None = None  # the connection that it believes to have
        self.gateway_id = ""
        self.registered = False
        self.opened_s = 0.0
        self.handlers: dict[Key, Handler] = {}
        self.spool: dict[Key, Result] = {}
        self.over: list[tuple[Key, float, Why]] = []
        self.runs = 0
        self.start()

    # The process

    def start(self) -> None:
        """Reads its disk."""
        self.alive = True
        self._finished = FinishedMemory()
        now = self.world.now
        for key, at, why in self.over:
            if now - at <= REMEMBER_S:
                self._finished.restore(key, at, why)
        self.session = Session(self._finished, wall=lambda: SOME_TIME)
        for result in self.spool.values():
            self.session.spooled(result)

    def crash(self, chooser: Chooser) -> None:
        """kill -9, or the power: then the disk may lack what was written last."""
        self.alive = False
        self.handlers.clear()
        self.socket = None
        if chance(chooser, 4) and self.spool:
            self.spool.popitem()
        if chance(chooser, 4) and self.over:
            self.over.pop()

    def hang_up(self) -> None:
        """The agent gives its connection up: it broke, or nothing is heard."""
        self.socket = None
        self.registered = False
        self.session.disconnected()

    # From the gateway

    def attached(
        self, adopted: tuple[tuple[str, int], ...], abandon: tuple[tuple[str, int], ...]
    ) -> None:
        """The space is served."""
        self.registered = True
        effects = self.session.registered(
            self.space_id, _attempts(adopted), _attempts(abandon), self.world.now
        )
        self._apply(effects)

    def job(self, key: Key) -> None:
        """A job came."""
        self.session.refusing = GOING if self.refuses else None
        job = Job(key, "space", self.space_id, b"{}")
        self._apply(self.session.job(job, self.world.now))

    def stop(self, key: Key) -> None:
        """An attempt is to stop."""
        self._apply(self.session.cancel(key, CANCELLED, self.world.now))

    def acked(self, key: Key, verdict: ResultOutcome) -> None:
        """A result was judged."""
        self._apply(self.session.result_acked(key, verdict, self.world.now))

    # The host

    def finish(self, chooser: Chooser) -> None:
        """A handler ends, well or badly, or really stopped."""
        key = pick(chooser, list(self.handlers))
        self.end_handler(key, "failed" if chance(chooser, 4) else "succeeded")

    def end_handler(self, key: Key, how: str) -> None:
        """The handler of an attempt ends."""
        handler = self.handlers.pop(key)
        fine = how == "succeeded"
        result = Result(
            key,
            self.space_id,
            "succeeded" if fine else "failed",
            SOME_TIME,
            output_json=self.token(key, handler.run) if fine else None,
        )
        self._apply(self.session.finished(result, self.world.now))

    def token(self, key: Key, run: int) -> str:
        """What only this run of this attempt returns."""
        return f'"{self.instance_id}/{key.request_id}/{key.attempt}/{run}"'

    def _apply(self, effects: Effects) -> None:
        for effect in effects:
            if isinstance(effect, Start):
                self.runs += 1
                self._start(effect.job.key)
            elif isinstance(effect, Keep):
                self.spool[effect.result.key] = effect.result
            elif isinstance(effect, Settle):
                self._may_drop(effect.key)
        for key, why in self._finished.fresh:
            if why == "settled":
                self.spool.pop(key, None)
            self.over.append((key, self.world.now, why))
        self._finished.fresh.clear()
        # A stop needs nothing here: the handler ends when a rule says so.
        assert all(isinstance(effect, Start | Keep | Settle | Stop) for effect in effects)
        self.speak()

    def _start(self, key: Key) -> None:
        require(key not in self.handlers, "an attempt runs twice at once", key)
        self.handlers[key] = Handler(self.runs, self.world.now)

    def _may_drop(self, key: Key) -> None:
        """A result may go only when nothing can become of it any more."""
        if key not in self.spool:
            return
        tables = self.world.queue.tables
        request = tables.requests.get(key.request_id)
        assignment = tables.assignments.get((key.request_id, key.attempt))
        if request is None or assignment is None:
            return
        wanted = (
            request.state is RequestState.RUNNING
            and request.attempt == key.attempt
            and assignment.instance_id == self.instance_id
            and assignment.released_at is None
        )
        require(not wanted, f"agent {self.instance_id} dropped a result that counts", key)

    # To the gateway

    def speak(self) -> None:
        """Says what there is to say, if somebody holds its connection."""
        for item in self.session.take(self.world.now):
            if self.socket is not None and self.registered:
                self._say(self.socket, item)

    def _say(self, connection_id: str, item: Outgoing) -> None:
        route = self.world.gateways.route(self.gateway_id, connection_id)
        if route is None or not isinstance(item, Accept | Refuse | Result):
            return
        word = Word(self.space_id, connection_id, *item.key)
        if isinstance(item, Result):
            state = RequestState(item.status)
            told = Told(*word, state, item.output_json or "")
            self.world.send(ResultSaid(told))
        elif item.key in route.given:
            if isinstance(item, Refuse):
                route.given.discard(item.key)
                self.world.send(Refused(word))
            else:
                self.world.send(Taken(word))

    def in_flight(self) -> tuple[tuple[str, int], ...]:
        """What it reports when it registers."""
        return tuple((held.request_id, held.attempt) for held in self.session.in_flight())

    @property
    def idle(self) -> bool:
        """Whether it holds nothing."""
        return self.session.idle and not self.spool and not self.handlers


def _attempts(pairs: tuple[tuple[str, int], ...]) -> list[Attempt]:
    # Not validated: that is no part of what is checked here, and would take half of the time.
    return [Attempt.model_construct(request_id=r, attempt=a) for r, a in pairs]
