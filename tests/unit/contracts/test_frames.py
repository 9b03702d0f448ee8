"""Socket frames: whatever arrives gives a frame or a problem, never a traceback."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces_contracts.client_socket import FROM_CLIENT_TYPES, TO_CLIENT_TYPES, read_from_client
from spaces_contracts.frames import FrameError
from spaces_contracts.problems import Code
from spaces_contracts.worker_socket import (
    FROM_WORKER_TYPES,
    TO_WORKER_TYPES,
    Accepted,
    read_from_worker,
    read_to_worker,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
READERS = [read_from_worker, read_to_worker, read_from_client]


@pytest.mark.parametrize("read", READERS)
@given(text=st.text() | st.binary())
def test_noise_is_a_malformed_frame(read: Any, text: str | bytes) -> None:
    with pytest.raises(FrameError) as refused:
        read(text)
    assert refused.value.problem.code is Code.MALFORMED_FRAME


@pytest.mark.parametrize("read", READERS)
@given(
    frame=st.dictionaries(st.sampled_from(["type", "token", "attempt", "n"]) | st.text(), JSON),
    kind=st.sampled_from(sorted(FROM_WORKER_TYPES | TO_WORKER_TYPES | FROM_CLIENT_TYPES)),
)
def test_frames_of_known_types_are_read_or_explained(
    read: Any, frame: dict[str, Any], kind: str
) -> None:
    assert _outcome(read, json.dumps(frame | {"type": kind})) in (
        None,
        Code.MALFORMED_FRAME,
        Code.UNKNOWN_FRAME_TYPE,
    )


def _outcome(read: Any, text: str) -> Code | None:
    try:
        read(text)
    except FrameError as refused:
        return refused.problem.code
    return None


def test_an_unknown_type_is_named_with_the_known_ones() -> None:
    with pytest.raises(FrameError) as refused:
        read_from_worker('{"type": "hello"}')
    assert refused.value.problem.code is Code.UNKNOWN_FRAME_TYPE
    assert "hello" in refused.value.problem.message
    assert "register" in refused.value.problem.message


def test_a_wrong_field_is_named() -> None:
    with pytest.raises(FrameError) as refused:
        read_from_worker('{"type": "accepted", "request_id": "NO", "attempt": 1}')
    assert "request_id" in refused.value.problem.message


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(FrameError):
        read_from_client("[" * 100_000)


def test_the_type_is_always_written() -> None:
    text = Accepted(request_id="0" * 26, attempt=1).encode()
    assert json.loads(text)["type"] == "accepted"


def test_the_lists_of_types_are_those_of_the_unions() -> None:
    for types in (FROM_WORKER_TYPES, TO_WORKER_TYPES, FROM_CLIENT_TYPES, TO_CLIENT_TYPES):
        assert {"ping", "pong"} <= types
