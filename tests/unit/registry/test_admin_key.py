"""The file of the first admin key."""

import stat
from pathlib import Path

import pytest

from spaces_contracts.access import PrincipalKind
from spaces_contracts.keys import kind_of, new_key, sha256_of
from spaces_registry.admin_key import AdminKeyError, read_or_make


def test_a_fresh_key_is_written_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "admin-key"
    key = read_or_make(path)
    assert kind_of(key) is PrincipalKind.ADMIN
    assert path.read_text() == key + "\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert list(path.parent.iterdir()) == [path]


def test_a_key_that_was_written_and_never_stored_is_used(tmp_path: Path) -> None:
    path = tmp_path / "admin-key"
    assert read_or_make(path) == read_or_make(path)


def test_a_revoked_key_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "admin-key"
    old = read_or_make(path)
    fresh = read_or_make(path, frozenset({sha256_of(old)}))
    assert fresh != old
    assert path.read_text().strip() == fresh


def test_an_empty_file_is_filled(tmp_path: Path) -> None:
    path = tmp_path / "admin-key"
    path.touch(mode=0o644)
    key = read_or_make(path)
    assert path.read_text().strip() == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("content", ["hello", new_key(PrincipalKind.API_KEY)])
def test_a_file_with_something_else_is_left_alone(tmp_path: Path, content: str) -> None:
    path = tmp_path / "admin-key"
    path.write_text(content)
    with pytest.raises(AdminKeyError, match="not an admin key"):
        read_or_make(path)
    assert path.read_text() == content


def test_a_place_that_cannot_hold_a_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(AdminKeyError, match="cannot read"):
        read_or_make(tmp_path)
