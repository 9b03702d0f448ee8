"""The whole core in one thread: clients, schedulers, registry, gateways and agents, and the bus between them."""

from collections.abc import Callable

from tests.model.agents import Agent
from tests.model.chooser import Chooser, chance, pick
from tests.model.clients import Clients
from tests.model.gateways import Gateways
from tests.model.registry import Registry, Space
from tests.model.schedulers import Schedulers
from tests.model.tables import Lane
from tests.model.upkeep import WholeQueue
from tests.model.wire import (
    Ack,
    Announce,
    Attach,
    Attached,
    Beat,
    BeatReply,
    Cancel,
    Ended,
    Finished,
    Job,
    Kick,
    Message,
    Refused,
    ResultSaid,
    Stop,
    Submit,
    Suspected,
    Taken,
    Verdicts,
)
from tests.model.witness import Witness

MOST_MESSAGES = 60
PROCESSES = 2
START_S = 1000.0
MakeQueue = Callable[[Callable[[], float]], WholeQueue]


class World:
    """Everything there is, at one moment. Made from the first decisions of a chooser."""

    def __init__(self, chooser: Chooser, make_queue: MakeQueue = WholeQueue) -> None:
        self.now = START_S  # a clock that never steps
        self.offset_s = 0.0  # what the database's wall clock has stepped by
        self.stepped = 0.0  # what of it the scheduler accounts for
        self.bus_down = False
        self.bus_since_s = 0.0
        self.net: list[Message] = []
        self.losing = False  # the process that speaks has died after its commit
        self.trace: list[str] | None = None
        self._ids = 0
        self.socket_of: dict[str, str] = {}
        self.queue = make_queue(lambda: self.wall - self.stepped)
        self.witness = Witness(self.queue, lambda: self.now)
        self.registry = Registry(self, PROCESSES)
        self.schedulers = Schedulers(self, PROCESSES)
        self.gateways = Gateways(self, PROCESSES)
        self.clients = Clients(self)
        self.space_ids: list[str] = []
        self.agents: list[Agent] = []
        self._batched: dict[type, Callable[[list[Message]], None]] = _batched(self.schedulers)
        self._single: dict[type, Callable[[Message], None]] = _single(self)
        self._furnish(chooser)

    def _furnish(self, chooser: Chooser) -> None:
        for _ in range(1 + chooser.below(2)):
            lane = self._lane(chooser)
            self.space_ids.append(lane.space_id)
            most = 1 + chooser.below(2)
            self.registry.spaces[lane.space_id] = Space(lane.space_id, most)
            self.queue.lane_open(lane)
            for _ in range(most + chooser.below(2)):
                slots = pick(chooser, (1, 1, 2))
                self.agents.append(Agent(self, self.new_id("i"), lane.space_id, slots))
        for process in range(PROCESSES):
            self.schedulers.clock_step(process)
        self.witness.look()

    def _lane(self, chooser: Chooser) -> Lane:
        short = chance(chooser, 3)
        return Lane(
            self.new_id("s"),
            when_offline=pick(chooser, ("queue", "queue", "reject")),
            max_queue=pick(chooser, (100, 100, 2)),
            queue_timeout_s=20.0 if short else 600.0,
            run_timeout_s=15.0 if short else 600.0,
            timeout_s=30.0 if short else 900.0,
            max_attempts=pick(chooser, (3, 1, 2)),
            retry_after_start=not chance(chooser, 4),
        )

    def new_id(self, kind: str) -> str:
        """Ids in the order in which they were made."""
        self._ids += 1
        return f"{kind}{self._ids:020d}"

    # Clocks

    @property
    def wall(self) -> float:
        """The database's wall clock."""
        return self.now + self.offset_s

    @property
    def bus_up_s(self) -> float:
        """Since when everybody is connected."""
        return 0.0 if self.bus_down else self.now - self.bus_since_s

    # The bus

    def send(self, message: Message) -> None:
        """Puts a message on its way, if there is one."""
        if not self.losing and not self.bus_down and len(self.net) < MOST_MESSAGES:
            self.net.append(message)

    def receive(self, messages: list[Message]) -> None:
        """Messages of one kind reach whom they are for; a scheduler takes them in one transaction."""
        kind = type(messages[0])
        batched = self._batched.get(kind)
        if batched is not None:
            batched(messages)
        else:
            for message in messages:
                self._single[kind](message)

    def check(self) -> None:
        """Raises PromiseBroken."""
        self.witness.look()
        self.registry.check()

    def note(self, text: object) -> None:
        """For the trace of a schedule that is replayed."""
        if self.trace is not None:
            self.trace.append(f"      {text}")


def _batched(schedulers: Schedulers) -> dict[type, Callable[[list[Message]], None]]:
    handlers: dict[type, Callable[..., None]] = {
        Submit: schedulers.submit,
        ResultSaid: schedulers.finish,
        Taken: schedulers.accept,
        Refused: schedulers.refuse,
        Cancel: schedulers.cancel,
        Announce: schedulers.announced,
    }
    return handlers


def _single(world: World) -> dict[type, Callable[[Message], None]]:
    handlers: dict[type, Callable[..., None]] = {
        Verdicts: world.clients.verdicts,
        Finished: world.clients.finished,
        Attach: world.registry.attach,
        Ended: world.registry.ended,
        Suspected: world.registry.suspected,
        Beat: world.registry.beat,
        Attached: world.gateways.attached,
        BeatReply: world.gateways.beat_reply,
        Job: world.gateways.to_worker,
        Stop: world.gateways.to_worker,
        Ack: world.gateways.to_worker,
        Kick: world.gateways.to_worker,
    }
    return handlers
