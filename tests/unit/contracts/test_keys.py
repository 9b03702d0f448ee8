"""The format of secrets."""

import hashlib
import re

from hypothesis import given
from hypothesis import strategies as st

from spaces_contracts.access import PrincipalKind
from spaces_contracts.keys import PREFIXES, kind_of, new_key, sha256_of, shown_prefix

KINDS = st.sampled_from(PrincipalKind)
FORMAT = re.compile(r"^sp[kwas]_[0-9A-Za-z]{43}[0-9A-Za-z]{6}$")


@given(KINDS)
def test_a_key_says_its_kind_and_fits_the_format(kind: PrincipalKind) -> None:
    key = new_key(kind)
    assert FORMAT.match(key)
    assert key.startswith(PREFIXES[kind])
    assert kind_of(key) is kind


@given(KINDS)
def test_two_keys_differ(kind: PrincipalKind) -> None:
    assert new_key(kind) != new_key(kind)


@given(KINDS, st.integers(min_value=0, max_value=52), st.characters())
def test_one_mistyped_character_is_noticed(kind: PrincipalKind, at: int, wrong: str) -> None:
    key = new_key(kind)
    mistyped = key[:at] + wrong + key[at + 1 :]
    assert kind_of(mistyped) is (kind if mistyped == key else None)


@given(st.text(max_size=80))
def test_other_text_is_no_key(text: str) -> None:
    assert kind_of(text) is None


@given(KINDS, st.integers(min_value=0, max_value=52))
def test_a_key_cut_short_or_with_more_behind_it_is_no_key(kind: PrincipalKind, length: int) -> None:
    key = new_key(kind)
    assert kind_of(key[:length]) is None
    assert kind_of(key + "0") is None


def test_a_known_key_keeps_its_checksum() -> None:
    assert kind_of("spk_" + "0" * 43 + "3wzY0b") is PrincipalKind.API_KEY


def test_what_is_shown_is_a_beginning_that_gives_little_away() -> None:
    key = new_key(PrincipalKind.API_KEY)
    assert key.startswith(shown_prefix(key))
    assert len(shown_prefix(key)) == 10


@given(st.text())
def test_what_is_stored_is_sha256(text: str) -> None:
    assert sha256_of(text) == hashlib.sha256(text.encode()).hexdigest()
