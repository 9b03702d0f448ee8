"""The format of keys and tokens, which scanners and people recognise."""

import re

from spaces_contracts.access import PrincipalKind
from spaces_gateway.keys import new_key, shown_prefix, with_checksum


def test_the_checksum_of_the_known_pair() -> None:
    assert with_checksum("spk_" + "0" * 43) == "spk_" + "0" * 43 + "3wzY0b"


def test_a_key_has_its_prefix_and_checksum_and_is_never_the_same() -> None:
    keys = {new_key(PrincipalKind.API_KEY) for _ in range(100)}
    assert len(keys) == 100
    for key in keys:
        assert re.fullmatch(r"spk_[0-9A-Za-z]{49}", key)
        assert key == with_checksum(key[:-6])


def test_a_worker_token_is_told_by_its_prefix() -> None:
    token = new_key(PrincipalKind.WORKER_TOKEN)
    assert shown_prefix(token) == token[:10]
    assert token.startswith("spw_")
