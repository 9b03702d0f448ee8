"""Registry and scheduler as far as the sockets need them: on the real bus, in memory, and scripted by tests."""

import asyncio
import json
from datetime import UTC, datetime

from spaces_chassis.bus import Bus, Delivery, on, serve
from spaces_chassis.errors import ProblemError
from spaces_contracts.access import (
    AccessChanged,
    Authenticate,
    Permission,
    Principal,
    PrincipalKind,
    PrincipalReply,
    RedeemTicket,
)
from spaces_contracts.connections import (
    Attach,
    Attached,
    AttachVerdict,
    Attempt,
    ConnectionDraining,
    ConnectionEnded,
    ConnectionSuspected,
    GatewayBeat,
    GatewayBeatReply,
)
from spaces_contracts.identifiers import new_id
from spaces_contracts.message import Done
from spaces_contracts.problems import Code, Problem
from spaces_contracts.quotas import Allowances, TakeAllowance
from spaces_contracts.requests import (
    JOB_ANSWERS,
    CancelRequest,
    EventKind,
    GetQueues,
    GetRequests,
    Job,
    JobAnswer,
    JobResult,
    Queue,
    QueueList,
    RequestEvent,
    RequestFinished,
    RequestList,
    RequestReply,
    RequestState,
    RequestView,
    ResultAck,
    ResultOutcome,
    Submit,
    Submitted,
    SubmitVerdict,
)
from spaces_contracts.spaces import GetSpace, SpaceEvent, SpaceReply
from tests.integration.gateway_sockets.allowances import allowances
from tests.integration.gateway_sockets.samples import TENANT, principal, space, view


class PlatformDouble:
    """What arrived, and what is answered."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.space_ids: dict[str, str] = {"demo": new_id()}
        self.problems: dict[str, Problem] = {}  # space ref -> refusal
        self.holders: dict[str, str] = {}
        self.adopt: list[object] = []
        self.attach_gate: asyncio.Event | None = None
        self.job_at_attach: bool = False
        self.attaches: list[Attach] = []
        self.routes: dict[str, str] = {}  # connection id -> route
        self.ended: list[tuple[str, bool]] = []
        self.ended_refusals = 0  # so many ConnectionEnded are not answered in time
        self.suspected: list[str] = []
        self.silences: list[float] = []
        self.beats: list[GatewayBeat] = []
        self.doubted: list[str] = []
        self.lost: dict[str, Problem] = {}
        self.draining: list[str] = []
        self.answers: list[JobAnswer] = []
        self.results: list[JobResult] = []
        self.verdict = ResultOutcome.STORED
        self.requests: dict[str, RequestView] = {}
        self.given: dict[str, str] = {}  # request id -> notify
        self.looked_up = 0
        self.queue_questions: list[GetQueues] = []
        self.queue_gate: asyncio.Event | None = None
        self.duplicate_of: str | None = None
        self.refused: Problem | None = None
        self.as_worker = False
        self.scopes: list[Permission] | None = None  # of the keys that are shown
        self.authenticating: Principal | None = None  # the last who was asked for
        self.authenticate_gate: asyncio.Event | None = None
        self.requests_per_minute: int | None = None
        self.submit_gate: asyncio.Event | None = None
        self.submits_waiting = 0
        self.most_submits = 0

    async def start(self) -> None:
        self.bus.add_routes(
            [
                serve(Attach, self._attach, queue="registry"),
                serve(ConnectionEnded, self._ended, queue="registry"),
                serve(GatewayBeat, self._beat, queue="registry"),
                serve(ConnectionDraining, self._draining, queue="registry"),
                serve(Authenticate, self._authenticate, queue="registry"),
                serve(RedeemTicket, self._redeem, queue="registry"),
                serve(TakeAllowance, self._allowance, queue="registry"),
                serve(GetSpace, self._space, queue="registry"),
                on(ConnectionSuspected, self._suspected),
                on(JobAnswer, lambda m, _: self.answers.append(m)),
                on(JobResult, self._result),
                serve(Submit, self._submit, queue="scheduler"),
                serve(GetRequests, self._get, queue="scheduler"),
                serve(GetQueues, self._queues, queue="scheduler"),
                serve(CancelRequest, self._cancel, queue="scheduler"),
            ]
        )
        await self.bus.start()
        await self.bus.ensure_event_stream()

    # Registry

    async def _allowance(self, command: TakeAllowance) -> Allowances:
        return allowances(command, self.requests_per_minute)

    async def _attach(self, command: Attach) -> Attached:
        self.attaches.append(command)
        if self.attach_gate is not None:
            await self.attach_gate.wait()
        if self.problems.get("*") is not None:
            raise ProblemError(self.problems["*"])
        verdicts = []
        for attachment in command.attachments:
            cid = attachment.connection_id
            if (problem := self.problems.get(attachment.ref)) is not None:
                holder = self.holders.get(attachment.ref)
                verdict = AttachVerdict(
                    ref=attachment.ref, connection_id=cid, problem=problem, holder=holder
                )
            else:
                self.routes[cid] = f"gw.{command.gateway_id}.wk.{cid}"
                verdict = AttachVerdict(
                    ref=attachment.ref,
                    connection_id=cid,
                    space_id=self.space_ids.setdefault(attachment.ref, new_id()),
                    name=attachment.ref,
                    epoch=1,
                    adopted=[
                        Attempt(request_id=f.request_id, attempt=f.attempt)
                        for f in command.in_flight
                    ],
                )
                if self.job_at_attach:
                    await self.give(cid, new_id(), ref=attachment.ref)
            verdicts.append(verdict)
        return Attached(verdicts=verdicts)

    async def _ended(self, command: ConnectionEnded) -> Done:
        if self.ended_refusals > 0:
            self.ended_refusals -= 1
            raise ProblemError.of(Code.UNAVAILABLE, "not now")
        self.ended += [(cid, command.clean) for cid in command.connection_ids]
        return Done()

    def _suspected(self, message: ConnectionSuspected, _delivery: Delivery) -> None:
        self.suspected += message.connection_ids
        self.silences.append(message.silent_s)

    async def _beat(self, beat: GatewayBeat) -> GatewayBeatReply:
        self.beats.append(beat)
        if self.doubted:
            return GatewayBeatReply(doubted=self.doubted)
        if self.lost:
            return GatewayBeatReply(ended=list(self.lost), problem=next(iter(self.lost.values())))
        return GatewayBeatReply()

    async def _draining(self, command: ConnectionDraining) -> Done:
        self.draining += command.connection_ids
        return Done()

    async def _authenticate(self, command: Authenticate) -> PrincipalReply:
        problem = self.problems.get("secret")
        if problem is not None:
            raise ProblemError(problem)
        kind = PrincipalKind.WORKER_TOKEN if self.as_worker else PrincipalKind.API_KEY
        self.authenticating = principal(kind, self.scopes)
        if self.authenticate_gate is not None:
            await self.authenticate_gate.wait()
        return PrincipalReply(principal=self.authenticating)

    async def _redeem(self, command: RedeemTicket) -> PrincipalReply:
        if self.problems.get("ticket") is not None:
            raise ProblemError(self.problems["ticket"])
        return PrincipalReply(principal=principal())

    async def _space(self, command: GetSpace) -> SpaceReply:
        for name, space_id in self.space_ids.items():
            if command.ref in (name, space_id):
                return SpaceReply(space=space(name, space_id))
        raise ProblemError.of(Code.SPACE_NOT_FOUND, f"No space {command.ref!r}.")

    # Scheduler

    def _result(self, result: JobResult, delivery: Delivery) -> None:
        self.results.append(result)
        assert delivery.reply_to is not None
        ack = ResultAck(request_id=result.request_id, attempt=result.attempt, verdict=self.verdict)
        self.bus.publish_bytes(delivery.reply_to, ack.encode())

    async def _submit(self, command: Submit) -> Submitted:
        self.submits_waiting += len(command.requests)
        self.most_submits = max(self.most_submits, self.submits_waiting)
        if self.submit_gate is not None:
            await self.submit_gate.wait()
        self.submits_waiting -= len(command.requests)
        first = self.duplicate_of
        if first is not None or self.refused is not None:
            return Submitted(
                verdicts=[
                    SubmitVerdict(
                        request_id=first or request.request_id,
                        duplicate=first is not None,
                        problem=self.refused,
                    )
                    for request in command.requests
                ]
            )
        for request in command.requests:
            self.requests.setdefault(
                request.request_id, view(request.space_id, request_id=request.request_id)
            )
            self.given[request.request_id] = request.notify or ""
        return Submitted(
            verdicts=[
                SubmitVerdict(request_id=request.request_id, position=1, queue_size=1)
                for request in command.requests
            ]
        )

    async def _get(self, command: GetRequests) -> RequestList:
        self.looked_up += 1
        found = [self.requests[rid] for rid in command.request_ids if rid in self.requests]
        return RequestList(requests=found)

    async def _queues(self, command: GetQueues) -> QueueList:
        self.queue_questions.append(command)
        if self.queue_gate is not None:
            await self.queue_gate.wait()
        return QueueList(queues=[Queue(space_id=space_id) for space_id in command.space_ids])

    async def _cancel(self, command: CancelRequest) -> RequestReply:
        request = self.requests.get(command.request_id)
        if request is None:
            raise ProblemError.of(Code.REQUEST_NOT_FOUND, "No such request.")
        return RequestReply(request=request.model_copy(update={"cancel_requested": True}))

    # What tests do

    async def give(
        self,
        connection_id: str,
        request_id: str,
        *,
        ref: str = "demo",
        attempt: int = 1,
        **fields: object,
    ) -> None:
        """Dispatches a job."""
        base = {"payload": '{"prompt": "hello", "parameters": {}}', "remaining_ms": 60_000}
        job = Job.model_validate(
            {
                "route": self.routes[connection_id],
                "space_id": self.space_ids[ref],
                "connection_id": connection_id,
                "request_id": request_id,
                "attempt": attempt,
                **base,
                **fields,
            }
        )
        await self.bus.publish(job)

    def queued(self, ref: str) -> RequestView:
        """A request that is there already."""
        request = view(self.space_ids[ref])
        self.requests[request.request_id] = request
        return request

    def change(self, request_id: str, **fields: object) -> None:
        self.requests[request_id] = self.requests[request_id].model_copy(update=fields)

    async def tell_chunk(
        self, request_id: str, n: int, data: list[object], *, attempt: int = 1
    ) -> None:
        """A chunk as a worker's gateway stores it."""
        await self.bus.publish_event(
            RequestEvent(
                space_id=self.requests[request_id].space_id,
                request_id=request_id,
                kind=EventKind.CHUNK,
                attempt=attempt,
                n=n,
                count=len(data),
                data_json=json.dumps(data),
            )
        )

    async def tell_progress(self, request_id: str, percent: float) -> None:
        await self.bus.publish_event(
            RequestEvent(
                space_id=self.requests[request_id].space_id,
                request_id=request_id,
                kind=EventKind.PROGRESS,
                attempt=1,
                percent=percent,
            )
        )

    async def tell_space(self, ref: str, **fields: object) -> None:
        event = SpaceEvent.model_validate({"space_id": self.space_ids[ref], **fields})
        await self.bus.publish(event)

    async def tell_access_changed(self, principal_id: str) -> None:
        await self.bus.publish(AccessChanged(what="principal", changed_id=principal_id))

    async def tell_space_changed(self, ref: str, private_to: str | None) -> None:
        """For whom a space exists from now on."""
        await self.bus.publish(
            AccessChanged(
                what="space",
                changed_id=self.space_ids[ref],
                tenant_id=TENANT,
                private_to=private_to,
            )
        )

    async def ask(self, subject: str, body: bytes) -> bytes:
        """A message for a connection, as the scheduler sends it; the raw answer."""
        answers: asyncio.Queue[bytes] = asyncio.Queue()
        inbox = self.bus.inbox(
            lambda _token, answer, _nobody: answers.put_nowait(answer), JOB_ANSWERS
        )
        try:
            self.bus.publish_bytes(subject, body, reply_to=inbox.address("one"))
            return await asyncio.wait_for(answers.get(), 5)
        finally:
            inbox.close()

    async def finish(
        self, request_id: str, *, tell: bool = True, **fields: object
    ) -> RequestFinished:
        """Ends a request and tells its watchers."""
        old = self.requests[request_id]
        now = datetime.now(UTC)
        update = {"state": RequestState.SUCCEEDED, "finished_at": now, "attempt": 1, **fields}
        new = self.requests[request_id] = old.model_copy(update=update)
        event = RequestFinished(
            space_id=new.space_id,
            request_id=request_id,
            state=new.state,
            attempt=new.attempt,
            last_n=new.last_n,
            output_json=new.output_json,
            error=new.error,
            created_at=new.created_at,
            finished_at=now,
        )
        if tell:
            await self.bus.publish(event)
            if self.given.get(request_id):
                await self.bus.publish_to(self.given[request_id], event)
        return event
