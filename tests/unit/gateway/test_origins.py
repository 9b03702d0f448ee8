"""Origins are compared as a whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces_gateway.origins import NotAnOrigin, Origins, read_origin

LISTED = "https://app.example.org"
HOST = "spaces.example.org"


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://app.example.org", "https://app.example.org"),
        ("https://APP.example.org:443", "https://app.example.org"),
        ("http://app.example.org:80", "http://app.example.org"),
        ("http://app.example.org:443", "http://app.example.org:443"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("http://127.0.0.1:5173", "http://127.0.0.1:5173"),
    ],
)
def test_an_origin_is_read_as_browsers_write_it(text: str, origin: str) -> None:
    assert read_origin(text) == origin


@pytest.mark.parametrize(
    "text",
    ["", "null", "*", "app.example.org", "https://", "https://a.example/", "https://a.example/x",
     "https://u@a.example", "https://a.example:x", "https://a.example:99999", "ftp://a.example",
     "https://a.example b", "https://*.example.org", "https://a.example?x", "https://a.example#x",
     "https://a.example\\b", "https://[::1", "https://.a.example", "https://ä.example"],
)  # fmt: skip
def test_what_is_no_origin_is_refused(text: str) -> None:
    with pytest.raises(NotAnOrigin):
        read_origin(text)


def test_the_own_origin_and_the_listed_ones_are_let_in() -> None:
    origins = Origins([LISTED])
    assert origins.allow(LISTED, HOST)
    assert origins.allow(f"https://{HOST}", HOST)
    assert origins.allow(f"http://{HOST}", HOST)  # a proxy may end TLS, or nobody does
    assert origins.allow(f"http://{HOST}:8080", f"{HOST}:8080")
    assert origins.allow(f"https://{HOST}", f"{HOST}:443")


def test_with_tls_the_own_origin_is_https_only() -> None:
    origins = Origins([], tls=True)
    assert origins.allow(f"https://{HOST}", HOST)
    assert not origins.allow(f"http://{HOST}", HOST)


def test_a_public_url_is_the_only_own_origin_whatever_host_a_call_names() -> None:
    origins = Origins([], public_url=f"https://{HOST}")
    assert origins.allow(f"https://{HOST}", "10.0.0.7:8080")
    assert not origins.allow("https://rebound.example", "rebound.example")


def test_a_star_lets_everybody_in() -> None:
    assert Origins(["*"]).allow("null", HOST)


@given(st.text(max_size=80))
def test_nothing_but_the_two_is_let_in(text: str) -> None:
    allowed = text in (LISTED, f"https://{HOST}", f"http://{HOST}")
    assert Origins([LISTED]).allow(text, HOST) == allowed


@given(st.text(max_size=12), st.text(max_size=12))
def test_neither_beginning_nor_end_is_enough(before: str, after: str) -> None:
    text = before + LISTED + after
    assert Origins([LISTED]).allow(text, HOST) == (text == LISTED)
