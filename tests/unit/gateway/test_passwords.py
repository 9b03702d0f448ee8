"""Passwords that everybody tries first are refused, and none leaves the process."""

import pytest
from pydantic import SecretStr

from spaces_contracts.users import MIN_PASSWORD, password_digest
from spaces_gateway.http.passwords import COMMON, digest, digest_of_new
from spaces_gateway.http.problems import BadRequest


@pytest.mark.parametrize(
    "text",
    ["password123", "Password123 ", "QWERTYUIOP", "aaaaaaaaaaaa", "Ada.Lovelace", "ada.lovelace@example.org"],
)  # fmt: skip
def test_what_is_tried_first_is_no_password(text: str) -> None:
    with pytest.raises(BadRequest) as refused:
        digest_of_new(SecretStr(text), "ada.lovelace@example.org", "countess", field="new_password")
    assert refused.value.errors[0].pointer == "#/new_password"
    assert text not in str(refused.value)


@pytest.mark.parametrize(
    "text", ["nine sheep on a hill", "пароль длинный", " " * 3 + "spaces ok" + " "]
)
def test_any_other_is_taken_as_it_is(text: str) -> None:
    assert digest_of_new(SecretStr(text), "ada@example.org", "") == password_digest(text)
    assert digest(SecretStr(text)) == password_digest(text)


def test_the_list_holds_only_what_the_length_does_not_refuse() -> None:
    assert min(len(text) for text in COMMON) >= MIN_PASSWORD
    assert {text.lower() for text in COMMON} == COMMON
