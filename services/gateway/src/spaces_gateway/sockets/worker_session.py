"""One worker's conversation as a pure state machine: frames and bus messages go in, effects come out.

Ids come from the socket, never from a frame: what a frame says about a request counts only if this socket was
given that request, or serves its space.
"""

import hashlib
from collections.abc import Callable, Sequence
from enum import Enum, auto

from spaces_contracts.connections import (
    HEARTBEAT_S,
    LEASE_S,
    SUSPECT_AFTER_S,
    Attach,
    Attachment,
    AttachVerdict,
)
from spaces_contracts.frames import FrameError, GoAway, Ping, Pong
from spaces_contracts.identifiers import new_id
from spaces_contracts.problems import Code, Problem
from spaces_contracts.requests import CancelJob, Job, ResultAck
from spaces_contracts.streams import event_key, event_keys
from spaces_contracts.worker_socket import (
    Accepted,
    Bye,
    Drain,
    DrainRequest,
    FromWorker,
    InferenceChunk,
    InferenceProgress,
    InferenceResult,
    Kick,
    Refused,
    Register,
    Registered,
    RegisterError,
    read_from_worker,
)
from spaces_gateway.sockets import worker_frames as build
from spaces_gateway.sockets.answers import close, error, send, unknown_request
from spaces_gateway.sockets.effects import (
    AskAttach,
    AskDrain,
    Close,
    End,
    Hold,
    Publish,
    Release,
    Send,
    Store,
    Suspect,
    WorkerEffect,
)
from spaces_gateway.sockets.held_work import Connection, HeldWork, Work

# A peer that cannot speak the protocol is let go instead of being answered for ever.
MAX_BAD_FRAMES = 16
# Frames that come while the registry is asked; more is a flood.
MAX_EARLY = 256

Effects = list[WorkerEffect]
FromBus = Job | CancelJob | ResultAck


class Stage(Enum):
    """Where the conversation is."""

    GREETING = auto()
    ATTACHING = auto()
    SERVING = auto()
    CLOSED = auto()


class WorkerSession:
    """Feed it and carry out what it returns, in order."""

    def __init__(self, gateway_id: str, now: float, mint: Callable[[], str] = new_id) -> None:
        self.stage = Stage.GREETING
        self.connections: dict[str, Connection] = {}
        self.pending: dict[str, str] = {}  # connection id -> ref, while the registry is asked
        self.held = HeldWork()
        self.heard_at = now
        self._gateway_id = gateway_id
        self._mint = mint
        self._clean = False
        self._suspected = False
        self._event_keys = ""
        self._bad_frames = 0
        self._pings = 0
        self._early: list[FromWorker] = []
        self._buffered: dict[str, list[FromBus]] = {}

    @property
    def greeted(self) -> bool:
        """Whether the first frame came."""
        return self.stage is not Stage.GREETING

    # From the worker

    def frame(self, text: str, now: float) -> Effects:
        """A text frame came."""
        if self.stage is Stage.CLOSED:
            return []
        self.heard_at = now
        self._suspected = False
        try:
            frame = read_from_worker(text)
        except FrameError as refused:
            return self.bad_frame(refused.problem)
        return self._handle(frame)

    def bad_frame(self, problem: Problem) -> Effects:
        """Something came that is no frame of this protocol; a bounded number of them is answered."""
        self._bad_frames += 1
        effects: Effects = [error(problem)]
        if self._bad_frames >= MAX_BAD_FRAMES:
            effects.append(Close(problem.kind.close, problem.code))
        return effects

    def _handle(self, frame: FromWorker) -> Effects:
        if isinstance(frame, Ping):
            return [send(Pong(id=frame.id))]
        if isinstance(frame, Pong):
            return []
        if isinstance(frame, Bye):
            self._clean = True
            return [Close(1000, "bye")]
        if isinstance(frame, Register):
            return self._register(frame)
        if self.stage is Stage.GREETING:
            return self.bad_frame(_problem(Code.UNAUTHENTICATED, "The first frame is `register`."))
        if self.stage is Stage.ATTACHING:
            if len(self._early) >= MAX_EARLY:
                return [Close(1008, "too many frames before registered")]
            self._early.append(frame)
            return []
        if isinstance(frame, DrainRequest):
            return [AskDrain(tuple(self.connections))]
        if isinstance(frame, InferenceResult):
            return self._result(frame)
        return self._work_frame(frame)

    def _register(self, frame: Register) -> Effects:
        if self.stage is not Stage.GREETING:
            return self.bad_frame(_problem(Code.MALFORMED_FRAME, "`register` was sent already."))
        self.stage = Stage.ATTACHING
        self._event_keys = event_keys(frame.resume.secret)
        self.pending = {self._mint(): ref for ref in dict.fromkeys(frame.spaces)}
        command = Attach(
            gateway_id=self._gateway_id,
            token_sha256=_sha256(frame.token),
            attachments=[
                Attachment(ref=ref, connection_id=connection_id)
                for connection_id, ref in self.pending.items()
            ],
            slots=frame.slots,
            instance_id=frame.instance_id,
            instance_secret_sha256=_sha256(frame.resume.secret),
            agent=frame.agent,
            in_flight=frame.resume.in_flight,
            takeover=frame.takeover,
        )
        # Jobs may come as soon as the registry commits, before it answers: be reachable first.
        return [Hold(tuple(self.pending)), AskAttach(command)]

    def _work_frame(
        self, frame: Accepted | Refused | InferenceProgress | InferenceChunk
    ) -> Effects:
        work = self.held.get(frame.request_id, frame.attempt)
        if work is None:
            return [unknown_request(frame.request_id, frame.attempt)]
        if isinstance(frame, InferenceChunk):
            return self._chunk(frame, work)
        if isinstance(frame, InferenceProgress):
            event = build.progress_event(frame, work.connection.space_id)
            return [Publish(event.address(), event.encode())]
        if isinstance(frame, Refused):
            self.held.drop(frame.request_id, frame.attempt)
        connection = work.connection
        return [Publish(connection.answers_to, build.answer_bytes(frame, connection))]

    def _chunk(self, frame: InferenceChunk, work: Work) -> Effects:
        space_id, count = work.connection.space_id, len(frame.data)
        work.window.received(frame.n, count)
        subject = f"evt.{space_id}.{frame.request_id}"
        body = build.chunk_bytes(frame, space_id)
        dedupe = event_key(self._event_keys, frame.request_id, frame.attempt, frame.n, count)
        return [Store(subject, body, frame.request_id, frame.attempt, frame.n, dedupe)]

    def _result(self, frame: InferenceResult) -> Effects:
        work = self.held.get(frame.request_id, frame.attempt)
        connection = work.connection if work else self._serving(frame.space_id)
        if connection is None:
            return [unknown_request(frame.request_id, frame.attempt)]
        result = build.result_bytes(frame, connection)
        if work is not None and not work.window.empty:
            work.result = result  # so that what is replayed after the end is whole
            return []
        return [self._forward(result, connection)]

    def _serving(self, space_id: str | None) -> Connection | None:
        """Which connection an unknown attempt is asked about; the scheduler judges it."""
        if space_id is None and len(self.connections) == 1:
            return next(iter(self.connections.values()))
        return next((c for c in self.connections.values() if c.space_id == space_id), None)

    def _forward(self, result: bytes, connection: Connection) -> Publish:
        reply_to = f"gw.{self._gateway_id}.wk.{connection.connection_id}.ack"
        return Publish(connection.results_to, result, reply_to)

    # From the registry

    def attached(self, verdicts: Sequence[AttachVerdict]) -> Effects:
        """The registry's answer."""
        pending, self.pending = self.pending, {}
        granted = [v for v in verdicts if v.problem is None and v.connection_id in pending]
        if self.stage is Stage.CLOSED:  # the worker left meanwhile
            return [End(tuple(v.connection_id for v in granted), False)] if granted else []
        self.stage = Stage.SERVING
        effects: Effects = []
        refused = [v for v in verdicts if v.problem is not None and v.connection_id in pending]
        for verdict in granted:
            effects += self._granted(verdict, pending[verdict.connection_id])
        for verdict in refused:
            assert verdict.problem is not None
            self._buffered.pop(verdict.connection_id, None)
            effects.append(send(build.register_error(verdict, verdict.problem)))
        if refused:
            effects.append(Release(tuple(v.connection_id for v in refused)))
        if not granted:
            problem = refused[0].problem if refused else None
            effects.append(close(problem or _problem(Code.INTERNAL_ERROR, "No verdict.")))
        early, self._early = self._early, []
        for frame in early:
            effects += self._handle(frame)
        return effects

    def _granted(self, verdict: AttachVerdict, ref: str) -> Effects:
        assert verdict.space_id is not None, "a granted verdict names its space"
        connection = Connection.granted(verdict.connection_id, verdict.space_id, ref)
        self.connections[connection.connection_id] = connection
        for adopted in verdict.adopted:
            self.held.give(adopted.request_id, adopted.attempt, connection)
        registered = Registered(
            space=ref,
            connection_id=connection.connection_id,
            space_id=connection.space_id,
            name=verdict.name,
            epoch=verdict.epoch,
            heartbeat_s=HEARTBEAT_S,
            adopted=verdict.adopted,
            abandon=verdict.abandon,
        )
        effects: Effects = [send(registered)]
        for message in self._buffered.pop(connection.connection_id, ()):
            effects += self.deliver(connection.connection_id, message)
        return effects

    def attach_failed(self, problem: Problem, *, certain: bool) -> Effects:
        """Nothing is attached. When that is not certain, the registry is told to undo what it may have done."""
        connection_ids = tuple(self.pending)
        self.pending = {}
        undo: Effects = [] if certain else [End(connection_ids, False)]
        if self.stage is Stage.CLOSED:
            return undo
        frame = RegisterError(
            code=problem.code,
            message=problem.message or problem.kind.title,
            retry=problem.kind.retry,
            retry_after_s=problem.retry_after_s,
        )
        return [send(frame), Release(connection_ids), *undo, close(problem)]

    # From the bus

    def deliver(self, connection_id: str, message: FromBus) -> Effects:
        """A message for one of this socket's connections."""
        if connection_id in self.pending:
            self._buffered.setdefault(connection_id, []).append(message)
            return []
        connection = self.connections.get(connection_id)
        if connection is None:
            return []
        if isinstance(message, Job):
            self.held.give(message.request_id, message.attempt, connection)
            return [Send(build.job_frame(message, connection.ref))]
        if isinstance(message, CancelJob):
            return [send(build.cancel_frame(message))]
        return self._acknowledge(message)

    def _acknowledge(self, ack: ResultAck) -> Effects:
        self.held.drop(ack.request_id, ack.attempt)
        return [Send(build.ack_frame(ack))]

    def drain(self, connection_id: str) -> Effects:
        """The connection gets nothing new."""
        if connection_id not in self.connections:
            return []
        return [send(Drain(connection_id=connection_id))]

    def kick(self, connection_id: str, problem: Problem) -> Effects:
        """The registry ended the connection; the socket goes, too, when it was the last."""
        if connection_id not in self.connections:
            return []
        del self.connections[connection_id]
        self.held.drop_all_of(connection_id)
        frame = Kick(
            connection_id=connection_id,
            code=problem.code,
            message=problem.message or problem.kind.title,
            retry=problem.kind.retry,
        )
        effects: Effects = [send(frame), Release((connection_id,))]
        if not self.connections:
            effects.append(close(problem))
        return effects

    # From the event stream

    def chunk_stored(self, request_id: str, attempt: int, n: int) -> Effects:
        """A chunk frame is in the stream."""
        work = self.held.get(request_id, attempt)
        if work is None:
            return []
        work.window.stored(n)
        n = work.window.acknowledged
        effects: Effects = [Send(build.chunk_ack(request_id, attempt, n))] if n > 0 else []
        if work.window.empty:
            effects += self.chunk_late(request_id, attempt)
        return effects

    def chunk_late(self, request_id: str, attempt: int) -> Effects:
        """Storing takes long: the result no longer waits for it."""
        work = self.held.get(request_id, attempt)
        if work is None or work.result is None:
            return []
        result, work.result = work.result, None
        return [self._forward(result, work.connection)]

    # Time and ends

    def tick(self, now: float) -> Effects:
        """About once a second: is the worker still there?"""
        idle = now - self.heard_at
        if self.stage is Stage.CLOSED or idle < HEARTBEAT_S:
            return []
        if idle >= LEASE_S:
            return [close(_problem(Code.HEARTBEAT_TIMEOUT, f"Nothing was heard for {idle:.0f} s."))]
        self._pings += 1
        effects: Effects = [send(Ping(id=self._pings))]
        if idle >= SUSPECT_AFTER_S and not self._suspected and self.connections:
            self._suspected = True
            effects.append(Suspect(tuple(self.connections)))
        return effects

    def first_frame_missing(self) -> Effects:
        """The time for the first frame is over."""
        if self.greeted:
            return []
        problem = _problem(Code.FIRST_FRAME_TIMEOUT, "No `register` came in time.")
        return [error(problem), close(problem)]

    def go_away(self, reconnect_after_s: float) -> Effects:
        """This gateway stops: the worker reconnects elsewhere and resumes."""
        frame = GoAway(reconnect_after_s=round(reconnect_after_s, 3))
        return [send(frame), close(_problem(Code.GOING_AWAY, ""))]

    def closed(self) -> Effects:
        """The socket is gone."""
        if self.stage is Stage.CLOSED:
            return []
        self.stage = Stage.CLOSED
        live = tuple(self.connections)
        self.connections = {}
        self.held.clear()
        self._buffered.clear()
        effects: Effects = [Release((*live, *self.pending))]
        if live:
            effects.append(End(live, self._clean))
        return effects


def _problem(code: Code, message: str) -> Problem:
    return Problem(code=code, message=message)


def _sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
