"""One client's conversation as a pure state machine: frames go in, what to do comes out."""

from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeAlias

from spaces_contracts.access import Principal
from spaces_contracts.client_socket import (
    After,
    Auth,
    CancelFrame,
    FromClient,
    Ready,
    SubmitFrame,
    Subscribe,
    Unsubscribe,
    read_from_client,
)
from spaces_contracts.frames import PROTOCOL, FrameError, GoAway, Ping, Pong
from spaces_contracts.permissions import FRAME_RULES, HTTP_RULES, Rule
from spaces_contracts.problems import Code, Problem
from spaces_gateway.authorisation import forbidden
from spaces_gateway.sockets.answers import close, error, send
from spaces_gateway.sockets.effects import Close, Send
from spaces_gateway.sockets.limits import SocketLimits

# A peer that cannot speak the protocol is let go instead of being answered for ever.
MAX_BAD_FRAMES = 16
# Frames that come while the credential is checked; more is a flood.
MAX_EARLY = 256

# A socket is for whoever may ask for its ticket; each frame then needs what its own row of the table says.
MAY_OPEN = HTTP_RULES["create_ticket"]
MAY_SUBMIT = FRAME_RULES["submit"]
MAY_CANCEL = FRAME_RULES["cancel"]
MAY_WATCH = FRAME_RULES["subscribe"]
MAY_WATCH_SPACE = HTTP_RULES["get_queue"]
MAY_LIST = HTTP_RULES["list_requests"]


@dataclass(frozen=True, slots=True)
class Authenticate:
    """Check the credential; answer with `authenticated` or `refused`."""

    ticket: str | None
    token: str | None


@dataclass(frozen=True, slots=True)
class SubmitWork:
    """Submit and watch; answer with `submit_done`."""

    frame: SubmitFrame


@dataclass(frozen=True, slots=True)
class WatchRequest:
    """Watch a request from a position."""

    request_id: str
    after: After
    ref: str | None


@dataclass(frozen=True, slots=True)
class WatchSpace:
    """Watch a space."""

    space_id: str
    ref: str | None


@dataclass(frozen=True, slots=True)
class WatchList:
    """Watch how requests change: of a space, or of all that the client may see."""

    space_id: str | None
    ref: str | None


@dataclass(frozen=True, slots=True)
class Unwatch:
    """Stop watching a request, a space, or how requests change (`changes`)."""

    request_id: str | None = None
    space_id: str | None = None
    changes: bool = False


@dataclass(frozen=True, slots=True)
class CancelWork:
    """Ask for an end."""

    request_id: str
    ref: str | None


@dataclass(frozen=True, slots=True)
class Pause:
    """Leave frames unread until Resume."""


@dataclass(frozen=True, slots=True)
class Resume:
    """Read on."""


ClientEffect: TypeAlias = (
    Send
    | Close
    | Authenticate
    | SubmitWork
    | WatchRequest
    | WatchSpace
    | WatchList
    | Unwatch
    | CancelWork
    | Pause
    | Resume
)
Effects = list[ClientEffect]


class Stage(Enum):
    """Where the conversation is."""

    GREETING = auto()
    CHECKING = auto()
    READY = auto()
    CLOSED = auto()


class ClientSession:
    """Feed it and carry out what it returns, in order."""

    def __init__(self, limits: SocketLimits) -> None:
        self.stage = Stage.GREETING
        self.principal: Principal | None = None
        self.requests: set[str] = set()
        self.spaces: set[str] = set()
        self.lists: set[str] = set()  # by space; the empty name is all
        self._limits = limits
        self._bad_frames = 0
        self._submits = 0
        self._paused = False
        self._early: list[FromClient] = []

    def frame(self, text: str) -> Effects:
        """A text frame came."""
        if self.stage is Stage.CLOSED:
            return []
        try:
            frame = read_from_client(text)
        except FrameError as refused:
            return self.bad_frame(refused.problem)
        if self.stage is Stage.CHECKING and not isinstance(frame, Ping | Pong):
            if len(self._early) >= MAX_EARLY:
                return [Close(1008, "too many frames before ready")]
            self._early.append(frame)
            return []
        return self._handle(frame)

    def bad_frame(self, problem: Problem) -> Effects:
        """Something came that is no frame of this protocol; a bounded number of them is answered."""
        self._bad_frames += 1
        effects: Effects = [error(problem)]
        if self._bad_frames >= MAX_BAD_FRAMES:
            effects.append(close(problem))
        return effects

    def _handle(self, frame: FromClient) -> Effects:
        if isinstance(frame, Ping):
            return [send(Pong(id=frame.id))]
        if isinstance(frame, Pong):
            return []
        if isinstance(frame, Auth):
            return self._auth(frame)
        if self.stage is Stage.GREETING:
            return self.bad_frame(_problem(Code.UNAUTHENTICATED, "The first frame is `auth`."))
        if isinstance(frame, SubmitFrame):
            return self._submit(frame)
        if isinstance(frame, Subscribe):
            return self._subscribe(frame)
        if isinstance(frame, Unsubscribe):
            return self._unsubscribe(frame)
        return self._cancel(frame)

    def _auth(self, frame: Auth) -> Effects:
        if self.stage is not Stage.GREETING:
            return self.bad_frame(_problem(Code.MALFORMED_FRAME, "`auth` was sent already."))
        if not frame.ticket and not frame.token:
            return self.bad_frame(
                _problem(Code.UNAUTHENTICATED, "`auth` holds neither a ticket nor a token.")
            )
        self.stage = Stage.CHECKING
        return [Authenticate(frame.ticket, frame.token)]

    def authenticated(self, principal: Principal) -> Effects:
        """The credential is good."""
        if self.stage is Stage.CLOSED:
            return []
        if not MAY_OPEN.permits(principal):
            return self.refused(forbidden(MAY_OPEN))
        self.stage = Stage.READY
        self.principal = principal
        effects: Effects = [send(Ready(principal_id=principal.principal_id, protocol=PROTOCOL))]
        early, self._early = self._early, []
        for frame in early:
            effects += self._handle(frame)
        return effects

    def refused(self, problem: Problem) -> Effects:
        """The credential is not good, or no more."""
        if self.stage is Stage.CLOSED:
            return []
        return [error(problem), close(problem)]

    def _may(self, rule: Rule) -> bool:
        return self.principal is not None and rule.permits(self.principal)

    def _submit(self, frame: SubmitFrame) -> Effects:
        if not self._may(MAY_SUBMIT):
            return [error(forbidden(MAY_SUBMIT), ref=frame.ref)]
        if self._full:
            return [error(self._too_many(), ref=frame.ref)]
        self._submits += 1
        effects: Effects = [SubmitWork(frame)]
        if self._submits >= self._limits.submits and not self._paused:
            self._paused = True
            effects.append(Pause())
        return effects

    def submit_done(self, request_id: str | None) -> Effects:
        """A submit was answered; the request, if there is one, is watched."""
        self._submits -= 1
        if request_id is not None:
            self.requests.add(request_id)
        if self._paused and self._submits <= self._limits.submits // 2:
            self._paused = False
            return [Resume()]
        return []

    def _subscribe(self, frame: Subscribe) -> Effects:
        if frame.changes:
            return self._subscribe_to_list(frame)
        if frame.request_id is not None:
            if not self._may(MAY_WATCH):
                return [error(forbidden(MAY_WATCH), ref=frame.ref, request_id=frame.request_id)]
            if frame.request_id not in self.requests and self._full:
                return [error(self._too_many(), ref=frame.ref, request_id=frame.request_id)]
            self.requests.add(frame.request_id)
            return [WatchRequest(frame.request_id, frame.after, frame.ref)]
        if frame.space_id is not None:
            if not self._may(MAY_WATCH_SPACE):
                return [error(forbidden(MAY_WATCH_SPACE), ref=frame.ref)]
            if frame.space_id in self.spaces:
                return []
            if self._full:
                return [error(self._too_many(), ref=frame.ref)]
            self.spaces.add(frame.space_id)
            return [WatchSpace(frame.space_id, frame.ref)]
        return self.bad_frame(
            _problem(Code.MALFORMED_FRAME, "subscribe: give a request_id or a space_id.")
        )

    def _subscribe_to_list(self, frame: Subscribe) -> Effects:
        if not self._may(MAY_LIST):
            return [error(forbidden(MAY_LIST), ref=frame.ref)]
        name = frame.space_id or ""
        if name in self.lists:
            return []
        if self._full:
            return [error(self._too_many(), ref=frame.ref)]
        self.lists.add(name)
        return [WatchList(frame.space_id, frame.ref)]

    def _unsubscribe(self, frame: Unsubscribe) -> Effects:
        if frame.changes:
            name = frame.space_id or ""
            if name not in self.lists:
                return []
            self.lists.discard(name)
            return [Unwatch(space_id=frame.space_id, changes=True)]
        if frame.request_id is not None and frame.request_id in self.requests:
            self.requests.discard(frame.request_id)
            return [Unwatch(request_id=frame.request_id)]
        if frame.space_id is not None and frame.space_id in self.spaces:
            self.spaces.discard(frame.space_id)
            return [Unwatch(space_id=frame.space_id)]
        return []  # what is not watched needs no end

    def _cancel(self, frame: CancelFrame) -> Effects:
        if not self._may(MAY_CANCEL):
            return [error(forbidden(MAY_CANCEL), ref=frame.ref, request_id=frame.request_id)]
        return [CancelWork(frame.request_id, frame.ref)]

    @property
    def _full(self) -> bool:
        watched = len(self.requests) + len(self.spaces) + len(self.lists) + self._submits
        return watched >= self._limits.subscriptions

    def _too_many(self) -> Problem:
        limit = self._limits.subscriptions
        return Problem(
            code=Code.TOO_MANY_CONNECTIONS,
            message=f"This socket watches {limit} requests and spaces already; open another.",
            facts={"limit": limit},
        )

    def watch_failed(
        self, problem: Problem, *, ref: str | None, request_id: str | None, space_id: str | None
    ) -> Effects:
        """A request or space cannot be watched."""
        if request_id is not None:
            self.requests.discard(request_id)
        if space_id is not None:
            self.spaces.discard(space_id)
        return [error(problem, ref=ref, request_id=request_id)]

    def list_failed(self, problem: Problem, *, ref: str | None, space_id: str | None) -> Effects:
        """A list cannot be watched."""
        self.lists.discard(space_id or "")
        return [error(problem, ref=ref)]

    def over(self, request_id: str) -> None:
        """The request ended and its watcher was told."""
        self.requests.discard(request_id)

    def first_frame_missing(self) -> Effects:
        """The time for the first frame is over."""
        if self.stage is not Stage.GREETING:
            return []
        problem = _problem(Code.FIRST_FRAME_TIMEOUT, "No `auth` came in time.")
        return [error(problem), close(problem)]

    def go_away(self, reconnect_after_s: float) -> Effects:
        """This gateway stops: the client reconnects elsewhere and resumes."""
        frame = GoAway(reconnect_after_s=round(reconnect_after_s, 3))
        return [send(frame), close(_problem(Code.GOING_AWAY, ""))]

    def closed(self) -> None:
        """The socket is gone."""
        self.stage = Stage.CLOSED


def _problem(code: Code, message: str) -> Problem:
    return Problem(code=code, message=message)
