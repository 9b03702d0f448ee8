"""The platform as a direct worker meets it: a real nats-server, with registry and scheduler played by the test."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from pydantic import SecretStr

from spaces_chassis.bus import Bus, Delivery, Route, listen
from spaces_chassis.settings import BusSettings
from spaces_contracts.connections import (
    Attached,
    AttachVerdict,
    EdgeAttach,
    KickConnection,
    WorkerBeat,
)
from spaces_contracts.identifiers import new_id
from spaces_contracts.problems import Code, Problem
from spaces_contracts.requests import (
    CancelJob,
    Job,
    JobAnswer,
    JobResult,
    RequestEvent,
    ResultAck,
    ResultOutcome,
)
from spaces_registry.user_jwt import Signer, answer_claims, read_request, worker_claims
from tests.support.fake_gateway import space_id
from tests.support.observed_nats import OBSERVER
from tests.support.servers import RunningNats
from tests.support.visits import BaseVisit

WAIT_S = 20.0


class DirectVisit(BaseVisit):
    """One connection of an agent; what it says is shown as frames of the worker socket."""

    def __init__(self, bus: Bus, command: EdgeAttach, delivery: Delivery) -> None:
        super().__init__()
        self._bus = bus
        self._attach = command
        self._delivery = delivery
        self.sid = space_id(command.ref)
        self.route = f"wk.{self.sid}.{command.connection_id}.d"
        self._acks: dict[str, str] = {}

    async def admit(self, **more: Any) -> dict[str, Any]:
        """Grants the seat and returns what the agent said of itself."""
        verdict = AttachVerdict(
            ref=self._attach.ref,
            connection_id=self._attach.connection_id,
            space_id=self.sid,
            name=self._attach.ref,
            epoch=1,
            adopted=more.get("adopted", []),
            abandon=more.get("abandon", []),
        )
        self._delivery.reply_now(Attached(verdicts=[verdict]))
        in_flight = [held.model_dump() for held in self._attach.in_flight]
        return {"spaces": [self._attach.ref], "resume": {"in_flight": in_flight}}

    def refuse(self, code: Code, message: str, holder: str | None = None) -> None:
        """Refuses the seat."""
        verdict = AttachVerdict(
            ref=self._attach.ref,
            connection_id=self._attach.connection_id,
            problem=Problem(code=code, message=message),
            holder=holder,
        )
        self._delivery.reply_now(Attached(verdicts=[verdict]))

    def hear(self, what: str, delivery: Delivery) -> None:
        """A message of this connection."""
        if what == "started":
            answer = JobAnswer.decode(delivery.body, delivery.subject)
            kind = "accepted" if answer.accepted else "refused"
            self.arrived({"type": kind, "request_id": answer.request_id, "attempt": answer.attempt})
        elif what == "result":
            result = JobResult.decode(delivery.body, delivery.subject)
            self._acks[result.request_id] = delivery.reply_to or ""
            frame = result.model_dump(mode="json", exclude={"state", "output_json"})
            frame |= {"type": "inference_result", "status": result.state.value}
            frame["output"] = json.loads(result.output_json) if result.output_json else None
            self.arrived(frame)
        elif what == "hb":
            WorkerBeat.decode(delivery.body, delivery.subject)
            self.pinged()
        elif what in ("draining", "bye"):
            self.arrived({"type": what})

    def event(self, delivery: Delivery) -> None:
        """Progress or chunks, as the stream gets them."""
        event = RequestEvent.decode(delivery.body, delivery.subject)
        frame = {"request_id": event.request_id, "attempt": event.attempt}
        if event.kind == "chunk":
            data = json.loads(event.data_json or "[]")
            assert event.count == len(data)
            self.arrived(frame | {"type": "inference_chunk", "n": event.n, "data": data})
        else:
            facts = {"percent": event.percent, "message": event.message}
            self.arrived(frame | {"type": "inference_progress"} | facts)

    async def job(self, request_id: str | None = None, attempt: int = 1, **more: Any) -> str:
        request_id = request_id or new_id()
        payload = more.pop("payload", {"prompt": "hello"})
        facts = {"remaining_ms": 60_000, "queue_size": 3} | more
        await self._bus.publish(
            Job(
                route=self.route,
                space_id=self.sid,
                connection_id=self._attach.connection_id,
                request_id=request_id,
                attempt=attempt,
                payload=json.dumps(payload),
                **facts,
            )
        )
        return request_id

    async def ack(self, frame: dict[str, Any], outcome: str = "stored") -> None:
        ack = ResultAck(
            request_id=frame["request_id"],
            attempt=frame["attempt"],
            verdict=ResultOutcome(outcome),
        )
        await self._bus.publish_to(self._acks[frame["request_id"]], ack)

    async def ack_chunks(self, request_id: str, n: int, attempt: int = 1) -> None:
        """The stream itself acknowledges what it stored."""

    async def cancel(self, request_id: str, attempt: int = 1, **more: Any) -> None:
        reason = Problem(code=Code(more["code"])) if "code" in more else None
        await self._bus.publish(
            CancelJob(route=self.route, request_id=request_id, attempt=attempt, reason=reason)
        )

    async def kick(self, code: Code, message: str) -> None:
        """Ends the connection."""
        problem = Problem(code=code, message=message)
        await self._bus.publish(KickConnection(route=self.route, problem=problem))


class FakeBroker:
    """Lets every worker in and hands its connections to the test."""

    def __init__(self, server: RunningNats) -> None:
        self.url = server.url
        self._server = server
        self._signer = Signer(server.issuer_seed())
        self.core = self._bus(OBSERVER)
        self._callout = self._bus("registry-callout")
        self.visits: list[DirectVisit] = []
        self._new: asyncio.Queue[DirectVisit] = asyncio.Queue()
        self._by_connection: dict[str, DirectVisit] = {}

    def _bus(self, user: str) -> Bus:
        password = SecretStr(self._server.password(user))
        settings = BusSettings(nats_url=self.url, nats_user=user, nats_password=password)
        return Bus.from_settings(settings, name=f"test-{user}")

    async def start(self) -> None:
        self._callout.add_routes([listen("$SYS.REQ.USER.AUTH", self._asked, name="callout")])
        attach = Route("EdgeAttach", "edge.*.attach", self._attach, template=EdgeAttach.subject)
        routes = [attach, listen("wk.*.*.u.>", self._up, name="up")]
        self.core.add_routes([*routes, listen("evt.>", self._event, name="evt")])
        await self._callout.start()
        await self.core.start()
        await self.core.ensure_event_stream()

    async def stop(self) -> None:
        await self.core.stop()
        await self._callout.stop()

    async def visit(self) -> DirectVisit:
        """The next connection of an agent."""
        return await asyncio.wait_for(self._new.get(), WAIT_S)

    async def admitted(self, **more: Any) -> DirectVisit:
        """The next connection, with its seat."""
        visit = await self.visit()
        await visit.admit(**more)
        return visit

    def _asked(self, delivery: Delivery) -> None:
        asked = read_request(delivery.body.decode())
        connection_id, _, ref = asked.user.partition(":")
        now_s = self.core.unix_ms() // 1000
        if ref == "forbidden":
            claims = answer_claims(asked, now_s, error="token_scope")
        else:
            worker = worker_claims(asked, space_id(ref), connection_id, now_s)
            claims = answer_claims(asked, now_s, jwt=self._signer.sign(worker))
        assert delivery.reply_to is not None
        self._callout.publish_bytes(delivery.reply_to, self._signer.sign(claims).encode())

    def _attach(self, delivery: Delivery) -> None:
        command = EdgeAttach.decode(delivery.body, delivery.subject)
        visit = DirectVisit(self.core, command, delivery)
        self._by_connection[command.connection_id] = visit
        self.visits.append(visit)
        self._new.put_nowait(visit)

    def _up(self, delivery: Delivery) -> None:
        _, _, connection_id, _, what, *_ = delivery.subject.split(".")
        visit = self._by_connection.get(connection_id)
        if visit is not None and what != "chunk":
            visit.hear(what, delivery)

    def _event(self, delivery: Delivery) -> None:
        # An event does not say which connection it came over: the last one is the one that speaks.
        if self.visits:
            self.visits[-1].event(delivery)


@asynccontextmanager
async def fake_broker(server: RunningNats) -> AsyncIterator[FakeBroker]:
    """Registry and scheduler in the test's process, on a real broker."""
    broker = FakeBroker(server)
    await broker.start()
    try:
        yield broker
    finally:
        await broker.stop()
