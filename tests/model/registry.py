"""The registry: seats, leases and deaths. Decisions are the product's (`seats`, `leases`), rows are plain values."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from spaces_contracts.connections import LEASE_S
from spaces_registry.leases import LEASE_LIMIT_S, Reading, Watch, doubtful, lease_left_s
from spaces_registry.seats import Claim, Place, Repeat, Seated, choose_seat
from tests.model.tables import AttachRefused
from tests.model.wire import (
    Announce,
    Attach,
    Attached,
    Beat,
    BeatReply,
    Ended,
    Kick,
    Suspected,
)
from tests.model.witness import require

if TYPE_CHECKING:
    from tests.model.world import World

TOLD_FOR_S = 60.0
GATEWAY_LOST, SOCKET_LOST, UNREACHABLE = "gateway_lost", "socket_lost", "unreachable"


@dataclass(slots=True)
class Space:
    """A space as the registry knows it."""

    space_id: str
    max_connections: int
    enabled: bool = True
    deleted: bool = False
    epoch: int = 0


@dataclass(slots=True)
class Row:
    """A connection. Leases are in the database's wall clock."""

    connection_id: str
    space_id: str
    gateway_id: str
    instance_id: str
    seat: int
    epoch: int
    draining: bool = False
    cause: str | None = None  # of a doubt
    lease_until: float | None = None
    ended_wall_s: float | None = None
    left: bool = False
    doubted_true_s: float | None = None  # by a clock that does not step, for the witness


class Registry:
    """Its tables, and what its processes do with them. Each call is one transaction."""

    def __init__(self, world: "World", processes: int) -> None:
        self.world = world
        self.spaces: dict[str, Space] = {}
        self.rows: dict[str, Row] = {}
        self.gateways: dict[str, float] = {}  # -> lease
        self.beaten_true_s: dict[str, float] = {}
        self.watches = [Watch() for _ in range(processes)]

    def live(self, space_id: str | None = None) -> list[Row]:
        """Connections that have not ended."""
        return [
            row
            for row in self.rows.values()
            if row.ended_wall_s is None and space_id in (None, row.space_id)
        ]

    def drains(self, connection_id: str) -> bool:
        """Whether an operator wants it to leave when it has nothing more to do."""
        row = self.rows.get(connection_id)
        return row is not None and row.draining

    # Attaching

    def attach(self, command: Attach) -> None:
        """Decides under the lock of the space, and tells."""
        wall = self.world.wall
        if self.gateways.get(command.gateway_id, wall) < wall + LEASE_S / 2:
            self.gateways[command.gateway_id] = wall + LEASE_S
        self.gateways.setdefault(command.gateway_id, wall + LEASE_S)
        self.beaten_true_s[command.gateway_id] = self.world.now
        answer = self._seat(command)
        self.world.send(answer)

    def _seat(self, command: Attach) -> Attached:
        refused = Attached(command.gateway_id, command.connection_id, False)
        space = self.spaces[command.space_id]
        if space.deleted or not space.enabled:
            return refused
        claim = Claim(command.connection_id, command.instance_id, command.instance_id)
        seated = [self._seated(row) for row in self.live(space.space_id)]
        place = choose_seat(claim, seated, space.max_connections)
        superseded: tuple[str, ...] = ()
        if isinstance(place, Repeat):
            row = self.rows[command.connection_id]
            row.cause = row.lease_until = row.doubted_true_s = None
        elif isinstance(place, Place) and command.connection_id not in self.rows:
            superseded = place.supersedes
            for connection_id in superseded:
                self.rows[connection_id].ended_wall_s = self.world.wall
            space.epoch += 1
            self.rows[command.connection_id] = Row(
                command.connection_id,
                space.space_id,
                command.gateway_id,
                command.instance_id,
                place.seat,
                space.epoch,
            )
        else:
            return refused
        return self._queue_attach(command, superseded)

    def _queue_attach(self, command: Attach, superseded: tuple[str, ...]) -> Attached:
        new = (command.space_id, command.connection_id, command.instance_id, command.slots)
        try:
            answer = self.world.queue.attach(new, command.in_flight, superseded)
        except AttachRefused:
            require(False, "the queue refuses what the registry seated", command)
            raise
        for connection_id in superseded:
            self.world.send(Kick(connection_id))
        self._announce(answer.announce)
        return Attached(
            command.gateway_id,
            command.connection_id,
            True,
            tuple(answer.adopted),
            tuple(answer.abandon),
        )

    def _seated(self, row: Row) -> Seated:
        wall = self.world.wall
        left = None if row.lease_until is None else row.lease_until - wall
        gateway_left = self.gateways[row.gateway_id] - wall
        return Seated(
            row.connection_id,
            row.seat,
            row.epoch,
            row.instance_id,
            row.instance_id,
            leaving=row.cause is not None or doubtful(left, gateway_left) or row.draining,
        )

    # Ends

    def ended(self, message: Ended) -> None:
        """A gateway says that a socket closed."""
        row = self.rows.get(message.connection_id)
        if row is None or row.ended_wall_s is not None:
            return
        if message.clean:
            self.end([row.connection_id], left=True)
        else:
            self._suspect(row, SOCKET_LOST, LEASE_S)

    def suspected(self, message: Suspected) -> None:
        """Somebody could not reach a connection."""
        row = self.rows.get(message.connection_id)
        if row is not None and row.ended_wall_s is None:
            self._suspect(row, UNREACHABLE, lease_left_s(message.silent_s))

    def _suspect(self, row: Row, cause: str, left_s: float) -> None:
        if row.cause is None:
            row.cause = cause
            row.lease_until = self.world.wall + left_s
            row.doubted_true_s = self.world.now + left_s - LEASE_S

    def end(self, connection_ids: list[str], *, left: bool = False) -> None:
        """Ends connections of one space in one transaction."""
        live = [c for c in connection_ids if self.rows[c].ended_wall_s is None]
        for connection_id in live:
            self.rows[connection_id].ended_wall_s = self.world.wall
            self.rows[connection_id].left = left
        if live:
            self._announce(self.world.queue.detach(live))
        if not left:
            for connection_id in live:
                self.world.send(Kick(connection_id))

    def orphans_step(self) -> None:
        """Ends what a process left behind that died between two commits."""
        for space in self.spaces.values():
            if space.deleted or not space.enabled:
                self.end([row.connection_id for row in self.live(space.space_id)])

    # Leases

    def beat(self, message: Beat) -> None:
        """Renews the lease of a gateway, and drops doubts that are disproved."""
        wall = self.world.wall
        self.gateways[message.gateway_id] = wall + LEASE_S
        self.beaten_true_s[message.gateway_id] = self.world.now
        mine = [row for row in self.rows.values() if row.gateway_id == message.gateway_id]
        for row in mine:
            disproved = row.cause == UNREACHABLE and row.connection_id in message.held
            if row.ended_wall_s is None and (row.cause == GATEWAY_LOST or disproved):
                row.cause = row.lease_until = row.doubted_true_s = None
        ended = tuple(
            row.connection_id
            for row in mine
            if row.ended_wall_s is not None
            and not row.left
            and row.ended_wall_s > wall - TOLD_FOR_S
        )
        doubted = tuple(
            row.connection_id
            for row in mine
            if row.ended_wall_s is None and row.cause == UNREACHABLE
        )
        self.world.send(BeatReply(message.gateway_id, ended, doubted))

    def gateway_left(self, gateway_id: str) -> None:
        """The broker says that a gateway's connection ended: a doubt about its sockets."""
        for row in self.live():
            if row.gateway_id == gateway_id:
                self._suspect(row, GATEWAY_LOST, LEASE_S)

    def death_step(self, process: int) -> None:
        """One step of the death loop of one process."""
        world = self.world
        now = Reading(world.wall, world.now, world.bus_up_s, world.bus_up_s)
        self.watches[process] = watch = self.watches[process].read(now)
        self._clamp()
        if not watch.may_kill:
            return
        by_space: dict[str, list[str]] = {}
        for row in self.live():
            own = row.lease_until is not None and row.lease_until < world.wall
            if own or self.gateways[row.gateway_id] < world.wall:
                self._may_die(row, own=own)
                by_space.setdefault(row.space_id, []).append(row.connection_id)
        for ids in by_space.values():
            self.end(ids)

    def restart(self, process: int) -> None:
        """A new process knows nothing yet."""
        self.watches[process] = Watch()

    def _clamp(self) -> None:
        wall = self.world.wall
        for gateway_id, lease in self.gateways.items():
            if lease > wall + LEASE_LIMIT_S:
                self.gateways[gateway_id] = wall + LEASE_S
        for row in self.live():
            if row.lease_until is not None and row.lease_until > wall + LEASE_LIMIT_S:
                row.lease_until = wall + LEASE_S

    def _may_die(self, row: Row, *, own: bool) -> None:
        """Nobody dies who was heard of within the length of a lease, whatever the clocks do."""
        since = row.doubted_true_s if own else self.beaten_true_s[row.gateway_id]
        assert since is not None, "a lease of its own has who is doubted"
        quiet_s = self.world.now - since
        require(quiet_s >= LEASE_S - 0.01, f"a false alarm after {quiet_s:.1f} s", replace(row))

    # Spaces

    def change(self, space_id: str, *, enabled: bool) -> None:
        """Enables or disables; the connections end in a transaction of their own."""
        self.spaces[space_id].enabled = enabled
        lane = replace(self.world.queue.tables.lanes[space_id], enabled=enabled)
        self.world.queue.lane_open(lane)
        if enabled and self.live(space_id):
            self.world.witness.reopened.add(space_id)

    def delete(self, space_id: str) -> None:
        """Nothing new enters, what runs is asked to stop."""
        self.spaces[space_id].deleted = True
        self._announce(self.world.queue.lane_close(space_id))

    def _announce(self, request_ids: list[str]) -> None:
        if request_ids:
            self.world.send(Announce(tuple(request_ids)))

    # For the witness

    def check(self) -> None:
        """Each seat has one holder, and both services agree on who lives."""
        taken: set[tuple[str, int]] = set()
        for row in self.live():
            seat = (row.space_id, row.seat)
            require(seat not in taken, "a seat has two holders", row)
            taken.add(seat)
            live = self.world.queue.tables.connections[row.connection_id].live
            require(live, "a connection lives in one service only", row)
        count = sum(c.live for c in self.world.queue.tables.connections.values())
        require(count == len(taken), "a connection lives in one service only", count)
