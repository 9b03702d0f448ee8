"""Credentials of what is open, and spaces that are watched, asked about again after the bus was away.

What was told meanwhile was missed.
"""

from spaces_chassis.bus import Bus
from spaces_chassis.clock import Clock
from spaces_chassis.errors import UnavailableError
from spaces_contracts.access import MAX_CHECKED, AccessChanged, CheckPrincipals, Principal
from spaces_contracts.spaces import CheckSpaces, SpaceAudience
from spaces_gateway.access import Access
from spaces_gateway.sockets.client_hub import ClientHub

# Two readings of when the bus connected differ by less than this, two connections by more.
SAME_S = 0.05


class Recheck:
    """Its `step` is a loop's. Workers' connections are compared with each beat of the gateway."""

    every_s = 1.0

    def __init__(self, bus: Bus, clock: Clock, access: Access, clients: ClientHub) -> None:
        self._bus = bus
        self._clock = clock
        self._access = access
        self._clients = clients
        self._connected_at: float | None = None
        self._is_due = False

    async def step(self) -> int:
        """How many credentials were good no more. What is not answered is asked again at the next step."""
        if not self._bus.connected:
            return 0
        connected_at = self._clock.monotonic() - self._bus.connected_for_s
        if self._connected_at is None or abs(connected_at - self._connected_at) > SAME_S:
            self._is_due = self._is_due or self._connected_at is not None
            self._connected_at = connected_at
        if not self._is_due:
            return 0
        # Also what was remembered from before: it would open the next socket.
        self._access.forget_all()
        try:
            over = await self._over()
            audiences = await self._audiences()
        except UnavailableError:
            return 0
        self._is_due = False
        for principal_id in over:
            self._clients.access_changed(AccessChanged(what="principal", changed_id=principal_id))
        for one in audiences:
            self._clients.access_changed(
                AccessChanged(
                    what="space",
                    changed_id=one.space_id,
                    tenant_id=one.tenant_id,
                    private_to=one.private_to,
                )
            )
        return len(over)

    async def _audiences(self) -> list[SpaceAudience]:
        """For whom the spaces are of which something is open."""
        ids = sorted(self._clients.watched_spaces())
        found: list[SpaceAudience] = []
        for start in range(0, len(ids), MAX_CHECKED):
            command = CheckSpaces(space_ids=ids[start : start + MAX_CHECKED])
            found += (await self._bus.request(command)).spaces
        return found

    async def _over(self) -> list[str]:
        """Ids of principals that are not what they were when something was opened with them."""
        held = [_bare(one.principal) for one in self._clients.guests if one.principal is not None]
        ids = sorted({one.principal_id for one in held})
        now: dict[str, Principal] = {}
        for start in range(0, len(ids), MAX_CHECKED):
            command = CheckPrincipals(principal_ids=ids[start : start + MAX_CHECKED])
            found = (await self._bus.request(command)).principals
            now |= {one.principal_id: _bare(one) for one in found}
        return sorted({one.principal_id for one in held if now.get(one.principal_id) != one})


def _bare(principal: Principal) -> Principal:
    """Without where the call came from."""
    return principal.model_copy(update={"client_address": ""})
