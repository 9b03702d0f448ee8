"""What the registry tells others after a COMMIT. All of it may be lost: others look again by themselves."""

from collections.abc import Sequence
from contextlib import suppress

from spaces_chassis.bus import Bus
from spaces_chassis.errors import BusUnavailable
from spaces_contracts.access import AccessChanged
from spaces_contracts.connections import DrainConnection, KickConnection
from spaces_contracts.message import Message
from spaces_contracts.problems import Problem
from spaces_contracts.quotas import QuotaChanged
from spaces_contracts.requests import Announce
from spaces_contracts.spaces import Space

# An announcement of many requests travels in several messages.
_ANNOUNCED_TOGETHER = 256


class Hints:
    """Publishes and never raises: what was committed stays true when nobody hears of it."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def credential_changed(self, principal_id: str) -> None:
        """Caches forget the credential."""
        await self._publish(AccessChanged(what="principal", changed_id=principal_id))

    async def space_changed(self, space: Space) -> None:
        """Caches forget the space; who does not see it any more loses what is open on it."""
        await self._publish(
            AccessChanged(
                what="space",
                changed_id=space.space_id,
                tenant_id=space.tenant_id,
                private_to=space.private_to,
            )
        )

    async def quota_changed(self, changed_id: str) -> None:
        """Gateways ask for the limits of a tenant or key anew."""
        await self._publish(QuotaChanged(changed_id=changed_id))

    async def announce(self, request_ids: Sequence[str]) -> None:
        """The scheduler looks at requests that our transaction changed."""
        for start in range(0, len(request_ids), _ANNOUNCED_TOGETHER):
            part = list(request_ids[start : start + _ANNOUNCED_TOGETHER])
            await self._publish(Announce(request_ids=part))

    async def kick(self, route: str, problem: Problem) -> None:
        """The holder of a connection closes it."""
        await self._publish(KickConnection(route=route, problem=problem))

    async def drain(self, route: str) -> None:
        """The worker finishes what runs and leaves."""
        await self._publish(DrainConnection(route=route))

    async def _publish(self, message: Message) -> None:
        with suppress(BusUnavailable):
            await self._bus.publish(message)
