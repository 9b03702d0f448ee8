"""The client socket `/ws`: carries out what its session decides."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog
from pydantic import ValidationError

from spaces_chassis.errors import ProblemError
from spaces_contracts.access import Principal
from spaces_contracts.client_socket import After, SubmitFrame
from spaces_contracts.identifiers import new_id
from spaces_contracts.permissions import sight_of
from spaces_contracts.problems import Code, Problem
from spaces_contracts.requests import CancelRequest
from spaces_contracts.spaces import SpaceEvent
from spaces_gateway.sockets import client_frames as build
from spaces_gateway.sockets.answers import close, error
from spaces_gateway.sockets.client_hub import ClientHub
from spaces_gateway.sockets.client_session import (
    Authenticate,
    CancelWork,
    ClientEffect,
    ClientSession,
    Pause,
    Resume,
    SubmitWork,
    Unwatch,
    WatchList,
    WatchRequest,
    WatchSpace,
)
from spaces_gateway.sockets.door import Receive, Scope, SendMessage, Visit, until_disconnect
from spaces_gateway.sockets.effects import Close, Send
from spaces_gateway.sockets.list_watch import SocketLists
from spaces_gateway.sockets.outbox import Outbox
from spaces_gateway.sockets.request_stream import RequestStream
from spaces_gateway.submission import Accepted, SubmitBody

_BINARY = Problem(code=Code.MALFORMED_FRAME, message="Frames are text; this one was binary.")
_FAILED = Problem(code=Code.INTERNAL_ERROR, message="A frame could not be handled.")
_REVOKED = Problem(code=Code.TOKEN_REVOKED, message="This credential was changed or revoked.")
_SLOW = Problem(code=Code.SLOW_CONSUMER, message="Too much waits to be read on this connection.")

RareEffect = (
    Close
    | Authenticate
    | WatchRequest
    | WatchSpace
    | WatchList
    | CancelWork
    | Unwatch
    | Pause
    | Resume
)

log = structlog.get_logger(__name__)


class ClientSocketApp:
    """The ASGI application behind `/ws`."""

    def __init__(self, hub: ClientHub) -> None:
        self._hub = hub

    async def __call__(self, scope: Scope, receive: Receive, send: SendMessage) -> None:
        visit = await self._hub.door.open(scope, receive, send, kind="client")
        if visit is None:
            return
        socket = ClientSocket(self._hub, visit)
        try:
            await until_disconnect(receive)
        finally:
            socket.closed()


class ClientSocket:
    """One client's socket, and the audience of its streams."""

    def __init__(self, hub: ClientHub, visit: Visit) -> None:
        loop = asyncio.get_running_loop()
        limits = hub.door.limits
        self.wire = visit.wire
        self.session = ClientSession(limits)
        self._hub = hub
        self._visit = visit
        self._outbox = Outbox(visit.wire, limits.client_outbox, self._overflowed, loop)
        self._greeting = loop.call_later(limits.first_frame_s, self._first_frame_missing)
        self._tasks: set[asyncio.Task[None]] = set()
        self._streams: dict[str, RequestStream] = {}
        self._lists = SocketLists(hub.lists, self._outbox)
        self._changed: set[str] = set()  # what changed before it was known whose socket this is
        hub.sockets.add(self)
        hub.guests.add(self)
        self.wire.attach(self)

    # Sink

    def on_text(self, text: str) -> None:
        self._perform(self.session.frame(text))

    def on_binary(self, data: bytes) -> None:
        self._perform(self.session.bad_frame(_BINARY))

    def on_writable(self) -> None:
        self._outbox.flush()

    # Audience

    def tell(self, message: build.Told) -> None:
        self._outbox.put(message.frame)

    async def room(self) -> None:
        await self._outbox.room()

    # From the hub

    @property
    def principal(self) -> Principal | None:
        """Whose it is; None before that is known."""
        return self.session.principal

    @property
    def spaces(self) -> set[str]:
        """Spaces of which something is watched."""
        watched = self.session.spaces | self._lists.spaces
        return watched | {stream.space_id for stream in self._streams.values()}

    def go_away(self, reconnect_after_s: float) -> None:
        """The process stops, or something that is watched here is not for this client any more."""
        self._perform(self.session.go_away(reconnect_after_s))

    def access_changed(self, principal_id: str) -> None:
        """A credential is good no more: perhaps this one's, perhaps that of somebody who is being asked for."""
        principal = self.session.principal
        if principal is None:
            self._changed.add(principal_id)
        elif principal.principal_id == principal_id:
            self._perform(self.session.refused(_REVOKED))

    def closed(self) -> None:
        """The socket is gone."""
        self.session.closed()
        self._greeting.cancel()
        self._outbox.close()
        self._hub.sockets.discard(self)
        self._hub.guests.discard(self)
        self._visit.leave()
        for stream in list(self._streams.values()):
            stream.stop()
        self._streams.clear()
        self._lists.stop()
        for space_id in self.session.spaces:
            self._hub.sources.fanout.spaces.remove(f"sev.{space_id}", self._on_space)
        for task in list(self._tasks):
            task.cancel()

    # Effects

    def _perform(self, effects: list[ClientEffect]) -> None:
        for effect in effects:
            if isinstance(effect, Send):
                self._outbox.put(effect.frame)
            elif isinstance(effect, SubmitWork):
                self._run(self._submit(effect.frame))
            else:
                self._perform_rare(effect)

    def _perform_rare(self, effect: RareEffect) -> None:
        if isinstance(effect, Close):
            self._outbox.flush()
            self.wire.close(effect.code, effect.reason)
        elif isinstance(effect, Authenticate):
            self._greeting.cancel()
            self._run(self._authenticate(effect))
        elif isinstance(effect, WatchRequest):
            self._run(self._watch(effect))
        elif isinstance(effect, WatchSpace):
            self._run(self._watch_space(effect))
        elif isinstance(effect, WatchList):
            self._run(self._watch_list(effect))
        elif isinstance(effect, CancelWork):
            self._run(self._cancel(effect))
        elif isinstance(effect, Unwatch):
            self._unwatch(effect)
        elif isinstance(effect, Pause):
            self.wire.pause_reading()
        else:
            self.wire.resume_reading()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (failure := task.exception()) is not None:
            log.error("client_frame_failed", exc_info=failure)
            self._perform([error(_FAILED)])

    async def _authenticate(self, effect: Authenticate) -> None:
        access = self._hub.services.access
        try:
            if effect.ticket:
                principal = await access.redeem_ticket(effect.ticket)
            else:
                principal = await access.principal(effect.token or "")
        except ProblemError as refused:
            self._perform(self.session.refused(refused.problem))
            return
        changed, self._changed = self._changed, set()
        if principal.principal_id in changed:
            # It was revoked while the answer was on its way.
            self._perform(self.session.refused(_REVOKED))
            return
        self._visit.identified()
        self._perform(self.session.authenticated(principal))

    # Submitting

    async def _submit(self, frame: SubmitFrame) -> None:
        request_id: str | None = None
        try:
            request_id = await self._submit_and_watch(frame)
        except ProblemError as refused:
            self._perform([error(refused.problem, ref=frame.ref)])
        finally:
            self._perform(self.session.submit_done(request_id))

    async def _submit_and_watch(self, frame: SubmitFrame) -> str:
        services, actor = self._hub.services, self.session.principal
        assert actor is not None, "frames are handled once the client is known"
        body = submit_body(frame)
        space = await services.access.space(actor, frame.space)
        stream = self._stream(new_id())
        # Both at once: the subscription is with the server before the submit is.
        opened, accepted = await asyncio.gather(
            stream.open_new(space.space_id),
            services.submission.submit(
                actor,
                frame.space,
                body,
                idempotency_key=frame.idempotency_key,
                notify=services.waiters.notify,
                request_id=stream.request_id,
            ),
            return_exceptions=True,
        )
        if isinstance(accepted, BaseException) or accepted.request_id != stream.request_id:
            self._drop(stream)
        if isinstance(accepted, BaseException):
            raise accepted
        if isinstance(opened, BaseException):  # its end is still heard, and gaps are read again
            log.warning("events_not_watched", problem=str(opened))
        self._outbox.put(build.submitted(frame.ref, space.space_id, accepted.verdict))
        if accepted.request_id == stream.request_id:
            stream.accepted(accepted.verdict)
        else:  # the first request with this idempotency key
            await self._follow(accepted, frame.ref)
        return accepted.request_id

    async def _follow(self, accepted: Accepted, ref: str) -> None:
        effect = WatchRequest(accepted.request_id, After(), ref)
        await self._watch(effect)

    def _stream(self, request_id: str, after: After | None = None) -> RequestStream:
        old = self._streams.pop(request_id, None)
        if old is not None:
            old.stop()
        stream = RequestStream(self._hub.sources, request_id, self, self._over, after)
        self._streams[request_id] = stream
        return stream

    def _drop(self, stream: RequestStream) -> None:
        stream.stop()
        if self._streams.get(stream.request_id) is stream:
            del self._streams[stream.request_id]

    def _over(self, stream: RequestStream) -> None:
        self._drop(stream)
        self.session.over(stream.request_id)

    # Watching

    async def _watch(self, effect: WatchRequest) -> None:
        actor = self.session.principal
        assert actor is not None, "frames are handled once the client is known"
        known = self._streams.get(effect.request_id)
        if known is not None and known.stands_at(effect.after):
            return  # it was submitted here, or asked for twice: it goes on
        stream = self._stream(effect.request_id, effect.after)
        try:
            view = await self._hub.view(effect.request_id, actor)
            if self._streams.get(effect.request_id) is stream:  # not unsubscribed meanwhile
                await stream.open_known(view, effect.ref)
                stream.placed(view.state)
        except ProblemError as refused:
            self._drop(stream)
            self._perform(
                self.session.watch_failed(
                    refused.problem, ref=effect.ref, request_id=effect.request_id, space_id=None
                )
            )

    async def _watch_space(self, effect: WatchSpace) -> None:
        hub, actor = self._hub, self.session.principal
        assert actor is not None, "frames are handled once the client is known"
        space_id = effect.space_id
        try:
            space = await hub.space(space_id, actor)
            await hub.sources.fanout.spaces.add(f"sev.{space_id}", self._on_space)
            if space_id not in self.session.spaces:  # unsubscribed meanwhile
                hub.sources.fanout.spaces.remove(f"sev.{space_id}", self._on_space)
                return
            queue = await hub.queue(space_id)
        except ProblemError as refused:
            self._perform(
                self.session.watch_failed(
                    refused.problem, ref=effect.ref, request_id=None, space_id=space_id
                )
            )
            return
        now = SpaceEvent(
            space_id=space_id,
            connected=queue.connected if queue else space.connected,
            connections=space.connections,
            queue_size=queue.queue_size if queue else 0,
            running=queue.running if queue else 0,
        )
        self._on_space(now)

    async def _watch_list(self, effect: WatchList) -> None:
        actor = self.session.principal
        assert actor is not None, "frames are handled once the client is known"
        try:
            if effect.space_id is not None:
                await self._hub.space(effect.space_id, actor)
            await self._lists.begin(actor, effect.space_id, effect.ref)
        except ProblemError as refused:
            self._perform(
                self.session.list_failed(refused.problem, ref=effect.ref, space_id=effect.space_id)
            )

    def _on_space(self, event: SpaceEvent) -> None:
        self._outbox.put(build.space_frame(event))

    def _unwatch(self, effect: Unwatch) -> None:
        if effect.changes:
            self._lists.end(effect.space_id)
            return
        if effect.request_id is not None:
            stream = self._streams.get(effect.request_id)
            if stream is not None:
                self._drop(stream)
        if effect.space_id is not None:
            fanout = self._hub.sources.fanout
            fanout.spaces.remove(f"sev.{effect.space_id}", self._on_space)

    async def _cancel(self, effect: CancelWork) -> None:
        actor = self.session.principal
        assert actor is not None, "frames are handled once the client is known"
        command = CancelRequest(request_id=effect.request_id, **dict(sight_of(actor)))
        try:
            view = (await self._hub.services.bus.request(command)).request
        except ProblemError as refused:
            self._perform([error(refused.problem, ref=effect.ref, request_id=effect.request_id)])
            return
        self.tell(build.status(view, effect.ref))
        self._hub.services.waiters.seen(view)

    # Ends

    def _first_frame_missing(self) -> None:
        self._perform(self.session.first_frame_missing())

    def _overflowed(self) -> None:
        log.info("client_reads_too_slowly", streams=len(self._streams))
        self._visit.too_slow()
        self.wire.write([error(_SLOW).frame])
        self.wire.close(close(_SLOW).code, _SLOW.code)


def submit_body(frame: SubmitFrame) -> SubmitBody:
    """The body as HTTP would give it. Problem: invalid_request."""
    try:
        return SubmitBody(
            prompt=frame.prompt,
            parameters=frame.parameters,
            files=frame.files,
            priority=frame.priority,
            timeout_s=frame.timeout_s,
        )
    except ValidationError as refused:
        first = refused.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ProblemError.of(Code.INVALID_REQUEST, f"submit: {where}: {first['msg']}") from None
