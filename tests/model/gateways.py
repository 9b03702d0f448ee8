"""Gateways: which socket holds which connection, and nothing else that would outlive them."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spaces_contracts.connections import GATEWAY_BEAT_S, LEASE_S, SUSPECT_AFTER_S
from spaces_worker_agent.attempts import Key
from tests.model.agents import Agent
from tests.model.wire import (
    Ack,
    Attach,
    Attached,
    Beat,
    BeatReply,
    Ended,
    Job,
    Kick,
    Stop,
    Suspected,
    ToWorker,
)

if TYPE_CHECKING:
    from tests.model.world import World


@dataclass(slots=True)
class Route:
    """A connection on a socket of a gateway."""

    agent: Agent
    opened_s: float
    pending: bool = True  # the registry has not answered yet
    given: set[Key] = field(default_factory=set)
    early: list[ToWorker] = field(default_factory=list)
    mute_since_s: float | None = None  # the agent's side of the socket is gone
    told: bool = False  # the registry was told of the silence


@dataclass(slots=True)
class Gateway:
    """One process; a new one has a new id."""

    gateway_id: str
    routes: dict[str, Route] = field(default_factory=dict)
    doubted: tuple[str, ...] = ()
    beat_s: float = 0.0


class Gateways:
    """All of them, and what reaches them."""

    def __init__(self, world: "World", count: int) -> None:
        self.world = world
        self.count = count
        self.all: dict[str, Gateway] = {}
        for _ in range(count):
            self.start()

    def start(self) -> None:
        """One more process."""
        gateway_id = self.world.new_id("g")
        self.all[gateway_id] = Gateway(gateway_id)
        self.beat(self.all[gateway_id])

    def die(self, gateway_id: str) -> None:
        """kill -9: its sockets break; an agent that is told so at once is a rule of its own."""
        del self.all[gateway_id]

    def route(self, gateway_id: str, connection_id: str) -> Route | None:
        """The holder of a connection."""
        gateway = self.all.get(gateway_id)
        return gateway.routes.get(connection_id) if gateway else None

    # Sockets

    def connect(self, gateway_id: str, agent: Agent) -> None:
        """An agent opens a socket and registers."""
        world = self.world
        connection_id = world.new_id("c")
        agent.socket, agent.gateway_id, agent.registered = connection_id, gateway_id, False
        agent.opened_s = world.now
        world.socket_of[connection_id] = gateway_id
        self.all[gateway_id].routes[connection_id] = Route(agent, world.now)
        world.send(
            Attach(
                gateway_id,
                connection_id,
                agent.space_id,
                agent.instance_id,
                agent.slots,
                agent.in_flight(),
            )
        )

    def drop(self, gateway: Gateway, connection_id: str, *, clean: bool = False) -> None:
        """The gateway sees that a socket is closed."""
        route = gateway.routes.pop(connection_id)
        if not route.pending:
            self.world.send(Ended(connection_id, clean))

    # From the bus

    def attached(self, answer: Attached) -> None:
        """The registry's verdict on a connection."""
        gateway = self.all.get(answer.gateway_id)
        if gateway is None:
            return
        route = gateway.routes.get(answer.connection_id)
        if route is None:
            if answer.granted:
                self.world.send(Ended(answer.connection_id, False))
            return
        if not route.pending:
            return
        agent = route.agent
        here = agent.alive and agent.socket == answer.connection_id
        if not answer.granted:
            del gateway.routes[answer.connection_id]
            if here:
                agent.hang_up()
            return
        route.pending = False
        route.given.update(Key(*one) for one in answer.adopted)
        if here:
            agent.attached(answer.adopted, answer.abandon)
        early, route.early = route.early, []
        for message in early:
            self.to_worker(message)

    def to_worker(self, message: ToWorker) -> None:
        """A message for a connection; whoever does not hold it says so."""
        gateway_id = self.world.socket_of.get(message.connection_id, "")
        route = self.route(gateway_id, message.connection_id)
        if route is None:
            if not isinstance(message, Ack):
                self.world.send(Suspected(message.connection_id))
            return
        if route.pending:
            route.early.append(message)
            return
        if isinstance(message, Job):
            route.given.add(message.key)
        agent = route.agent
        if not agent.alive or agent.socket != message.connection_id:
            return  # the socket broke, and this side does not know yet
        if isinstance(message, Job):
            agent.job(message.key)
        elif isinstance(message, Stop):
            agent.stop(message.key)
        elif isinstance(message, Kick):
            del self.all[gateway_id].routes[message.connection_id]
            agent.hang_up()
        else:
            route.given.discard(message.key)
            agent.acked(message.key, message.verdict)

    def beat_reply(self, reply: BeatReply) -> None:
        """What the registry has ended is let go; the worker comes again."""
        gateway = self.all.get(reply.gateway_id)
        if gateway is None:
            return
        gateway.doubted = reply.doubted
        for connection_id in reply.ended:
            route = gateway.routes.get(connection_id)
            if route is not None and not route.pending:
                del gateway.routes[connection_id]
                if route.agent.socket == connection_id:
                    route.agent.hang_up()

    # Time

    def beat(self, gateway: Gateway) -> None:
        """Renews the lease of all its sockets."""
        gateway.beat_s = self.world.now
        asked = {*gateway.doubted, *(c for c, route in gateway.routes.items() if route.told)}
        held = tuple(sorted(asked & {c for c, route in gateway.routes.items() if hears(c, route)}))
        for connection_id in held:
            gateway.routes[connection_id].told = False
        self.world.send(Beat(gateway.gateway_id, held))

    def tick(self) -> None:
        """Each second: beats, and closes sockets that are silent."""
        for gateway in self.all.values():
            if self.world.now - gateway.beat_s >= GATEWAY_BEAT_S:
                self.beat(gateway)
            for connection_id, route in list(gateway.routes.items()):
                self._listen(gateway, connection_id, route)

    def _listen(self, gateway: Gateway, connection_id: str, route: Route) -> None:
        now = self.world.now
        if hears(connection_id, route):
            route.mute_since_s = None
        elif route.mute_since_s is None:
            route.mute_since_s = now
        elif now - route.mute_since_s >= LEASE_S:
            self.drop(gateway, connection_id)
        elif now - route.mute_since_s >= SUSPECT_AFTER_S and not route.told and not route.pending:
            route.told = True
            self.world.send(Suspected(connection_id, now - route.mute_since_s))


def hears(connection_id: str, route: Route) -> bool:
    """Whether the other side of a socket is there."""
    return route.agent.alive and route.agent.socket == connection_id
