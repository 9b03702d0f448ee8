"""The direct link: one NATS connection a space, for workers inside the cluster or on a trusted site.

The broker lets a connection speak only for its own id and space; see `Callout` in the registry. A cut is answered like
that of a WebSocket: a new connection that proves to be the same agent.
"""

import asyncio
import contextlib
import hashlib
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from pydantic import SecretStr, ValidationError

from spaces_chassis.bus import Bus, Delivery, listen, stored_seq
from spaces_chassis.errors import ProblemError, UnavailableError
from spaces_chassis.settings import BusSettings
from spaces_contracts.connections import (
    HEARTBEAT_S,
    AttachVerdict,
    DrainConnection,
    EdgeAttach,
    KickConnection,
    WorkerBeat,
    WorkerBye,
    WorkerDraining,
)
from spaces_contracts.identifiers import is_id, new_id
from spaces_contracts.message import Message
from spaces_contracts.problems import Code, Problem
from spaces_contracts.requests import (
    CancelJob,
    Job,
    ResultAck,
)
from spaces_contracts.streams import event_key, event_keys
from spaces_contracts.worker_socket import (
    Cancel,
    ChunkAck,
    Drain,
    Kick,
    Registered,
    RegisterError,
    ResultAckFrame,
)
from spaces_worker_agent.attempts import Chunks, Key, Outgoing, Progress, Result
from spaces_worker_agent.link import Incoming, Introduction, LinkDown
from spaces_worker_agent.nats_messages import answer, chunk_event, job_of, progress_event, result
from spaces_worker_agent.stored_chunks import StoredChunks

log = structlog.get_logger()

OPEN_S = 15.0
ATTACH_S = 5.0
# What comes as an answer to what we said; the rest comes unasked.
_ANSWERS = ("ack", "stored")

# Resolves a space's name to its id before the first message, or raises Leave with the reason why it cannot be served.
Resolve = Callable[[str], Awaitable[str | None]]


@dataclass(frozen=True)
class NatsAddress:
    """Where NATS is, and whom to trust there."""

    url: str
    ca_file: Path | None = None


@dataclass
class Line:
    """One space's connection."""

    ref: str
    bus: Bus
    connection_id: str
    space_id: str = ""
    # In the addresses for answers: another worker of the account could have answers to what it says sent to us.
    secret: str = field(default_factory=lambda: secrets.token_hex(16))
    unbroken_at: float = field(default_factory=time.monotonic)

    def require_unbroken(self) -> None:
        """The bus reconnects by itself, but what was said to us meanwhile is lost: attach anew. Raises LinkDown."""
        now = time.monotonic()
        if self.bus.connected_for_s < now - self.unbroken_at:
            raise LinkDown("the connection to NATS broke")
        self.unbroken_at = now


class NatsLink:
    """One bus a space; everything that arrives is put in one queue as frames of the worker socket."""

    def __init__(self, address: NatsAddress, resolve: Resolve | None = None) -> None:
        self._address = address
        self._resolve = resolve
        self._lines: dict[str, Line] = {}  # by ref
        self._by_space: dict[str, Line] = {}
        self._inbox: asyncio.Queue[Incoming] = asyncio.Queue()
        self._stored: dict[Key, StoredChunks] = {}
        self._unflushed: dict[str, Line] = {}  # by ref
        self._keys = ""  # what those of our events begin with

    async def open(self, introduction: Introduction) -> None:
        """Connects and attaches each space. Raises LinkDown or Leave."""
        await self.close()
        self._inbox = asyncio.Queue()
        self._keys = event_keys(introduction.secret)
        for ref in introduction.spaces:
            known = ref if is_id(ref) else None
            if known is None and self._resolve is not None:
                known = await self._resolve(ref)
            line = await self._dial(ref, introduction)
            self._lines[ref] = line
            if known is not None:
                # A job may come as soon as the registry commits, before it answers: listen first.
                await self._listen(line, known)
            await self._attach(line, introduction)

    async def listen(self, hear: Callable[[Sequence[Incoming]], None]) -> None:
        while True:
            arrived = [await self._inbox.get()]
            while not self._inbox.empty():
                arrived.append(self._inbox.get_nowait())
            hear(arrived)

    def send(self, items: Sequence[Outgoing]) -> bool:
        """There is room again when the server has all of it."""
        for item in items:
            line = self._by_space.get(item.space_id)
            if line is None:
                continue  # its connection ended meanwhile; it is said again after the next one
            self._unflushed[line.ref] = line
            try:
                self._send_one(line, item)
            except UnavailableError:
                return False  # `room` says why
        return False

    async def room(self) -> None:
        lines, self._unflushed = self._unflushed, {}
        for line in lines.values():
            await self._flush(line)

    async def beat(self, running: int) -> None:
        for line in self._by_space.values():
            line.require_unbroken()
            await self._publish(
                line,
                WorkerBeat(
                    space_id=line.space_id, connection_id=line.connection_id, running=running
                ),
            )

    def silent_s(self) -> float:
        """NATS pings by itself; `beat` fails when the connection is lost."""
        return 0.0

    async def say_draining(self) -> None:
        for line in self._by_space.values():
            await self._publish(
                line, WorkerDraining(space_id=line.space_id, connection_id=line.connection_id)
            )

    async def say_bye(self) -> None:
        for line in self._by_space.values():
            await self._publish(
                line, WorkerBye(space_id=line.space_id, connection_id=line.connection_id)
            )
            with contextlib.suppress(UnavailableError):
                await line.bus.flush()

    async def close(self) -> None:
        lines = list(self._lines.values())
        self._lines.clear()
        self._by_space.clear()
        self._stored.clear()
        self._unflushed.clear()
        for line in lines:
            await line.bus.stop()

    # Opening

    async def _dial(self, ref: str, introduction: Introduction) -> Line:
        connection_id = new_id()
        settings = BusSettings(
            nats_url=self._address.url,
            nats_user=f"{connection_id}:{ref}",
            nats_password=SecretStr(introduction.token),
            nats_ca_file=self._address.ca_file,
        )
        name = f"spaces-worker {introduction.instance_id}"
        bus = Bus.from_settings(settings, name=name, inbox_prefix=f"_INBOX.{connection_id}")
        try:
            async with asyncio.timeout(OPEN_S):
                await bus.start()
        except (TimeoutError, OSError, UnavailableError) as error:
            await bus.stop()
            raise LinkDown(
                f"NATS at {self._address.url} does not let us in for space {ref!r}: wrong address, "
                f"unknown or revoked token, or a space outside its scope ({type(error).__name__})"
            ) from None
        return Line(ref, bus, connection_id)

    async def _listen(self, line: Line, space_id: str) -> None:
        def heard(delivery: Delivery) -> None:
            try:
                self._hear(line, delivery)
            except (ValidationError, ValueError) as error:
                log.warning("message_not_understood", subject=delivery.subject, error=str(error))

        line.space_id = space_id
        pattern = f"wk.{space_id}.{line.connection_id}.d.>"
        try:
            await line.bus.subscribe(listen(pattern, heard, name="worker"))
        except (UnavailableError, PermissionError) as error:
            raise LinkDown(f"cannot listen for space {line.ref!r}: {error}") from None
        self._by_space[space_id] = line

    async def _attach(self, line: Line, introduction: Introduction) -> None:
        command = EdgeAttach(
            connection_id=line.connection_id,
            token_sha256=_sha256(introduction.token),
            ref=line.ref,
            slots=introduction.slots,
            instance_id=introduction.instance_id,
            instance_secret_sha256=_sha256(introduction.secret),
            agent=introduction.agent,
            in_flight=list(introduction.in_flight),
            takeover=introduction.takeover,
        )
        try:
            attached = await line.bus.request(command, timeout_s=ATTACH_S)
        except UnavailableError as error:
            raise LinkDown(f"the registry does not answer: {error.problem.message}") from None
        except ProblemError as error:
            problem = error.problem
            self._inbox.put_nowait(
                RegisterError(
                    space=line.ref,
                    code=problem.code,
                    message=problem.message,
                    retry=problem.kind.retry,
                )
            )
            return
        for verdict in attached.verdicts:
            await self._judged(line, verdict)

    async def _judged(self, line: Line, verdict: AttachVerdict) -> None:
        if verdict.problem is not None or verdict.space_id is None:
            self._by_space.pop(line.space_id, None)
            problem = verdict.problem or Problem(code=Code.INTERNAL_ERROR)
            holder = "suspect" if verdict.holder == "suspect" else "live"
            ghost = problem.code is Code.ALREADY_CONNECTED and holder == "suspect"
            self._inbox.put_nowait(
                RegisterError(
                    space=line.ref,
                    code=problem.code,
                    message=problem.message,
                    retry=ghost or problem.kind.retry,
                    retry_after_s=1.0 if ghost else problem.retry_after_s,
                    holder="suspect" if ghost else "live" if verdict.holder else None,
                )
            )
            return
        if line.space_id != verdict.space_id:
            await self._listen(line, verdict.space_id)
        self._inbox.put_nowait(
            Registered(
                space=line.ref,
                connection_id=line.connection_id,
                space_id=verdict.space_id,
                name=verdict.name or line.ref,
                epoch=verdict.epoch,
                heartbeat_s=HEARTBEAT_S,
                adopted=verdict.adopted,
                abandon=verdict.abandon,
            )
        )

    # Down

    def _hear(self, line: Line, delivery: Delivery) -> None:
        what, _, rest = delivery.subject.split(".d.", 1)[1].partition(".")
        if what in _ANSWERS:
            secret, _, rest = rest.partition(".")
            if not secrets.compare_digest(secret, line.secret):
                log.warning("answer_to_somebody_else", subject=delivery.subject)
                return
        if what == "stored":
            self._hear_stored(rest, delivery)
        elif what == "job":
            self._inbox.put_nowait(job_of(Job.decode(delivery.body), line.ref))
        elif what == "cancel":
            cancel = CancelJob.decode(delivery.body)
            reason = cancel.reason or Problem(code=Code.CANCELLED)
            self._inbox.put_nowait(
                Cancel(
                    request_id=cancel.request_id,
                    attempt=cancel.attempt,
                    code=reason.code,
                    message=reason.message,
                )
            )
        elif what == "ack" and delivery.body:  # empty: no scheduler listens; it is sent again
            ack = ResultAck.decode(delivery.body)
            self._stored.pop(Key(ack.request_id, ack.attempt), None)
            self._inbox.put_nowait(
                ResultAckFrame(request_id=ack.request_id, attempt=ack.attempt, outcome=ack.verdict)
            )
        elif what == "drain":
            DrainConnection.decode(delivery.body)
            self._inbox.put_nowait(Drain(connection_id=line.connection_id))
        elif what == "kick":
            problem = KickConnection.decode(delivery.body).problem
            self._by_space.pop(line.space_id, None)
            self._inbox.put_nowait(
                Kick(
                    connection_id=line.connection_id,
                    code=problem.code,
                    message=problem.message or problem.kind.title,
                    retry=problem.kind.retry,
                )
            )

    def _hear_stored(self, token: str, delivery: Delivery) -> None:
        if not delivery.body:
            return  # nobody stores events now; what is unacknowledged is sent again
        stored_seq(delivery.body)
        request_id, attempt, n, count = token.split(".")
        key = Key(request_id, int(attempt))
        stored = self._stored.get(key)
        if stored is None:
            return
        last = stored.stored(int(n), int(count))
        self._inbox.put_nowait(ChunkAck(request_id=request_id, attempt=int(attempt), n=last))

    # Up

    async def _publish(self, line: Line, message: Message) -> None:
        try:
            await line.bus.publish(message)
        except UnavailableError as error:
            raise LinkDown(f"the connection to NATS is lost ({error.problem.message})") from None

    async def _flush(self, line: Line) -> None:
        try:
            await line.bus.flush()
        except UnavailableError as error:
            raise LinkDown(f"the connection to NATS is lost ({error.problem.message})") from None

    def _send_one(self, line: Line, item: Outgoing) -> None:
        down = f"wk.{line.space_id}.{line.connection_id}.d"
        if isinstance(item, Result):
            ended = result(line, item)
            line.bus.publish_bytes(
                ended.address(), ended.encode(), reply_to=f"{down}.ack.{line.secret}"
            )
        elif isinstance(item, Chunks):
            self._stored.setdefault(item.key, StoredChunks(item.n))
            event = chunk_event(line, item)
            rid, attempt = item.key
            line.bus.publish_bytes(
                event.address(),
                event.encode(),
                reply_to=f"{down}.stored.{line.secret}.{rid}.{attempt}.{item.n}.{event.count}",
                headers={"Nats-Msg-Id": event_key(self._keys, rid, attempt, item.n, event.count)},
            )
        elif isinstance(item, Progress):
            told = progress_event(line, item)
            line.bus.publish_bytes(told.address(), told.encode())
        else:
            taken = answer(line, item)
            line.bus.publish_bytes(taken.address(), taken.encode())


def _sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
