"""The client socket's rules, without a socket."""

import json
from collections.abc import Sequence
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces_contracts.access import Permission, Principal, PrincipalKind
from spaces_contracts.client_socket import After
from spaces_contracts.problems import Code, Problem
from spaces_gateway.sockets.client_session import (
    Authenticate,
    CancelWork,
    ClientSession,
    Pause,
    Resume,
    SubmitWork,
    Unwatch,
    WatchRequest,
    WatchSpace,
)
from spaces_gateway.sockets.effects import Close, Send
from spaces_gateway.sockets.limits import SocketLimits

REQUEST, SPACE = "r" * 26, "s" * 26
# Written out: a client may rely on them, so a change of the product's is noticed here.
BAD_FRAMES, EARLY_FRAMES = 16, 256


def frame(type: str, **fields: Any) -> str:
    return json.dumps({"type": type, **fields})


def sent(effects: list[Any]) -> list[dict[str, Any]]:
    return [json.loads(effect.frame) for effect in effects if isinstance(effect, Send)]


def kinds(effects: Sequence[object]) -> list[type[object]]:
    return [type(effect) for effect in effects]


def principal(kind: PrincipalKind = PrincipalKind.API_KEY) -> Principal:
    return Principal(principal_id="p" * 26, kind=kind)


def ready(**limits: Any) -> ClientSession:
    session = ClientSession(SocketLimits(**limits))
    session.frame(frame("auth", token="k"))
    session.authenticated(principal())
    return session


def submit(ref: str = "1") -> str:
    return frame("submit", ref=ref, space="demo", prompt="p")


def test_the_first_frame_is_auth_with_a_ticket_or_a_token() -> None:
    session = ClientSession(SocketLimits())
    assert sent(session.frame(submit()))[0]["code"] == "unauthenticated"
    (refused,) = sent(session.frame(frame("auth")))
    assert refused["message"] == "`auth` holds neither a ticket nor a token."
    assert session.frame(frame("auth", ticket="t")) == [Authenticate("t", None)]
    (told,) = sent(session.authenticated(principal()))
    assert told == {"type": "ready", "principal_id": "p" * 26, "protocol": "spaces.v1.json"}
    (again,) = sent(session.frame(frame("auth", token="k")))
    assert again["code"] == "malformed_frame"


def test_frames_behind_auth_wait_for_the_answer_and_are_bounded() -> None:
    session = ClientSession(SocketLimits())
    session.frame(frame("auth", token="k"))
    assert sent(session.frame(frame("ping", id=1))) == [{"type": "pong", "id": 1}]
    assert session.frame(frame("pong", id=1)) == []
    for n in range(EARLY_FRAMES):
        assert session.frame(frame("cancel", request_id=REQUEST, ref=str(n))) == []
    assert session.frame(frame("cancel", request_id=REQUEST)) == [
        Close(1008, "too many frames before ready")
    ]
    effects = session.authenticated(principal())
    assert [e.ref for e in effects if isinstance(e, CancelWork)] == [
        str(n) for n in range(EARLY_FRAMES)
    ]


def test_a_refused_credential_closes() -> None:
    session = ClientSession(SocketLimits())
    session.frame(frame("auth", token="k"))
    effects = session.refused(Problem(code=Code.TOKEN_REVOKED, message="revoked"))
    assert sent(effects)[0]["code"] == "token_revoked"
    assert effects[-1] == Close(4401, "token_revoked")


def test_a_worker_token_is_refused() -> None:
    session = ClientSession(SocketLimits())
    session.frame(frame("auth", token="k"))
    effects = session.authenticated(principal(PrincipalKind.WORKER_TOKEN))
    assert sent(effects)[0]["code"] == "forbidden"
    assert effects[-1] == Close(4403, "forbidden")
    assert session.principal is None


@pytest.mark.parametrize(
    ("sent_frame", "scopes"),
    [
        (frame("submit", ref="1", space="demo", prompt="p"), {"requests:write"}),
        (frame("cancel", ref="1", request_id=REQUEST), {"requests:write"}),
        (frame("subscribe", ref="1", request_id=REQUEST), {"requests:read"}),
        (frame("subscribe", ref="1", space_id=SPACE), {"spaces:read"}),
    ],
    ids=["submit", "cancel", "watch a request", "watch a space"],
)
@pytest.mark.parametrize("scope", ["requests:read", "requests:write", "spaces:read"])
def test_a_frame_needs_the_scope_of_its_row(sent_frame: str, scopes: set[str], scope: str) -> None:
    # The second scope lets the socket open, whichever is tried.
    opens = "requests:write" if scope != "requests:write" else "requests:read"
    has = {scope} if scope.startswith("requests") else {scope, opens}
    session = ClientSession(SocketLimits())
    session.frame(frame("auth", token="k"))
    key = Principal(
        principal_id="p" * 26, kind=PrincipalKind.API_KEY, scopes=[Permission(one) for one in has]
    )
    session.authenticated(key)
    effects = session.frame(sent_frame)
    if scopes & has:
        assert kinds(effects)[0] is not Send
    else:
        (refused,) = sent(effects)
        assert (refused["code"], refused["ref"]) == ("forbidden", "1")
        assert set(refused["facts"]["needs"]) == scopes
    assert not any(isinstance(effect, Close) for effect in effects)


def test_a_key_that_only_looks_at_spaces_opens_no_socket() -> None:
    session = ClientSession(SocketLimits())
    session.frame(frame("auth", token="k"))
    key = Principal(
        principal_id="p" * 26, kind=PrincipalKind.API_KEY, scopes=[Permission.SPACES_READ]
    )
    assert session.authenticated(key)[-1] == Close(4403, "forbidden")


def test_an_answer_after_the_socket_closed_does_nothing() -> None:
    session = ClientSession(SocketLimits())
    session.frame(frame("auth", token="k"))
    session.closed()
    assert session.authenticated(principal()) == []
    assert session.refused(Problem(code=Code.FORBIDDEN)) == []
    assert session.frame(submit()) == []


def test_watching_and_unwatching() -> None:
    session = ready()
    after = {"attempt": 1, "n": 3}
    assert session.frame(frame("subscribe", request_id=REQUEST, after=after, ref="x")) == [
        WatchRequest(REQUEST, After(attempt=1, n=3), "x")
    ]
    assert session.frame(frame("subscribe", space_id=SPACE)) == [WatchSpace(SPACE, None)]
    assert session.frame(frame("subscribe", space_id=SPACE)) == []
    assert session.frame(frame("subscribe", request_id=REQUEST)) == [
        WatchRequest(REQUEST, After(), None)
    ]
    assert session.frame(frame("unsubscribe", request_id=REQUEST)) == [Unwatch(request_id=REQUEST)]
    assert session.frame(frame("unsubscribe", request_id=REQUEST)) == []
    assert session.frame(frame("unsubscribe", space_id=SPACE)) == [Unwatch(space_id=SPACE)]
    (refused,) = sent(session.frame(frame("subscribe")))
    assert refused["message"] == "subscribe: give a request_id or a space_id."


def test_a_failed_watch_is_forgotten_and_told() -> None:
    session = ready()
    session.frame(frame("subscribe", request_id=REQUEST))
    problem = Problem(code=Code.REQUEST_NOT_FOUND)
    (told,) = sent(session.watch_failed(problem, ref="x", request_id=REQUEST, space_id=None))
    assert (told["ref"], told["request_id"], told["code"]) == ("x", REQUEST, "request_not_found")
    assert session.requests == set()


def test_a_failed_watch_of_a_space_is_forgotten_and_may_be_tried_again() -> None:
    session = ready()
    session.frame(frame("subscribe", space_id=SPACE))
    problem = Problem(code=Code.SPACE_NOT_FOUND)
    (told,) = sent(session.watch_failed(problem, ref="x", request_id=None, space_id=SPACE))
    assert (told["ref"], told["code"]) == ("x", "space_not_found")
    assert session.frame(frame("subscribe", space_id=SPACE)) == [WatchSpace(SPACE, None)]


def test_a_submit_is_watched_when_it_made_a_request() -> None:
    session = ready()
    session.frame(submit("1"))
    session.frame(submit("2"))
    session.submit_done(None)
    assert session.requests == set()
    session.submit_done(REQUEST)
    assert session.requests == {REQUEST}


@pytest.mark.parametrize("submits", [1, 2, 3, 8, 9])
def test_a_socket_is_read_until_its_submits_are_full_and_again_when_half_are_answered(
    submits: int,
) -> None:
    session = ready(submits=submits)
    for _ in range(submits - 1):
        assert kinds(session.frame(submit())) == [SubmitWork]
    assert kinds(session.frame(submit())) == [SubmitWork, Pause]
    assert kinds(session.frame(submit())) == [SubmitWork], "one that was read already"
    for unanswered in range(submits, submits // 2, -1):
        assert session.submit_done(None) == [], unanswered
    assert session.submit_done(None) == [Resume()]
    for _ in range(submits // 2):
        assert session.submit_done(None) == []


MIXES = [mix for mix in product(range(4), repeat=3) if any(mix)]


@pytest.mark.parametrize(("requests", "spaces", "submits"), [*MIXES, (100, 100, 101)])
def test_requests_spaces_and_unanswered_submits_share_one_bound(
    requests: int, spaces: int, submits: int
) -> None:
    limit = requests + spaces + submits
    session = ready(subscriptions=limit, submits=limit + 1)
    own = [frame("subscribe", request_id=f"{n:026}") for n in range(requests)]
    own_spaces = [frame("subscribe", space_id=f"{n:026}") for n in range(spaces)]
    assert {kind for text in own for kind in kinds(session.frame(text))} <= {WatchRequest}
    assert {kind for text in own_spaces for kind in kinds(session.frame(text))} <= {WatchSpace}
    assert all(kinds(session.frame(submit())) == [SubmitWork] for _ in range(submits))

    for fields in ({"request_id": REQUEST}, {"space_id": SPACE}):
        (refused,) = sent(session.frame(frame("subscribe", ref="x", **fields)))
        assert (refused["ref"], refused["code"]) == ("x", "too_many_connections")
        assert refused["facts"] == {"limit": limit}
        assert refused.get("request_id") == fields.get("request_id")
    assert kinds(session.frame(submit("late"))) == [Send]
    assert all(kinds(session.frame(text)) == [WatchRequest] for text in own), "no new ones"


@given(
    st.lists(st.sampled_from(["submit", "done", "failed", "over"]), max_size=60),
    st.integers(1, 5),
    st.integers(1, 8),
)
def test_submits_and_watches_stay_within_their_bounds(
    steps: list[str], submits: int, subscriptions: int
) -> None:
    session = ready(submits=submits, subscriptions=subscriptions)
    waiting: list[str] = []
    watched: list[str] = []
    paused = False
    for n, step in enumerate(steps):
        effects: list[Any] = []
        if step == "submit" and not paused:
            full = len(waiting) + len(watched) == subscriptions
            effects = session.frame(submit(str(n)))
            if full:
                assert sent(effects)[0]["ref"] == str(n)
            else:
                waiting.append(str(n))
                assert SubmitWork in kinds(effects)
            assert (Pause in kinds(effects)) == (not full and len(waiting) == submits)
        elif step in ("done", "failed") and waiting:
            request_id = waiting.pop()
            effects = session.submit_done(request_id if step == "done" else None)
            if step == "done":
                watched.append(request_id)
            assert (effects == [Resume()]) == (paused and len(waiting) <= submits // 2)
        elif step == "over" and watched:
            session.over(watched.pop())
        paused = (paused or Pause in kinds(effects)) and Resume not in kinds(effects)
        assert session.requests == set(watched)
        assert len(waiting) <= submits
        assert len(waiting) + len(watched) <= subscriptions
        assert paused or len(waiting) < submits


def test_bad_frames_are_bounded() -> None:
    session = ready()
    effects: list[Any] = []
    for _ in range(BAD_FRAMES):
        assert not any(isinstance(effect, Close) for effect in effects)
        effects = session.frame("{")
    assert effects[-1] == Close(4400, "malformed_frame")


def test_going_away_and_the_missing_first_frame() -> None:
    session = ClientSession(SocketLimits())
    effects = session.first_frame_missing()
    assert sent(effects)[0]["message"] == "No `auth` came in time."
    assert effects[-1] == Close(4408, "first_frame_timeout")
    session = ready()
    assert session.first_frame_missing() == []
    effects = session.go_away(0.12345)
    assert sent(effects) == [{"type": "goaway", "reconnect_after_s": 0.123}]
    assert effects[-1] == Close(1012, "going_away")
