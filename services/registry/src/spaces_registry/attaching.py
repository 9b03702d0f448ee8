"""A worker attaches: who it is, which space it means, and the race for a seat."""

from collections.abc import Sequence
from dataclasses import dataclass

from spaces_chassis.database import Connection as Transaction
from spaces_chassis.errors import ProblemError
from spaces_contracts.access import Principal, PrincipalKind
from spaces_contracts.connections import (
    LEASE_S,
    AgentInfo,
    Attach,
    Attached,
    Attachment,
    AttachVerdict,
    EdgeAttach,
    InFlight,
)
from spaces_contracts.problems import Code, Problem
from spaces_contracts.spaces import Space
from spaces_registry.access import good
from spaces_registry.connection_store import Adoption, NewConnection
from spaces_registry.endings import Ended, Endings, Reason
from spaces_registry.meters import Meters
from spaces_registry.naming import Candidate, space_not_found
from spaces_registry.presence import Presence
from spaces_registry.seats import Claim, Place, Refusal, Repeat, choose_seat
from spaces_registry.space_finder import SpaceFinder
from spaces_registry.stores import Stores


@dataclass(frozen=True)
class Arrival:
    """A worker at the door, through a gateway or directly."""

    token_sha256: str
    gateway_id: str | None
    slots: int
    instance_id: str
    instance_secret_sha256: str
    agent: AgentInfo
    in_flight: Sequence[InFlight]
    takeover: bool


@dataclass(frozen=True)
class Seating:
    """What one committed transaction did."""

    space: Space
    place: Place | Repeat
    epoch: int
    adoption: Adoption
    ended: Ended


class Attaching:
    """Handlers of Attach and EdgeAttach."""

    def __init__(
        self, stores: Stores, endings: Endings, presence: Presence, meters: Meters
    ) -> None:
        self._stores = stores
        self._finder = SpaceFinder(stores.spaces)
        self._endings = endings
        self._presence = presence
        self._meters = meters

    async def attach(self, command: Attach) -> Attached:
        """Through a gateway: several spaces, one transaction and one verdict each."""
        arrival = _arrival(command, command.gateway_id)
        return Attached(verdicts=await self._attach_all(arrival, command.attachments))

    async def attach_edge(self, command: EdgeAttach) -> Attached:
        """Directly: one space, and a connection id that the broker vouches for."""
        attachment = Attachment(ref=command.ref, connection_id=command.connection_id)
        return Attached(verdicts=await self._attach_all(_arrival(command, None), [attachment]))

    async def _attach_all(
        self, arrival: Arrival, attachments: Sequence[Attachment]
    ) -> list[AttachVerdict]:
        try:
            token = await self.worker_token(arrival.token_sha256)
            if arrival.gateway_id is not None:
                await self._stores.leases.know_gateway(arrival.gateway_id)
        except ProblemError as error:
            return [self._refused(one, error.problem) for one in attachments]
        taken: set[str] = set()
        return [await self._attach_one(arrival, token, one, taken) for one in attachments]

    async def worker_token(self, secret_sha256: str) -> Principal:
        """Whose token it is. Raises token_invalid, token_revoked, token_expired, or forbidden for another kind."""
        known = await self._stores.access.authenticate(secret_sha256)
        if known is None:
            raise ProblemError.of(Code.TOKEN_INVALID, "The worker token is not known")
        if known.obstacle is Code.TOKEN_REVOKED:
            raise ProblemError.of(Code.TOKEN_REVOKED, "The worker token was revoked")
        token = good(known)
        if token.kind is not PrincipalKind.WORKER_TOKEN:
            raise ProblemError.of(
                Code.FORBIDDEN, "This is an API key; a worker needs a worker token"
            )
        return token

    async def find(self, token: Principal, ref: str) -> Candidate:
        """The space that a token's holder means."""
        return await self._finder.find(token, ref)

    async def _attach_one(
        self, arrival: Arrival, token: Principal, attachment: Attachment, taken: set[str]
    ) -> AttachVerdict:
        try:
            found = await self._finder.find(token, attachment.ref)
            if found.space_id in taken:
                # The second would supersede the first: both are of one instance.
                raise ProblemError.of(
                    Code.INVALID_REQUEST, f"Space {found.full_name!r} is named twice"
                )
            async with self._stores.database.transaction() as tx:
                seating = await self._seat(tx, arrival, token, attachment, found.space_id)
        except ProblemError as error:
            return self._refused(attachment, error.problem)
        if isinstance(seating, Refusal):
            return self._refused(attachment, seating.problem, seating.holder)
        taken.add(found.space_id)
        await self._tell(seating)
        return AttachVerdict(
            ref=attachment.ref,
            connection_id=attachment.connection_id,
            space_id=found.space_id,
            name=seating.space.name,
            epoch=seating.epoch,
            seat=seating.place.seat,
            adopted=seating.adoption.adopted,
            abandon=seating.adoption.abandon,
        )

    async def _seat(
        self,
        tx: Transaction,
        arrival: Arrival,
        token: Principal,
        attachment: Attachment,
        space_id: str,
    ) -> Seating | Refusal:
        """Decides under the lock of the space, so that racing attaches come one after the other."""
        connections = self._stores.connections
        space = await self._stores.spaces.lock(tx, space_id)
        if space is None:
            raise ProblemError(space_not_found(attachment.ref))
        if not space.enabled:
            raise ProblemError.of(Code.SPACE_DISABLED, f"Space {space.name!r} is disabled")
        if await connections.token_revoked(tx, token.principal_id):
            raise ProblemError.of(Code.TOKEN_REVOKED, "The worker token was revoked")
        claim = Claim(
            attachment.connection_id,
            arrival.instance_id,
            arrival.instance_secret_sha256,
            arrival.takeover,
        )
        place = choose_seat(
            claim, await connections.seated(tx, space_id), space.policy.max_connections
        )
        if isinstance(place, Refusal):
            return place
        new = _new_connection(arrival, token, attachment, space_id, place.seat)
        ended = Ended(space_id, Reason.SUPERSEDED)
        if isinstance(place, Repeat):
            epoch = place.epoch
            await connections.refresh(tx, new, LEASE_S)
        else:
            if await connections.used(tx, attachment.connection_id):
                raise ProblemError.of(
                    Code.INVALID_REQUEST, "The connection id was used before; make a new one"
                )
            rows = await connections.end(tx, space_id, place.supersedes, Reason.SUPERSEDED)
            ended.routes = [row["route"] for row in rows]
            epoch = await connections.add(tx, new, LEASE_S)
        supersedes = () if isinstance(place, Repeat) else place.supersedes
        adoption = await connections.adopt(tx, new, arrival.in_flight, supersedes)
        ended.request_ids = adoption.announce
        return Seating(space, place, epoch, adoption, ended)

    async def _tell(self, seating: Seating) -> None:
        """After the COMMIT."""
        self._meters.attaches.labels("attached").inc()
        self._presence.changed(seating.space.space_id)
        await self._endings.tell(seating.ended)

    def _refused(
        self, attachment: Attachment, problem: Problem, holder: str | None = None
    ) -> AttachVerdict:
        self._meters.attaches.labels(problem.code.value).inc()
        return AttachVerdict(
            ref=attachment.ref,
            connection_id=attachment.connection_id,
            problem=problem,
            holder=holder,
        )


def _arrival(command: Attach | EdgeAttach, gateway_id: str | None) -> Arrival:
    return Arrival(
        token_sha256=command.token_sha256,
        gateway_id=gateway_id,
        slots=command.slots,
        instance_id=command.instance_id,
        instance_secret_sha256=command.instance_secret_sha256,
        agent=command.agent,
        in_flight=command.in_flight,
        takeover=command.takeover,
    )


def _new_connection(
    arrival: Arrival, token: Principal, attachment: Attachment, space_id: str, seat: int
) -> NewConnection:
    return NewConnection(
        connection_id=attachment.connection_id,
        space_id=space_id,
        principal_id=token.principal_id,
        gateway_id=arrival.gateway_id,
        instance_id=arrival.instance_id,
        instance_secret_sha256=arrival.instance_secret_sha256,
        route=route_of(space_id, attachment.connection_id, arrival.gateway_id),
        slots=arrival.slots,
        agent=arrival.agent,
        seat=seat,
    )


def route_of(space_id: str, connection_id: str, gateway_id: str | None) -> str:
    """The prefix under which a connection is reached: through its gateway, or directly."""
    if gateway_id is None:
        return f"wk.{space_id}.{connection_id}.d"
    return f"gw.{gateway_id}.wk.{connection_id}"
