"""Lets direct workers into the account EDGE: the broker asks who somebody is, and we answer with their rights."""

import structlog

from spaces_chassis.bus import Bus, Delivery, Route
from spaces_chassis.clock import Clock
from spaces_chassis.errors import BusUnavailable, ProblemError
from spaces_contracts.access import Principal
from spaces_contracts.identifiers import is_id
from spaces_contracts.keys import sha256_of
from spaces_contracts.problems import Code
from spaces_registry.attaching import Attaching
from spaces_registry.meters import Meters
from spaces_registry.stores import Stores
from spaces_registry.user_jwt import (
    ForgedRequest,
    Signer,
    UserRequest,
    answer_claims,
    read_request,
    worker_claims,
)

log = structlog.get_logger(__name__)

SUBJECT = "$SYS.REQ.USER.AUTH"
QUEUE = "registry"


class Door:
    """Decides which connection and space somebody may speak for."""

    def __init__(self, attaching: Attaching, stores: Stores) -> None:
        self._attaching = attaching
        self._connections = stores.connections
        self._sessions = stores.sessions

    async def admit(self, asked: UserRequest) -> tuple[str, str]:
        """The connection and space. Raises ProblemError."""
        connection_id, _, ref = asked.user.partition(":")
        if not is_id(connection_id) or not ref:
            raise ProblemError.of(Code.UNAUTHENTICATED, "The user is <connection id>:<space>")
        token = await self._attaching.worker_token(sha256_of(asked.password))
        space = await self._attaching.find(token, ref)
        await self._require_own(token, connection_id, space.space_id)
        await self._sessions.note(connection_id, asked.server_id, asked.client_id)
        return connection_id, space.space_id

    async def _require_own(self, token: Principal, connection_id: str, space_id: str) -> None:
        """Whoever names the connection of another would hear what is answered to it."""
        owner = await self._connections.owner(connection_id)
        if owner is not None and (
            owner["principal_id"] != token.principal_id or owner["space_id"] != space_id
        ):
            raise ProblemError.of(Code.FORBIDDEN, "The connection id belongs to another worker")


class Callout:
    """Answers the broker. The user is `<connection_id>:<space>`, the password a worker token."""

    def __init__(self, signer: Signer, door: Door, clock: Clock, meters: Meters) -> None:
        self._signer = signer
        self._door = door
        self._clock = clock
        self._meters = meters

    def listen(self, authority: Bus) -> None:
        """`authority` is a bus of the account AUTH; of several registries one answers."""
        authority.add_routes([Route("AuthCallout", SUBJECT, self._asked, queue=QUEUE)])
        self._authority = authority

    async def _asked(self, delivery: Delivery) -> None:
        try:
            asked = read_request(delivery.body.decode())
        except (ForgedRequest, UnicodeDecodeError):
            log.warning("callout_not_understood")
            return
        answer = self._signer.sign(await self._answer(asked))
        if delivery.reply_to is not None:
            try:
                self._authority.publish_bytes(delivery.reply_to, answer.encode())
            except BusUnavailable:
                log.warning("callout_not_answered")

    async def _answer(self, asked: UserRequest) -> dict[str, object]:
        now_s = int(self._clock.now().timestamp())
        try:
            connection_id, space_id = await self._door.admit(asked)
        except ProblemError as error:
            code = error.problem.code.value
            self._meters.callouts.labels(code).inc()
            log.info("direct_worker_refused", code=code, client_name=asked.client_name[:64])
            return answer_claims(asked, now_s, error=code)
        self._meters.callouts.labels("admitted").inc()
        jwt = self._signer.sign(worker_claims(asked, space_id, connection_id, now_s))
        return answer_claims(asked, now_s, jwt=jwt)
