"""Messages: the subject's word counts, whatever the body says."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from spaces_contracts.identifiers import is_id, new_id
from spaces_contracts.requests import JobAnswer, RequestList, RequestState, Submit

SPACE, CONNECTION, REQUEST = new_id(), new_id(), new_id()


@given(claimed=st.text())
def test_a_sender_cannot_claim_another_space_in_the_body(claimed: str) -> None:
    body = {"request_id": REQUEST, "attempt": 1, "space_id": claimed, "connection_id": claimed}
    read = JobAnswer.decode(json.dumps(body).encode(), f"wk.{SPACE}.{CONNECTION}.u.started")
    assert (read.space_id, read.connection_id) == (SPACE, CONNECTION)


@given(attempt=st.integers(0, 2**31), accepted=st.booleans())
def test_a_message_survives_the_wire(attempt: int, accepted: bool) -> None:
    sent = JobAnswer(
        space_id=SPACE,
        connection_id=CONNECTION,
        request_id=REQUEST,
        attempt=attempt,
        accepted=accepted,
    )
    assert JobAnswer.decode(sent.encode(), sent.address()) == sent
    assert JobAnswer.decode(sent.encode()) == sent


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"null", b"\xff", b"{}"])
def test_a_body_that_is_no_message_is_refused(body: bytes) -> None:
    with pytest.raises(ValidationError):
        JobAnswer.decode(body, f"wk.{SPACE}.{CONNECTION}.u.started")


@given(attempt=st.integers(10, 2**31), data=st.data())
def test_a_body_that_was_cut_short_is_refused(attempt: int, data: st.DataObject) -> None:
    body = json.dumps({"request_id": REQUEST, "attempt": attempt}).encode()
    cut = data.draw(st.integers(0, len(body) - 1))
    with pytest.raises(ValidationError):
        JobAnswer.decode(body[:cut], f"wk.{SPACE}.{CONNECTION}.u.started")


@pytest.mark.parametrize("wrong_end", [b"", b"]", b"0"])
def test_a_body_whose_last_brace_is_missing_is_not_mended(wrong_end: bytes) -> None:
    body = json.dumps({"request_id": REQUEST, "attempt": 12}).encode()
    with pytest.raises(ValidationError):
        JobAnswer.decode(body[:-1] + wrong_end, f"wk.{SPACE}.{CONNECTION}.u.started")


def test_what_has_its_default_value_takes_no_room_on_the_wire() -> None:
    sent = JobAnswer(
        space_id=SPACE, connection_id=CONNECTION, request_id=REQUEST, attempt=1, accepted=True
    )
    assert json.loads(sent.encode()).keys() == {
        "space_id",
        "connection_id",
        "request_id",
        "attempt",
    }
    assert RequestList(requests=[], next_cursor=None).encode() == b"{}"
    assert RequestList(next_cursor="c").encode() == b'{"next_cursor":"c"}'


def test_a_batch_is_bounded() -> None:
    request = {
        "request_id": REQUEST,
        "space_id": SPACE,
        "tenant_id": SPACE,
        "principal_id": SPACE,
        "payload": "{}",
    }
    with pytest.raises(ValidationError):
        Submit.model_validate({"requests": [request] * 257})


def test_ids_are_tokens_and_sort_by_time() -> None:
    ids = [new_id() for _ in range(1000)]
    assert all(is_id(each) for each in ids)
    assert len(set(ids)) == 1000
    assert [each[:10] for each in ids] == sorted(each[:10] for each in ids)
    assert not is_id("a.b")
    assert not is_id(">")


def test_four_states_are_terminal() -> None:
    assert [state for state in RequestState if state.terminal] == [
        RequestState.SUCCEEDED,
        RequestState.FAILED,
        RequestState.CANCELLED,
        RequestState.EXPIRED,
    ]
