"""What is checked before a request goes to the scheduler, and what makes two submits the same."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces_chassis.errors import ProblemError
from spaces_contracts.files import FileRef, InputKind
from spaces_contracts.identifiers import new_id
from spaces_contracts.problems import Code
from spaces_contracts.requests import NewRequest, Submit
from spaces_contracts.spaces import Space
from spaces_gateway.submission import (
    SubmitBody,
    check_inputs,
    encoded,
    fingerprint,
    payload_of,
    submit_bytes,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
OBJECTS = st.dictionaries(st.text(), JSON, max_size=5)


def space(*inputs: InputKind, enabled: bool = True) -> Space:
    return Space.model_validate(
        {
            "space_id": new_id(),
            "tenant_id": new_id(),
            "tenant_name": "t",
            "name": "s",
            "inputs": list(inputs),
            "enabled": enabled,
            "created_at": "2026-01-01T00:00:00Z",
            "updated_at": "2026-01-01T00:00:00Z",
        }
    )


def file(kind: InputKind, sha256: str = "0" * 64) -> FileRef:
    return FileRef(
        file_id=new_id(), name="f", kind=kind, media_type="a/b", size_bytes=1, sha256=sha256
    )


def code_of(*facts: Any) -> Code:
    with pytest.raises(ProblemError) as raised:
        check_inputs(*facts)
    return raised.value.problem.code


def test_each_kind_of_input_is_named_once() -> None:
    files = [file(InputKind.IMAGE), file(InputKind.IMAGE), file(InputKind.AUDIO)]
    kinds = check_inputs(space(*InputKind), "hi", files)
    assert kinds == [InputKind.PROMPT, InputKind.IMAGE, InputKind.AUDIO]


def test_a_file_alone_is_enough() -> None:
    assert check_inputs(space(InputKind.FILE), " ", [file(InputKind.FILE)]) == [InputKind.FILE]


@given(st.text(" \t\n\r\u3000") | st.none())
def test_a_blank_prompt_is_no_prompt(prompt: str | None) -> None:
    assert code_of(space(InputKind.PROMPT), prompt, []) is Code.EMPTY_PROMPT


@pytest.mark.parametrize("kind", list(InputKind))
def test_a_kind_that_is_off_is_refused(kind: InputKind) -> None:
    others = [other for other in InputKind if other is not kind]
    prompt, files = ("hi", []) if kind is InputKind.PROMPT else (None, [file(kind)])
    assert code_of(space(*others), prompt, files) is Code.INPUT_NOT_ENABLED


def test_a_disabled_space_says_so_first() -> None:
    assert code_of(space(enabled=False), None, []) is Code.SPACE_DISABLED


@given(st.text() | st.none(), OBJECTS)
def test_the_payload_is_what_was_sent(prompt: str | None, parameters: dict[str, Any]) -> None:
    payload = json.loads(payload_of(SubmitBody(prompt=prompt, parameters=parameters)))
    assert payload["parameters"] == parameters
    assert payload.get("prompt") == prompt
    assert ("prompt" in payload) is (prompt is not None)


@given(OBJECTS)
def test_the_order_of_members_does_not_make_another_body(parameters: dict[str, Any]) -> None:
    turned = dict(reversed(list(parameters.items())))
    one = fingerprint("s", SubmitBody(parameters=parameters), [])
    assert one == fingerprint("s", SubmitBody(parameters=turned), [])


@given(OBJECTS, OBJECTS)
def test_other_parameters_are_another_body(one: dict[str, Any], other: dict[str, Any]) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    prints = {fingerprint("s", SubmitBody(parameters=each), []) for each in (one, other)}
    assert (len(prints) == 1) is same


def test_everything_that_matters_is_in_the_fingerprint() -> None:
    body = SubmitBody(prompt="p")
    one = file(InputKind.FILE)
    prints = [
        fingerprint("s", body, []),
        fingerprint("other", body, []),
        fingerprint("s", body.model_copy(update={"prompt": "q"}), []),
        fingerprint("s", body.model_copy(update={"priority": 1}), []),
        fingerprint("s", body.model_copy(update={"timeout_s": 1.0}), []),
        fingerprint("s", body, [one]),
        fingerprint("s", body, [file(InputKind.FILE, "1" * 64)]),
    ]
    assert len(set(prints)) == len(prints)
    again = one.model_copy(update={"file_id": new_id()})
    assert fingerprint("s", body, [one]) == fingerprint("s", body, [again])


@given(st.text(max_size=50), st.sampled_from([None, 1.5]), st.integers(0, 3))
def test_requests_travel_as_the_contract_says(
    prompt: str, timeout_s: float | None, files: int
) -> None:
    members: dict[str, Any] = {
        "request_id": new_id(),
        "space_id": new_id(),
        "tenant_id": new_id(),
        "principal_id": new_id(),
        "payload": payload_of(SubmitBody(prompt=prompt)),
        "inputs": [InputKind.PROMPT],
        "files": [file(InputKind.FILE)] * files or None,
        "timeout_s": timeout_s,
        "priority": -3,
        "idempotency_key": None,
        "notify": "gw.a.cl.b",
    }
    given_members = {name: value for name, value in members.items() if value is not None}
    sent = submit_bytes([encoded(**members)] * 2)
    assert Submit.decode(sent) == Submit(requests=[NewRequest(**given_members)] * 2)
