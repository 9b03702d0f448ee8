"""Short ways to make what a test of the scheduler needs."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import pytest

from spaces_chassis.bus import Bus, Subscription, on
from spaces_chassis.bus.routes import Delivery, Route
from spaces_chassis.errors import ProblemError
from spaces_chassis.testing import Signal
from spaces_contracts.access import EVERYTHING
from spaces_contracts.connections import ConnectionSuspected
from spaces_contracts.identifiers import new_id
from spaces_contracts.message import Command
from spaces_contracts.problems import Problem
from spaces_contracts.requests import (
    Announce,
    CancelJob,
    GetRequests,
    Job,
    JobAnswer,
    JobResult,
    NewRequest,
    RequestFinished,
    RequestState,
    RequestView,
    ResultAck,
    Submit,
    SubmitVerdict,
)
from spaces_contracts.spaces import SpaceEvent
from spaces_scheduler.app import Scheduler
from spaces_scheduler.intake_store import names_of
from spaces_scheduler.rounds import rounds
from tests.integration.scheduler.calls import FINISH, SUBMIT, finish_arguments, submit_arguments

TENANT = "tenant000000000000000000aa"
GATEWAY = "gateway00000000000000000aa"  # all workers are on one
PRINCIPAL = "principal00000000000000000"


class Lanes:
    """The SQL functions, each called with the rights of the service that calls it."""

    def __init__(
        self,
        as_registry: "asyncpg.Connection[asyncpg.Record]",
        as_scheduler: "asyncpg.Connection[asyncpg.Record]",
        tables: "asyncpg.Connection[asyncpg.Record]",
    ) -> None:
        self.as_registry = as_registry
        self.as_scheduler = as_scheduler
        self.tables = tables

    async def open(
        self,
        space_id: str | None = None,
        *,
        enabled: bool = True,
        inputs: tuple[str, ...] = ("prompt",),
        **policy: Any,
    ) -> str:
        """A lane that queues while nobody is connected, unless the policy says otherwise."""
        space_id = space_id or new_id()
        await self.as_registry.execute(
            "SELECT scheduler.lane_open($1, $2, $3, $4, $5)",
            space_id,
            TENANT,
            enabled,
            list(inputs),
            json.dumps({"when_offline": "queue"} | policy),
        )
        return space_id

    async def close(self, space_id: str) -> list[str]:
        rows = await self.as_registry.fetch("SELECT scheduler.lane_close($1) AS id", space_id)
        return [row["id"] for row in rows]

    async def attach(
        self,
        space_id: str,
        connection_id: str,
        *,
        instance_id: str,
        slots: int = 1,
        in_flight: tuple[tuple[str, int], ...] = (),
        supersedes: tuple[str, ...] = (),
    ) -> list[tuple[str, str, int | None]]:
        rows = await self.as_registry.fetch(
            "SELECT * FROM scheduler.attach($1, $2, $3, $4, $5, $6, $7)",
            space_id,
            connection_id,
            instance_id,
            f"gw.{GATEWAY}.wk.{connection_id}",
            slots,
            json.dumps([{"request_id": r, "attempt": a, "finished": False} for r, a in in_flight]),
            list(supersedes),
        )
        return [(row["kind"], row["request_id"], row["attempt"]) for row in rows]

    async def detach(self, *connection_ids: str) -> list[str]:
        rows = await self.as_registry.fetch(
            "SELECT scheduler.detach($1) AS id", list(connection_ids)
        )
        return [row["id"] for row in rows]

    async def drain(self, connection_id: str) -> None:
        await self.as_registry.execute("SELECT scheduler.connection_drain($1)", connection_id)

    async def submit_all(self, *requests: NewRequest) -> list[asyncpg.Record]:
        """All rows; one call, or more where a key comes twice, as the store does it."""
        return [
            row
            for part in rounds(requests, names_of)
            for row in await self.as_scheduler.fetch(
                SUBMIT, *submit_arguments([requests[nth] for nth in part])
            )
        ]

    async def submit(self, space_id: str, **fields: Any) -> str:
        """One accepted request."""
        request = new_request(space_id, **fields)
        rows = await self.submit_all(request)
        assert rows[0]["code"] is None, rows[0]["code"]
        return request.request_id

    async def finish(
        self,
        space_id: str,
        connection_id: str,
        request_id: str,
        attempt: int = 1,
        state: str = "succeeded",
    ) -> str:
        """The verdict on one result."""
        rows = await self.finish_all((space_id, connection_id, request_id, attempt, state))
        return str(rows[0]["verdict"])

    async def finish_all(self, *results: tuple[str, str, str, int, str]) -> list[asyncpg.Record]:
        return [
            row
            for part in rounds(results, lambda result: [result[2]])
            for row in await self.as_scheduler.fetch(
                FINISH, *finish_arguments([results[nth] for nth in part])
            )
        ]

    async def refuse(
        self, space_id: str, connection_id: str, request_id: str, attempt: int = 1
    ) -> list[str]:
        rows = await self.as_scheduler.fetch(
            "SELECT scheduler.refuse_many($1, $2, $3, $4) AS id",
            [space_id],
            [connection_id],
            [request_id],
            [attempt],
        )
        return [row["id"] for row in rows]

    async def accept(self, connection_id: str, request_id: str, attempt: int = 1) -> int:
        noted: int = await self.as_scheduler.fetchval(
            "SELECT scheduler.accept_many($1, $2, $3)", [connection_id], [request_id], [attempt]
        )
        return noted

    async def cancel(self, *request_ids: str) -> list[str]:
        rows = await self.as_scheduler.fetch(
            "SELECT scheduler.cancel_many($1, $2) AS id",
            list(request_ids),
            [None] * len(request_ids),
        )
        return [row["id"] for row in rows]

    async def step(self, name: str) -> list[str]:
        """One of the steps of the loops, again and again until nothing is left; what is to be announced."""
        argument = "clock_timestamp()" if name in ("expire_step", "force_cancel_step") else ""
        announced: list[str] = []
        while True:
            rows = await self.as_scheduler.fetch(
                f"SELECT id FROM scheduler.{name}({argument}) AS id"
            )
            announced += [row["id"] for row in rows]
            if not rows:
                return announced

    async def repair(self) -> list[tuple[str, str]]:
        rows = await self.as_scheduler.fetch("SELECT * FROM scheduler.repair_step()")
        return [(row["kind"], row["request_id"]) for row in rows]

    async def forward(self, seconds: float) -> None:
        """Turns the clock that deadlines are kept in."""
        await self.tables.execute(
            "UPDATE scheduler.clock SET stepped = stepped - make_interval(secs => $1)", seconds
        )

    async def request(self, request_id: str) -> asyncpg.Record:
        row = await self.tables.fetchrow(
            "SELECT * FROM scheduler.request WHERE request_id = $1", request_id
        )
        assert row is not None, "no such request"
        return row

    async def state(self, request_id: str) -> str:
        return str((await self.request(request_id))["state"])

    async def problem(self, request_id: str) -> str:
        """The code of the problem that the request ended with."""
        body = await self.tables.fetchval(
            "SELECT error FROM scheduler.result WHERE request_id = $1", request_id
        )
        return str(json.loads(body)["code"])


def new_request(space_id: str, **fields: Any) -> NewRequest:
    """A request with a prompt."""
    values: dict[str, Any] = {
        "request_id": new_id(),
        "tenant_id": TENANT,
        "principal_id": PRINCIPAL,
        "payload": '{"prompt":"hello"}',
        "inputs": ["prompt"],
    }
    return NewRequest(space_id=space_id, **(values | fields))


@dataclass
class Worker:
    """A connection as its gateway holds it: what reached it, and what it says."""

    bus: Bus
    space_id: str
    instance_id: str = field(default_factory=new_id)
    connection_id: str = field(default_factory=new_id)
    jobs: Signal[Job] = field(default_factory=Signal)
    cancels: Signal[CancelJob] = field(default_factory=Signal)
    acks: Signal[ResultAck] = field(default_factory=Signal)

    @property
    def route(self) -> str:
        return f"gw.{GATEWAY}.wk.{self.connection_id}"

    async def listen(self) -> list[Subscription]:
        def receive(delivery: Delivery) -> None:
            what = delivery.subject.rsplit(".", 1)[1]
            if what == "job":
                self.jobs.send(Job.model_validate_json(delivery.body))
            elif what == "cancel":
                self.cancels.send(CancelJob.model_validate_json(delivery.body))
            else:
                self.acks.send(ResultAck.model_validate_json(delivery.body))

        subject = f"{self.route}.>"
        return [await self.bus.subscribe(Route("worker", subject, receive), subject)]

    async def answer(self, job: Job, *, accepted: bool = True) -> None:
        await self.bus.publish(
            JobAnswer(
                space_id=self.space_id,
                connection_id=self.connection_id,
                request_id=job.request_id,
                attempt=job.attempt,
                accepted=accepted,
            )
        )

    async def finish(
        self, job: Job, state: RequestState = RequestState.SUCCEEDED, **fields: Any
    ) -> ResultAck:
        """Sends a result; how it was acknowledged."""
        values: dict[str, Any] = {"output_json": '"done"', "processing_time_seconds": 0.1}
        result = JobResult(
            space_id=self.space_id,
            connection_id=self.connection_id,
            request_id=job.request_id,
            attempt=job.attempt,
            state=state,
            **(values | fields),
        )
        await self.bus.publish(result, reply_to=f"{self.route}.ack")
        return await self.acks.next()


class World:
    """A scheduler, a gateway and workers."""

    def __init__(self, bus: Bus, lanes: Lanes, scheduler: Scheduler) -> None:
        self.bus = bus
        self.lanes = lanes
        self.scheduler = scheduler
        self._subscriptions: list[Subscription] = []

    async def worker(self, space_id: str, *, slots: int = 1, listens: bool = True) -> Worker:
        """A worker that attached; the registry announced what it was given."""
        worker = Worker(self.bus, space_id)
        if listens:
            await self.listen(worker)
        await self.attach(worker, slots=slots)
        return worker

    async def listen(self, worker: Worker) -> None:
        """The worker hears what is sent to its connection."""
        self._subscriptions += await worker.listen()

    async def attach(self, worker: Worker, *, slots: int = 1, **more: Any) -> list[Any]:
        rows = await self.lanes.attach(
            worker.space_id,
            worker.connection_id,
            instance_id=worker.instance_id,
            slots=slots,
            **more,
        )
        await self.announce(*(r for kind, r, _ in rows if kind == "announce"))
        return rows

    async def detach(self, *workers: Worker) -> None:
        await self.announce(*await self.lanes.detach(*(w.connection_id for w in workers)))

    async def announce(self, *request_ids: str) -> None:
        if request_ids:
            await self.bus.request(Announce(request_ids=list(request_ids)))

    async def submit_all(self, *requests: NewRequest) -> list[SubmitVerdict]:
        reply = await self.bus.request(Submit(requests=list(requests)), timeout_s=10)
        return reply.verdicts

    async def submit(self, space_id: str, **fields: Any) -> SubmitVerdict:
        (verdict,) = await self.submit_all(new_request(space_id, **fields))
        return verdict

    async def refused(self, command: Command[Any]) -> Problem:
        """The problem that a command is answered with."""
        with pytest.raises(ProblemError) as error:
            await self.bus.request(command)
        return error.value.problem

    async def get(self, request_id: str) -> RequestView:
        command = GetRequests(request_ids=[request_id], **dict(EVERYTHING))
        (view,) = (await self.bus.request(command)).requests
        return view

    async def ends(self, space_id: str) -> Signal[RequestFinished]:
        """The terminal events of a space, as they come."""
        heard: Signal[RequestFinished] = Signal()
        await self._hear(
            on(RequestFinished, lambda message, _: heard.send(message)),
            RequestFinished.subject.listen(space_id=space_id),
        )
        return heard

    async def events(self, space_id: str) -> Signal[SpaceEvent]:
        """What watchers of the space are told."""
        heard: Signal[SpaceEvent] = Signal()
        await self._hear(
            on(SpaceEvent, lambda message, _: heard.send(message)),
            SpaceEvent.subject.listen(space_id=space_id),
        )
        return heard

    async def suspicions(self) -> Signal[str]:
        """The connections that the registry is told to doubt."""
        heard: Signal[str] = Signal()

        def receive(message: ConnectionSuspected, _delivery: Delivery) -> None:
            for connection_id in message.connection_ids:
                heard.send(connection_id)

        await self._hear(on(ConnectionSuspected, receive), None)
        return heard

    async def _hear(self, route: Route, subject: str | None) -> None:
        self._subscriptions.append(await self.bus.subscribe(route, subject))

    async def close(self) -> None:
        await asyncio.gather(*(subscription.stop() for subscription in self._subscriptions))
