"""What hypothesis sends to a socket: frames of the protocol with wrong fields, broken frames, lies and halves."""

import json
from typing import Any

from hypothesis import strategies as st

from tests.conformance.websocket.raw_socket import TEXT, frame

_TYPES = (
    *("auth", "submit", "subscribe", "unsubscribe", "cancel", "ping", "pong", "bye", "drain"),
    *("register", "accepted", "refused", "inference_progress", "inference_chunk"),
    *("inference_result", "cancelled", "ready", "goaway", "nonsense", ""),
)
_FIELDS = (
    *("id", "token", "ticket", "space", "space_id", "request_id", "attempt", "n", "data", "ref"),
    *("status", "output", "error", "after", "prompt", "spaces", "slots", "instance_id", "resume"),
)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
_MESSAGES = st.dictionaries(st.sampled_from(_FIELDS), _VALUES, max_size=5)


def _text(kind: str, fields: dict[str, Any]) -> bytes:
    return frame(TEXT, json.dumps({"type": kind} | fields).encode("utf-8", "replace"))


_FRAMES = st.builds(
    frame,
    st.integers(0, 15),
    st.binary(max_size=200),
    fin=st.booleans(),
    reserved=st.sampled_from([0, 0, 0, 1, 2, 4, 7]),
    masked=st.sampled_from([True, True, True, False]),
)
_LIES = st.builds(
    frame, st.integers(0, 15), st.binary(max_size=50), length=st.integers(0, 2**63 - 1)
)
_HALVES = st.builds(lambda whole, part: whole[: int(len(whole) * part)], _FRAMES, st.floats(0, 1))
PIECES = st.one_of(
    st.builds(_text, st.sampled_from(_TYPES), _MESSAGES),
    _FRAMES,
    st.binary(max_size=200),
    st.builds(lambda text: frame(TEXT, text), st.binary(max_size=100)),
    _LIES,
    _HALVES,
)
