"""Signed file addresses: good until they expire, for exactly what they say."""

from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces_chassis.errors import ProblemError
from spaces_chassis.testing import ManualClock
from spaces_contracts.files import FileRef
from spaces_contracts.identifiers import new_id
from spaces_contracts.problems import Code
from spaces_gateway.files.signing import MARGIN_S, FileLinks, Purpose, random_key

TOKENS = st.text("0123456789abcdefghjkmnpqrstvwxyz", min_size=1, max_size=32)


def file() -> FileRef:
    return FileRef.model_validate(
        {
            "file_id": new_id(),
            "name": "a",
            "kind": "file",
            "media_type": "text/plain",
            "size_bytes": 1,
            "sha256": "",
        }
    )


def code_of(links: FileLinks, *facts: object) -> Code | None:
    try:
        links.check(*facts)  # type: ignore[arg-type]  # the facts of one case, in order
    except ProblemError as error:
        return error.problem.code
    return None


@given(st.sampled_from(Purpose), TOKENS, TOKENS, st.integers(0, 10**6))
def test_what_was_signed_verifies_until_it_expires(
    purpose: Purpose, subject: str, request: str, lifetime_s: int
) -> None:
    clock = ManualClock()
    links = FileLinks(b"key", clock)
    expires = links.expiry(lifetime_s)
    facts = (purpose, subject, request, expires, links.sign(purpose, subject, request, expires))
    assert code_of(links, *facts) is None
    clock.forward(lifetime_s)
    assert code_of(links, *facts) is None
    clock.forward(1.1)
    assert code_of(links, *facts) is Code.SIGNATURE_EXPIRED


@given(
    st.tuples(st.sampled_from(Purpose), TOKENS, TOKENS, st.integers(2**31, 2**40)),
    st.tuples(st.sampled_from(Purpose), TOKENS, TOKENS, st.integers(2**31, 2**40)),
)
def test_a_signature_is_good_for_nothing_else(
    one: tuple[Purpose, str, str, int], other: tuple[Purpose, str, str, int]
) -> None:
    links = FileLinks(b"key", ManualClock())
    expected = None if one == other else Code.SIGNATURE_INVALID
    assert code_of(links, *other, links.sign(*one)) is expected


@given(st.text(max_size=70))
def test_any_text_is_refused_and_never_an_error(signature: str) -> None:
    links = FileLinks(b"key", ManualClock())
    facts = (Purpose.INPUT, "f", "r", 2**40, signature)
    assert code_of(links, *facts) is Code.SIGNATURE_INVALID


def test_another_key_signs_otherwise() -> None:
    facts = (Purpose.INPUT, "f", "r", 2**40)
    clock = ManualClock()
    signature = FileLinks(b"one", clock).sign(*facts)
    assert code_of(FileLinks(b"two", clock), *facts, signature) is Code.SIGNATURE_INVALID


def test_an_address_outlives_the_request_by_a_margin() -> None:
    clock = ManualClock()
    links = FileLinks(b"key", clock)
    (ref,) = links.input_refs([file()], "request", 60)
    assert ref.url is not None
    query = parse_qs(urlsplit(ref.url).query)
    assert int(query["exp"][0]) - clock.now().timestamp() == pytest.approx(60 + MARGIN_S, abs=2)
    assert query["request"] == ["request"]
    assert urlsplit(ref.url).path == f"/files/{ref.file_id}"


def test_an_output_is_not_opened_by_the_signature_of_an_input() -> None:
    links = FileLinks(b"key", ManualClock())
    one = file()
    (as_input,) = links.input_refs([one], "request", 60)
    (as_output,) = links.output_refs([one], "request")
    assert as_input.url != as_output.url


def test_where_a_worker_uploads_is_signed_for_its_tenant_and_outlives_the_request_too() -> None:
    clock = ManualClock()
    links = FileLinks(b"key", clock)
    address = urlsplit(links.upload_url("request", "tenant", 60))
    assert address.path == "/api/results/request/files"
    query = {name: values[0] for name, values in parse_qs(address.query).items()}
    assert (query["tenant"], int(query["exp"])) == ("tenant", links.expiry(60 + 300))
    facts = (Purpose.UPLOAD, "tenant", "request", int(query["exp"]), query["sig"])
    assert code_of(links, *facts) is None
    clock.forward(60 + 300)
    assert code_of(links, *facts) is None
    clock.forward(2)
    assert code_of(links, *facts) is Code.SIGNATURE_EXPIRED


def test_an_output_is_read_for_an_hour() -> None:
    links = FileLinks(b"key", ManualClock())
    (ref,) = links.output_refs([file()], "request")
    assert ref.url is not None
    assert int(parse_qs(urlsplit(ref.url).query)["exp"][0]) == links.expiry(3600)


def test_an_address_is_good_in_its_last_second_and_never_for_less_than_it_says() -> None:
    clock = ManualClock()
    links = FileLinks(b"key", clock)
    for lifetime_s in (0, 0.5, 1, 59.9):
        left_s = links.expiry(lifetime_s) - clock.now().timestamp() - lifetime_s
        assert 0 < left_s <= 1
    now = int(clock.now().timestamp())
    clock.forward(now + 1 - clock.now().timestamp())
    facts = (Purpose.INPUT, "f", "r", now + 1)
    assert clock.now().timestamp() == now + 1
    assert code_of(links, *facts, links.sign(*facts)) is None


def test_a_key_of_ones_own_is_as_long_as_the_digest_and_never_the_same() -> None:
    keys = {random_key() for _ in range(100)}
    assert len(keys) == 100
    assert {len(key) for key in keys} == {32}
