"""Subjects: what is filled in is found again, and nothing that could widen a subject gets in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces_contracts.subject import Subject, SubjectError

TOKENS = st.from_regex(r"[A-Za-z0-9_$-]{1,32}", fullmatch=True)
RESULT = Subject("wk.{space_id}.{connection_id}.u.result")


@given(space_id=TOKENS, connection_id=TOKENS)
def test_what_is_filled_in_is_parsed_out(space_id: str, connection_id: str) -> None:
    values = {"space_id": space_id, "connection_id": connection_id}
    assert RESULT.parse(RESULT.fill(values)) == values


@given(before=st.text(), sign=st.sampled_from(".*> \t\n\x00"), after=st.text())
def test_a_value_that_is_not_one_token_is_refused(before: str, sign: str, after: str) -> None:
    text = before + sign + after
    with pytest.raises(SubjectError):
        RESULT.fill({"space_id": text, "connection_id": "c"})
    with pytest.raises(SubjectError):
        RESULT.listen(space_id=text)


@pytest.mark.parametrize("value", ["", "a\n", "é"])
def test_odd_values_are_refused(value: str) -> None:
    with pytest.raises(SubjectError):
        RESULT.fill({"space_id": value, "connection_id": "c"})


def test_a_listener_fixes_some_fields() -> None:
    assert RESULT.pattern == "wk.*.*.u.result"
    assert RESULT.listen(space_id="s1") == "wk.s1.*.u.result"


def test_a_route_is_several_tokens() -> None:
    job = Subject("{route}.job")
    assert job.parse("gw.g1.wk.c1.job") == {"route": "gw.g1.wk.c1"}
    assert job.fill({"route": "gw.g1.wk.c1"}) == "gw.g1.wk.c1.job"
    assert job.listen(route="gw.g1.wk.c1") == "gw.g1.wk.c1.job"
    with pytest.raises(SubjectError):
        job.fill({"route": "gw.>"})


def test_a_subject_of_another_shape_is_refused() -> None:
    with pytest.raises(SubjectError):
        RESULT.parse("wk.s.c.u.started")
    with pytest.raises(SubjectError):
        RESULT.parse("wk.s.c.d.u.result")


@pytest.mark.parametrize("template", ["a.{b}c", "a..b", "a.{B}", "a.*"])
def test_a_template_that_could_not_be_filled_is_refused(template: str) -> None:
    with pytest.raises(SubjectError):
        Subject(template)
