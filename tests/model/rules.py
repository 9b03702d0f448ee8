"""What may happen next: each rule is one step of somebody, or one fault. The same rules for every driver."""

from collections.abc import Callable
from dataclasses import dataclass

from spaces_contracts.requests import RequestState
from tests.model.chooser import Chooser, chance, pick
from tests.model.tables import Told, Word
from tests.model.wire import Cancel, Message, Refused, ResultSaid, Taken
from tests.model.world import World

Act = Callable[[World, Chooser], None]
Possible = Callable[[World], bool]
TICKS_S = (0.25, 1.0, 1.0, 3.0, 11.0)
CLOCK_STEPS_S = (30.0, -30.0, 5.0, -5.0, 3600.0, -3600.0)


@dataclass(frozen=True)
class Rule:
    """Something that may happen, and how often beside the others."""

    name: str
    act: Act
    weight: int
    possible: Possible = lambda world: True


def deliver(world: World, chooser: Chooser) -> None:
    """Some messages of one kind arrive; mostly the oldest, sometimes a younger one first."""
    nth = 0 if chooser.below(2) == 0 else chooser.below(len(world.net))
    first = world.net[nth]
    alike = [m for m in world.net if type(m) is type(first)]
    batch = [first]
    if len(alike) > 1 and chance(chooser, 3):
        batch = alike[: 2 + chooser.below(3)]
    if not chance(chooser, 12):  # else they come once more later
        for message in batch:
            world.net.remove(message)
    hear(world, batch, dies=chance(chooser, 20))


def hear(world: World, batch: list[Message], *, dies: bool) -> None:
    """`dies`: whoever hears it commits, and dies before it can say anything."""
    world.note(batch if not dies else f"(dies after commit) {batch}")
    world.losing = dies
    try:
        world.receive(batch)
    finally:
        world.losing = False


def lose(world: World, chooser: Chooser) -> None:
    """A message is lost."""
    world.note(world.net.pop(chooser.below(len(world.net))))


def tick(world: World, chooser: Chooser) -> None:
    """Time goes on, and nobody does anything in it."""
    world.now += pick(chooser, TICKS_S)


def step_clock(world: World, chooser: Chooser) -> None:
    """The wall clock of the database's host steps, and the schedulers see it before anything else happens.

    Each looks twice: a second step between two looks of one loop is a rule of its own.
    """
    step_clock_unseen(world, chooser)
    for process in (0, 1, 0, 1):
        world.schedulers.clock_step(process)


def step_clock_unseen(world: World, chooser: Chooser) -> None:
    """The wall clock steps. Until a scheduler looks, which takes up to a second, deadlines are set by a wrong clock."""
    world.offset_s += pick(chooser, CLOCK_STEPS_S)


def start_agent(world: World, chooser: Chooser) -> None:
    """A worker that is down, or has no connection, opens one."""
    agent = pick(chooser, [a for a in world.agents if not a.alive or a.socket is None])
    if not agent.alive:
        agent.start()
    if world.gateways.all:
        world.gateways.connect(pick(chooser, list(world.gateways.all)), agent)


def crash_agent(world: World, chooser: Chooser) -> None:
    pick(chooser, [a for a in world.agents if a.alive]).crash(chooser)


def cut_socket(world: World, chooser: Chooser) -> None:
    """A socket breaks. Each side notices by itself: maybe at once, maybe much later."""
    agent = pick(chooser, [a for a in world.agents if a.alive and a.socket is not None])
    gateway = world.gateways.all.get(agent.gateway_id)
    connection_id = agent.socket
    who = chooser.below(3)
    if who != 1:
        agent.hang_up()
    if who != 0 and gateway is not None and connection_id in gateway.routes:
        world.gateways.drop(gateway, connection_id, clean=who == 2 and chance(chooser, 2))


def lease_runs_out(world: World, chooser: Chooser) -> None:
    """A worker was silent for too long, wherever it is: the queue hears no more than that it ended."""
    agent = pick(chooser, [a for a in world.agents if a.alive and a.socket is not None])
    connection_id = agent.socket
    if connection_id is not None and connection_id in world.registry.rows:
        world.registry.end([connection_id])
        agent.hang_up()
    if chance(chooser, 2) and world.gateways.all:
        world.gateways.connect(pick(chooser, list(world.gateways.all)), agent)


def finish_handler(world: World, chooser: Chooser) -> None:
    pick(chooser, [a for a in world.agents if a.alive and a.handlers]).finish(chooser)


def speak(world: World, chooser: Chooser) -> None:
    """An agent's timers: what was not acknowledged is said again."""
    pick(chooser, [a for a in world.agents if a.alive]).speak()


def refusing(world: World, chooser: Chooser) -> None:
    """A disk is full, or has room again."""
    agent = pick(chooser, world.agents)
    agent.refuses = not agent.refuses


def kill_gateway(world: World, chooser: Chooser) -> None:
    """A gateway dies and another takes its place; some agents and the broker notice at once."""
    gateway_id = pick(chooser, list(world.gateways.all))
    world.gateways.die(gateway_id)
    for agent in world.agents:
        if agent.alive and agent.socket and agent.gateway_id == gateway_id and chance(chooser, 2):
            agent.hang_up()
    if chance(chooser, 2):
        world.registry.gateway_left(gateway_id)
    world.gateways.start()


def bus_outage(world: World, chooser: Chooser) -> None:
    """The broker goes, with all that was on its way; or comes back."""
    world.bus_down = not world.bus_down
    world.net.clear()
    world.bus_since_s = world.now


def sweep(world: World, chooser: Chooser) -> None:
    if not world.bus_down:
        world.schedulers.sweep_step(chooser.below(2))


def clock_loop(world: World, chooser: Chooser) -> None:
    world.schedulers.clock_step(chooser.below(2))


def repair(world: World, chooser: Chooser) -> None:
    world.schedulers.repair_step()


def mass_change(world: World, chooser: Chooser) -> None:
    world.schedulers.mass_change_step()


def gateways_tick(world: World, chooser: Chooser) -> None:
    world.gateways.tick()


def deaths(world: World, chooser: Chooser) -> None:
    process = chooser.below(2)
    if chance(chooser, 8):
        world.registry.restart(process)
    world.registry.death_step(process)


def orphans(world: World, chooser: Chooser) -> None:
    world.registry.orphans_step()


def look_up(world: World, chooser: Chooser) -> None:
    world.clients.look(pick(chooser, list(world.clients.asked)))


def toggle_space(world: World, chooser: Chooser) -> None:
    space_id = pick(chooser, world.space_ids)
    space = world.registry.spaces[space_id]
    if not space.deleted:
        world.registry.change(space_id, enabled=not space.enabled)


def delete_space(world: World, chooser: Chooser) -> None:
    world.registry.delete(pick(chooser, world.space_ids))


def drain(world: World, chooser: Chooser) -> None:
    """An operator drains a connection."""
    row = pick(chooser, world.registry.live())
    row.draining = True
    world.queue.drain(row.connection_id)


def nonsense(world: World, chooser: Chooser) -> None:
    """A worker tells what nobody asked it: of other attempts, other connections, other spaces."""
    space_id = pick(chooser, world.space_ids)
    connection_id = pick(chooser, list(world.queue.tables.connections))
    request_id = pick(chooser, list(world.clients.asked))
    word = Word(space_id, connection_id, request_id, chooser.below(4))
    kind = chooser.below(4)
    if kind == 0:
        state = pick(chooser, (RequestState.SUCCEEDED, RequestState.CANCELLED))
        # Its acknowledgement does not reach the connection that it names.
        hear(world, [ResultSaid(Told(*word, state, '"nonsense"'))], dies=True)
    elif kind == 1 and not world.queue.is_of(word):
        # Of its own attempts a worker says only what its gateway knows that it was given.
        hear(world, [Taken(word)], dies=False)
    elif kind == 2:
        hear(world, [Refused(word)], dies=False)
    else:
        hear(world, [Cancel((request_id,))], dies=False)


RULES = (
    Rule("submit", lambda w, c: w.clients.submit(c), 14, lambda w: w.clients.may_ask),
    Rule("submit_again", lambda w, c: w.clients.again(c), 3, lambda w: bool(w.clients.asked)),
    Rule("cancel", lambda w, c: w.clients.cancel(c), 4, lambda w: bool(w.clients.asked)),
    Rule("deliver", deliver, 70, lambda w: bool(w.net)),
    Rule("lose", lose, 4, lambda w: bool(w.net)),
    Rule("tick", tick, 12),
    Rule("step_clock", step_clock, 1),
    Rule("step_clock_unseen", step_clock_unseen, 0),
    Rule(
        "start_agent",
        start_agent,
        14,
        lambda w: any(not a.alive or a.socket is None for a in w.agents),
    ),
    Rule("crash_agent", crash_agent, 2, lambda w: any(a.alive for a in w.agents)),
    Rule("cut_socket", cut_socket, 4, lambda w: any(a.alive and a.socket for a in w.agents)),
    Rule(
        "lease_runs_out",
        lease_runs_out,
        2,
        lambda w: any(a.alive and a.socket for a in w.agents),
    ),
    Rule(
        "finish_handler",
        finish_handler,
        20,
        lambda w: any(a.alive and a.handlers for a in w.agents),
    ),
    Rule("speak", speak, 4, lambda w: any(a.alive for a in w.agents)),
    Rule("refusing", refusing, 2),
    Rule("kill_gateway", kill_gateway, 1),
    Rule("bus_outage", bus_outage, 1),
    Rule("sweep", sweep, 6),
    Rule("clock_loop", clock_loop, 2),
    Rule("repair", repair, 3),
    Rule("mass_change", mass_change, 2),
    Rule("gateways_tick", gateways_tick, 5),
    Rule("deaths", deaths, 5),
    Rule("orphans", orphans, 1),
    Rule("look_up", look_up, 2, lambda w: bool(w.clients.asked)),
    Rule("toggle_space", toggle_space, 1),
    Rule("delete_space", delete_space, 1),
    Rule("drain", drain, 1, lambda w: bool(w.registry.live())),
    Rule(
        "nonsense",
        nonsense,
        3,
        lambda w: bool(w.clients.asked and w.queue.tables.connections),
    ),
)
BY_NAME = {rule.name: rule for rule in RULES}
