"""All worker connections of this process: who gets what comes on `gw.<gid>.wk.>`, and how they are kept alive."""

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from spaces_chassis.bus import Bus, Delivery
from spaces_chassis.clock import Clock
from spaces_chassis.errors import ProblemError
from spaces_contracts.connections import (
    SUSPECT_AFTER_S,
    ConnectionSuspected,
    DrainConnection,
    GatewayBeat,
    KickConnection,
)
from spaces_contracts.problems import Code, Problem
from spaces_contracts.requests import CancelJob, ConnectionGone, Job, ResultAck
from spaces_gateway.sockets.door import Door
from spaces_gateway.sockets.endings import Endings
from spaces_gateway.sockets.event_store import EventStore

if TYPE_CHECKING:
    from spaces_gateway.sockets.worker_socket import WorkerSocket

log = structlog.get_logger(__name__)

# A look at the sockets that comes so late means that this process stood still, and did not read.
FROZEN_S = 2.0
_LEASE_LOST = Problem(code=Code.HEARTBEAT_TIMEOUT, message="This connection's lease ran out.")


@dataclass(frozen=True)
class Identity:
    """Which gateway process this is."""

    gateway_id: str
    version: str = ""


class WorkerHub:
    """Connection id -> socket. A Part that says goodbye to the workers when the process stops."""

    name = "worker_sockets"

    def __init__(
        self,
        bus: Bus,
        clock: Clock,
        identity: Identity,
        door: Door,
        events: EventStore,
        endings: Endings,
    ) -> None:
        self.bus = bus
        self.clock = clock
        self.identity = identity
        self.door = door
        self.events = events
        self.endings = endings
        self.sockets: set[WorkerSocket] = set()
        self._by_connection: dict[str, WorkerSocket] = {}
        self._suspected: set[str] = set()  # and not told yet
        self._told: set[str] = set()  # suspected by us, and not heard since
        self._doubted: list[str] = []  # by others, as the last beat's answer said
        self._ticked_at: float | None = None

    def hold(self, connection_id: str, socket: "WorkerSocket") -> None:
        """Messages for the connection go to this socket."""
        self._by_connection[connection_id] = socket

    def release(self, connection_id: str) -> None:
        """Messages for the connection are answered with `gone`."""
        self._by_connection.pop(connection_id, None)

    def receive(self, delivery: Delivery) -> None:
        """A message on `gw.<gid>.wk.<cid>.<what>`. Only enqueues."""
        *_, connection_id, what = delivery.subject.split(".")
        socket = self._by_connection.get(connection_id)
        if socket is None:
            if what != "ack":  # an acknowledgement finds its agent elsewhere: it asks again
                delivery.reply_now(ConnectionGone(connection_id=connection_id))
            return
        if what == "job":
            socket.deliver(connection_id, Job.model_validate_json(delivery.body))
        elif what == "ack":
            if delivery.body:  # empty: no scheduler listens, and the agent sends the result again
                socket.deliver(connection_id, ResultAck.model_validate_json(delivery.body))
        elif what == "cancel":
            socket.deliver(connection_id, CancelJob.model_validate_json(delivery.body))
        elif what == "drain":
            DrainConnection.model_validate_json(delivery.body)
            socket.drain(connection_id)
        elif what == "kick":
            kick = KickConnection.model_validate_json(delivery.body)
            socket.kick(connection_id, kick.problem)
        else:
            log.warning("unknown_worker_message", what=what)

    async def tick(self) -> None:
        """Each second: pings what is quiet, suspects what stays quiet, closes what is dead."""
        now = self.clock.monotonic()
        before, self._ticked_at = self._ticked_at, now
        if before is not None and now - before > FROZEN_S:
            return  # this process stood still, and what came meanwhile has not been read yet
        for socket in list(self.sockets):
            self._suspected.update(socket.tick(now))
        if self._suspected and self.bus.connected:
            await self._tell_silence(now)

    async def _tell_silence(self, now: float) -> None:
        silences = {cid: self._silent_s(cid, now) for cid in self._suspected}
        # Who was heard while the bus was away is not suspected any more; who left is told of otherwise.
        silent = {cid: s for cid, s in silences.items() if s is not None and s >= SUSPECT_AFTER_S}
        if silent:
            await self.bus.publish(
                ConnectionSuspected(
                    connection_ids=sorted(silent), silent_s=round(min(silent.values()), 3)
                )
            )
        self._told.update(silent)
        self._suspected.clear()

    async def beat(self) -> None:
        """Each 3 s: renews the lease of all sockets, and drops those whose lease is lost."""
        beat = GatewayBeat(
            gateway_id=self.identity.gateway_id,
            version=self.identity.version,
            connections=len(self._by_connection),
            leaving=self.door.leaving,
            held=sorted(cid for cid in {*self._doubted, *self._told} if self._heard_lately(cid)),
        )
        try:
            reply = await self.bus.request(beat)
        except ProblemError as error:  # the next one comes before the lease runs out
            if not error.problem.kind.retry:
                raise
            log.warning("beat_not_answered", problem=str(error))
            return
        self._doubted = reply.doubted
        self._told -= set(beat.held)
        self._told &= self._by_connection.keys()
        for connection_id in reply.ended:
            socket = self._by_connection.get(connection_id)
            if socket is not None:
                socket.kick(connection_id, reply.problem or _LEASE_LOST)

    def _heard_lately(self, connection_id: str) -> bool:
        """Whether a connection that somebody doubts is here and alive."""
        silent_s = self._silent_s(connection_id, self.clock.monotonic())
        return silent_s is not None and silent_s < SUSPECT_AFTER_S

    def _silent_s(self, connection_id: str, now: float) -> float | None:
        socket = self._by_connection.get(connection_id)
        return None if socket is None else now - socket.session.heard_at

    # Part

    async def start(self) -> None:
        """The loop of `beat` makes the gateway known."""

    async def drain(self) -> None:
        """Sends everybody away, each with its own time to come back, and tells the registry."""
        self.door.leaving = True
        spread_s = self.door.limits.reconnect_spread_s
        for socket in list(self.sockets):
            socket.go_away(random.uniform(0.0, spread_s))
        try:
            await self.beat()
        except ProblemError as error:
            log.warning("leaving_not_told", problem=str(error))
        await self.endings.drain()

    async def stop(self) -> None:
        """Drops what is still connected."""
        for socket in list(self.sockets):
            socket.wire.abort()

    def healthy(self) -> bool:
        return not self.door.leaving
