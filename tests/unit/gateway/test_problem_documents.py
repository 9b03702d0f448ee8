"""Problem documents, for every code."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces_contracts.problems import KINDS, Code, Problem
from spaces_gateway.http.problems import ProblemDocument, problem_document, problem_response

FACTS = st.dictionaries(
    st.text(max_size=10),
    st.none() | st.integers() | st.floats() | st.text(max_size=20) | st.lists(st.text(max_size=5)),
    max_size=4,
)


@given(
    st.sampled_from(Code), st.text(max_size=200), st.none() | st.floats(0, 1e6), FACTS, st.text()
)
def test_every_problem_becomes_a_document_that_fits_its_schema(
    code: Code, message: str, retry_after_s: float | None, facts: dict[str, object], path: str
) -> None:
    problem = Problem(code=code, message=message, retry_after_s=retry_after_s, facts=facts)
    response = problem_response(problem, path)
    document = ProblemDocument.model_validate_json(bytes(response.body))
    assert document.code is code
    assert document.status == response.status_code == KINDS[code].status
    assert document.detail == (message or KINDS[code].title)
    assert document.retry is KINDS[code].retry
    assert response.headers["content-type"] == "application/problem+json"
    json.loads(bytes(response.body), parse_constant=lambda _: pytest.fail("not JSON"))


@pytest.mark.parametrize("code", list(Code))
def test_the_type_is_a_stable_address(code: Code) -> None:
    assert problem_document(Problem(code=code), "/x")["type"] == f"/docs/problems#{code}"


@given(st.floats(0.001, 1e6))
def test_retry_after_is_whole_seconds_and_not_too_early(seconds: float) -> None:
    response = problem_response(Problem(code=Code.UNAVAILABLE, retry_after_s=seconds), "/")
    assert int(response.headers["retry-after"]) >= seconds


def test_a_refused_credential_says_which_scheme() -> None:
    response = problem_response(Problem(code=Code.UNAUTHENTICATED), "/")
    assert response.headers["www-authenticate"] == "Bearer"
