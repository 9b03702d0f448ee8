"""The end of each schedule: no more faults, everybody does what is his each second, and all work comes to its end."""

from spaces_contracts.requests import RequestState
from tests.model.agents import Agent
from tests.model.witness import require
from tests.model.world import World

# What faults leave behind is found by leases, graces and pauses; then each request takes a second or two.
SETTLE_S = 75
PER_REQUEST_S = 6
# Agents give up on a socket that says nothing, and on a registration without an answer.
SILENT_S = 10.0
# Beyond every timeout: what nobody serves has expired by then.
LATE_S = 2000.0


def settle(world: World) -> int:
    """Seconds until all was done. Raises PromiseBroken."""
    _faults_stop(world)
    limit = SETTLE_S + PER_REQUEST_S * len(world.queue.tables.requests)
    second = 0
    while second < limit and not done(world):
        one_second(world)
        second += 1
    _served_is_done(world, second)
    _rest_expires(world)
    _everybody_knows(world)
    return second


def _faults_stop(world: World) -> None:
    if world.bus_down:
        world.bus_down, world.bus_since_s = False, world.now
    for agent in world.agents:
        agent.refuses = False
        if not agent.alive:
            agent.start()


def one_second(world: World) -> None:
    """Everybody once."""
    world.now += 1.0
    for process in range(len(world.schedulers.readings)):
        world.schedulers.clock_step(process)
    for agent in world.agents:
        _host(world, agent)
    world.gateways.tick()
    _deliver_all(world)
    world.registry.death_step(0)
    world.registry.orphans_step()
    world.schedulers.sweep_step(0)
    world.schedulers.repair_step()
    world.schedulers.mass_change_step()
    _deliver_all(world)
    world.check()


def _host(world: World, agent: Agent) -> None:
    if agent.socket is not None:
        held = world.gateways.route(agent.gateway_id, agent.socket) is not None
        if not held or (not agent.registered and world.now - agent.opened_s > SILENT_S):
            agent.hang_up()
        elif agent.idle and world.registry.drains(agent.socket):
            world.gateways.drop(world.gateways.all[agent.gateway_id], agent.socket, clean=True)
            agent.hang_up()
    if agent.socket is None and _wants_back(world, agent):
        world.gateways.connect(next(iter(world.gateways.all)), agent)
    for key, handler in list(agent.handlers.items()):
        if world.now - handler.since_s >= 1.0:
            agent.end_handler(key, "succeeded")
    agent.speak()


def _wants_back(world: World, agent: Agent) -> bool:
    """An agent that finds another one live in its seat leaves; a supervisor would try it later."""
    space = world.registry.spaces[agent.space_id]
    rows = world.registry.live(agent.space_id)
    others = [row for row in rows if row.instance_id != agent.instance_id]
    return space.enabled and not space.deleted and len(others) < space.max_connections


def _deliver_all(world: World) -> None:
    for _ in range(400):
        if not world.net:
            return
        world.receive([world.net.pop(0)])
    require(False, "messages go round in a circle", world.net)


def served(world: World, space_id: str) -> bool:
    """Whether a space has somebody who works."""
    space = world.registry.spaces[space_id]
    return space.enabled and not space.deleted


def done(world: World) -> bool:
    """Whether all that can be done is done."""
    open_ones = [r for r in world.queue.tables.requests.values() if not r.state.terminal]
    if any(served(world, r.space_id) or r.state is RequestState.RUNNING for r in open_ones):
        return False
    return not world.net and all(agent.idle for agent in world.agents if agent.socket)


def _served_is_done(world: World, second: int) -> None:
    for request in world.queue.tables.requests.values():
        ended = request.state.terminal or not served(world, request.space_id)
        require(ended, f"not done after {second} s without faults", request)


def _rest_expires(world: World) -> None:
    if all(r.state.terminal for r in world.queue.tables.requests.values()):
        return
    world.now += LATE_S
    for _ in range(15):
        one_second(world)
    for request in world.queue.tables.requests.values():
        require(request.state.terminal, "it never ends", request)


def _everybody_knows(world: World) -> None:
    for request_id, asked in world.clients.asked.items():
        world.clients.look(request_id)
        require(not asked.accepted or asked.seen is not None, "its client knows no end", asked)
