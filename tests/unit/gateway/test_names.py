"""Names that lead elsewhere are refused; all others are kept as one component."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces_chassis.errors import ProblemError
from spaces_contracts.problems import Code
from spaces_gateway.files.names import check_name, safe_name


@pytest.mark.parametrize(
    "name",
    ["../a", "a/../b", "..\\a", "..", "a/..", "/etc/passwd", "\\\\host\\share", "C:\\a", "c:/a",
     "~/.ssh/id", "a\0.png", "a\r\nSet-Cookie: x", "a\u202egnp.exe", "%2e%2e%2fa", "%252e%252e%252fa",
     "..%2fa", "%2fetc%2fpasswd", "%00", "a/ .. /b", "a\u0085b"],
)  # fmt: skip
def test_a_name_that_leads_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(ProblemError) as refused:
        check_name(name)
    assert refused.value.problem.code is Code.FILE_NAME_UNSAFE


@pytest.mark.parametrize(
    "name",
    [None, "", "a.png", "folder/a.png", "..a.png", "a..b", "...", "naïve a.png", "100%.txt", "a%2fb",
     "C:a", "a~b", "файл.pdf", ".env", "%zz"],
)  # fmt: skip
def test_other_names_are_taken(name: str | None) -> None:
    check_name(name)


@given(st.text(max_size=60))
def test_what_is_taken_becomes_one_component(name: str) -> None:
    try:
        check_name(name)
    except ProblemError:
        return
    assert safe_name(name) not in ("", ".", "..")
    assert not set(safe_name(name)) & set("/\\\0\r\n")
