"""Heartbeats: gateways renew the leases of all their sockets at once, direct workers their own in batches."""

from collections.abc import Sequence
from dataclasses import dataclass

from spaces_chassis.batcher import Batcher, BatcherMetrics
from spaces_chassis.bus import Delivery
from spaces_contracts.connections import GatewayBeat, GatewayBeatReply, WorkerBeat
from spaces_contracts.problems import Code, Problem
from spaces_registry.attaching import route_of
from spaces_registry.hints import Hints
from spaces_registry.lease_store import LeaseStore

# A gateway asks its workers to come again: their next attach says what really happened.
_ENDED = Problem(
    code=Code.HEARTBEAT_TIMEOUT, message="The registry has ended this connection; attach again"
)


@dataclass(frozen=True)
class Beat:
    """One direct worker was heard."""

    space_id: str
    connection_id: str


class Beats:
    """Handlers of heartbeats."""

    def __init__(self, leases: LeaseStore, hints: Hints, metrics: BatcherMetrics) -> None:
        self._leases = leases
        self._hints = hints
        self.batcher: Batcher[Beat, None] = Batcher(
            self._renew, max_items=4096, name="worker_beats", metrics=metrics
        )

    async def gateway(self, command: GatewayBeat) -> GatewayBeatReply:
        """Renews, and names what the gateway should let go of or look after."""
        await self._leases.renew_gateway(command)
        ended = await self._leases.told(command.gateway_id)
        return GatewayBeatReply(
            ended=ended,
            problem=_ENDED if ended else None,
            doubted=await self._leases.doubted(command.gateway_id),
        )

    def worker(self, message: WorkerBeat, _delivery: Delivery) -> None:
        """Only enqueues."""
        self.batcher.add_with(Beat(message.space_id, message.connection_id), _ignore)

    async def _renew(self, beats: list[Beat]) -> Sequence[None]:
        spaces = {beat.connection_id: beat.space_id for beat in beats}
        gone = await self._leases.renew_workers(sorted(spaces))
        for connection_id in sorted(gone):
            await self._hints.kick(route_of(spaces[connection_id], connection_id, None), _ENDED)
        return [None] * len(beats)


def _ignore(_outcome: BaseException | None) -> None:
    """A beat that was lost is followed by another in a second."""
