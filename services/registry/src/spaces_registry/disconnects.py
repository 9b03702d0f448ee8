"""The broker tells who left, milliseconds after: that is a doubt, never a death."""

import json
import re
from dataclasses import dataclass

import structlog

from spaces_chassis.bus import Bus, Delivery, Route
from spaces_chassis.errors import ProblemError
from spaces_contracts.connections import GATEWAY_CLIENT_NAME
from spaces_registry.lease_store import GATEWAY_LOST, WORKER_LOST, LeaseStore
from spaces_registry.meters import Meters

log = structlog.get_logger(__name__)

SUBJECT = "$SYS.ACCOUNT.*.DISCONNECT"
QUEUE = "registry"

# A name is what a client says of itself, so it counts only in the account of our own services.
_SERVICES, _WORKERS = "CORE", "EDGE"
_GATEWAY = re.compile(rf"^{GATEWAY_CLIENT_NAME}([0-9a-z]{{20,32}})$")
# The user of a direct worker is the name that the callout gave it: the connection that it may speak for.
_WORKER = re.compile(r"^([0-9a-z]{20,32})$")


@dataclass(frozen=True)
class Departure:
    """Whose connection to the broker ended: a gateway's, or a direct worker's."""

    gateway_id: str | None = None
    connection_id: str | None = None


def departure(body: bytes) -> Departure | None:
    """Reads the broker's advisory; None when it concerns neither gateways nor workers."""
    try:
        client = json.loads(body)["client"]
        account, name, user = client.get("acc"), client.get("name", ""), client.get("user", "")
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    if account == _SERVICES and (match := _GATEWAY.match(str(name))):
        return Departure(gateway_id=match[1])
    if account == _WORKERS and (match := _WORKER.match(str(user))):
        return Departure(connection_id=match[1])
    return None


class Disconnects:
    """Listens in the system account."""

    def __init__(self, leases: LeaseStore, meters: Meters) -> None:
        self._leases = leases
        self._suspicions = {
            cause: meters.suspicions.labels(cause) for cause in (GATEWAY_LOST, WORKER_LOST)
        }

    def listen(self, system: Bus) -> None:
        """`system` is a bus of the system account; of several registries one hears each advisory."""
        system.add_routes([Route("Disconnect", SUBJECT, self._left, queue=QUEUE)])

    async def _left(self, delivery: Delivery) -> None:
        left = departure(delivery.body)
        if left is None:
            return
        try:
            if left.gateway_id is not None:
                count = await self._leases.suspect_gateway(left.gateway_id)
                self._suspicions[GATEWAY_LOST].inc(count)
            elif left.connection_id is not None:
                count = await self._leases.suspect([left.connection_id], WORKER_LOST)
                self._suspicions[WORKER_LOST].inc(count)
        except ProblemError as error:
            # Its lease runs out all the same, only later.
            log.warning("departure_not_noted", problem=str(error))
