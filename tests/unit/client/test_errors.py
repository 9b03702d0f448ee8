"""Errors say what happened and what to do."""

import pytest

from spaces_client import NotFinished, Refused, RequestFailed, SpacesError, Unreachable
from spaces_client.models import Failure, Request
from spaces_contracts.identifiers import new_id
from spaces_contracts.problems import KINDS, Code
from spaces_contracts.requests import RequestState


@pytest.mark.parametrize("code", list(Code))
def test_every_problem_code_brings_its_text_advice_and_retry(code: Code) -> None:
    error = Refused(code.value)
    kind = KINDS[code]
    assert (error.message, error.what_to_do, error.retry) == (
        kind.title,
        kind.what_to_do,
        kind.retry,
    )
    assert error.status == kind.status


def test_a_code_of_a_newer_gateway_is_kept() -> None:
    error = Refused("brand_new", "Something new.", status=418)
    assert (error.code, error.message, error.retry) == ("brand_new", "Something new.", False)
    assert Refused("brand_new", status=503).retry


@pytest.mark.parametrize(
    "state", [RequestState.FAILED, RequestState.CANCELLED, RequestState.EXPIRED]
)
def test_a_failed_request_carries_itself_and_a_text(state: RequestState) -> None:
    request = Request(request_id=new_id(), space_id=new_id(), state=state)
    error = RequestFailed(request)
    assert error.request is request
    assert error.code == state.value
    assert error.message


def test_a_failed_request_speaks_with_the_workers_words() -> None:
    request = Request(
        request_id=new_id(),
        space_id=new_id(),
        state=RequestState.FAILED,
        error=Failure(code="handler_failed", message="ValueError: no text"),
    )
    error = RequestFailed(request)
    assert str(error) == "ValueError: no text [handler_failed]"
    assert error.what_to_do == KINDS[Code.HANDLER_FAILED].what_to_do


def test_all_errors_are_of_one_tree() -> None:
    for error in (Unreachable("x", sent=True), Refused("forbidden"), NotFinished("r", 1)):
        assert isinstance(error, SpacesError)
        assert error.code
        assert error.what_to_do
