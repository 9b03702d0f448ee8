"""Which pages may have a browser's cookies sent, and what cookies look like."""

from typing import Any

import pytest
from pydantic import IPvAnyNetwork, TypeAdapter
from starlette.requests import Request
from starlette.responses import Response

from spaces_chassis.errors import ProblemError
from spaces_contracts.problems import Code
from spaces_gateway.http.cookies import REFRESH, SESSION, SameSite
from spaces_gateway.http.proxies import Network, Proxies

NETWORK: TypeAdapter[Network] = TypeAdapter(IPvAnyNetwork)
OWN = "spaces.example"
ALLOWED = ["https://ui.example", "*"]


def request(
    method: str = "POST", scheme: str = "http", peer: str = "192.0.2.7", **headers: str
) -> Request:
    lines = {"host": OWN} | {name.replace("_", "-"): value for name, value in headers.items()}
    scope: dict[str, Any] = {
        "type": "http",
        "method": method,
        "scheme": scheme,
        "path": "/",
        "query_string": b"",
        "client": (peer, 4711),
        "headers": [(name.encode(), value.encode()) for name, value in lines.items()],
    }
    return Request(scope)


def proxies(*networks: str) -> Proxies:
    return Proxies([NETWORK.validate_python(network) for network in networks])


# Name -> (scheme, headers, whether it passes).
CALLS: dict[str, tuple[str, dict[str, str], bool]] = {
    "a script": ("http", {}, True),
    "our own page": ("http", {"origin": f"http://{OWN}", "sec_fetch_site": "same-origin"}, True),
    "our own page over TLS": ("https", {"origin": f"https://{OWN}"}, True),
    "our own page behind a proxy that ends TLS": ("http", {"origin": f"https://{OWN}"}, True),
    "a person who typed the address": ("http", {"sec_fetch_site": "none"}, True),
    "an old browser's own page": ("http", {"origin": f"http://{OWN}"}, True),
    "an allowed page": (
        "https", {"origin": "https://ui.example", "sec_fetch_site": "cross-site"}, True,
    ),
    "an allowed page as no browser spells it": ("https", {"origin": "HTTPS://UI.example"}, False),
    "another site": ("https", {"origin": "https://evil.example", "sec_fetch_site": "cross-site"}, False),
    "another site in an old browser": ("https", {"origin": "https://evil.example"}, False),
    "another site without an origin": ("https", {"sec_fetch_site": "cross-site"}, False),
    "a neighbour of ours": ("https", {"sec_fetch_site": "same-site"}, False),
    "a neighbour by name": ("https", {"origin": f"https://evil.{OWN}"}, False),
    "a sandboxed frame": ("https", {"origin": "null"}, False),
    "a name that begins like ours": ("https", {"origin": f"https://{OWN}.evil.example"}, False),
    "a name that ends like ours": ("https", {"origin": f"https://evil{OWN}"}, False),
    "our name with another port": ("https", {"origin": f"https://{OWN}:8443"}, False),
    "our name without TLS": ("https", {"origin": f"http://{OWN}"}, False),
    "our name by another scheme": ("http", {"origin": f"ftp://{OWN}"}, False),
    "our name as somebody's user": ("https", {"origin": f"https://{OWN}@evil.example"}, False),
    "no host at all": ("https", {"origin": "https://", "host": ""}, False),
    "an origin in the host": ("https", {"origin": "https://evil.example", "host": "evil.example/"}, False),
    "a star": ("https", {"origin": "*"}, False),
    "a word nobody knows": ("https", {"sec_fetch_site": "mostly-harmless"}, False),
    "our origin from a page of another site": (
        "https", {"origin": f"https://{OWN}", "sec_fetch_site": "cross-site"}, False,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("method", ["POST", "DELETE", "PATCH", "PUT", "BREW"])
def test_a_page_of_another_site_makes_no_call_with_cookies(name: str, method: str) -> None:
    scheme, headers, passes = CALLS[name]
    check = SameSite(proxies(), ALLOWED).check
    if passes:
        check(request(method, scheme, **headers))
    else:
        with pytest.raises(ProblemError) as refused:
            check(request(method, scheme, **headers))
        assert refused.value.problem.code is Code.CROSS_SITE


@pytest.mark.parametrize(
    ("origin", "passes"),
    [("https://spaces.example", True), (f"http://{OWN}", False), ("http://spaces.example", False)],
)
def test_with_a_public_address_only_its_pages_are_our_own(origin: str, passes: bool) -> None:
    public = "https://spaces.example"
    check = SameSite(Proxies((), public), (), public).check
    call = request("POST", "http", origin=origin)
    if passes:
        check(call)
    else:
        with pytest.raises(ProblemError):
            check(call)


def test_behind_a_public_https_address_cookies_are_for_tls_only() -> None:
    scope = request("POST", "http").scope
    assert Proxies((), "https://spaces.example").is_tls(scope)
    assert not Proxies((), "http://spaces.internal").is_tls(scope)
    assert Proxies((), "https://spaces.example").origin(scope) == "https://spaces.example"


@pytest.mark.parametrize("name", CALLS)
def test_reading_is_left_to_the_browsers_own_rules(name: str) -> None:
    scheme, headers, _ = CALLS[name]
    SameSite(proxies(), ALLOWED).check(request("GET", scheme, **headers))


@pytest.mark.parametrize(
    ("cookie", "tls", "header"),
    [
        (REFRESH, False, "spaces_refresh=x; HttpOnly; Max-Age=60; Path=/auth/jwt; SameSite=strict"),
        (
            REFRESH,
            True,
            "__Secure-spaces_refresh=x; HttpOnly; Max-Age=60; Path=/auth/jwt; SameSite=strict; Secure",
        ),
        (SESSION, False, "spaces_session=x; HttpOnly; Max-Age=60; Path=/; SameSite=strict"),
        (
            SESSION,
            True,
            "__Host-spaces_session=x; HttpOnly; Max-Age=60; Path=/; SameSite=strict; Secure",
        ),
    ],
)
def test_a_cookie_is_for_no_script_and_no_other_site(cookie: Any, tls: bool, header: str) -> None:
    response = Response()
    cookie.set(response, "x", tls=tls, lifetime_s=60)
    assert response.headers["set-cookie"] == header
    assert cookie.read(request(cookie=header.partition(";")[0]), tls=tls) == "x"
    cleared = Response()
    cookie.clear(cleared, tls=tls)
    assert cleared.headers["set-cookie"].startswith(cookie.name(tls=tls) + '=""; ')
    assert "Max-Age=0" in cleared.headers["set-cookie"]


@pytest.mark.parametrize(
    ("sent", "tls", "read"),
    [
        ("", False, None),
        ("spaces_session=", False, None),
        ("other=1; spaces_session=x ; more=2", False, "x"),
        ("spaces_session=x; spaces_session=x", False, "x"),
        ("spaces_session=x; spaces_session=y", False, None),  # one of them was planted
        ("Spaces_Session=x", False, None),
        ("spaces_session=x", True, None),  # set over a plain connection, by whoever was on it
        ("__Host-spaces_session=x; spaces_session=y", True, "x"),
    ],
)
def test_a_cookie_is_read_by_its_whole_name(sent: str, tls: bool, read: str | None) -> None:
    assert SESSION.read(request(cookie=sent), tls=tls) == read


# Proxies


@pytest.mark.parametrize(
    ("trusted", "peer", "forwarded", "address"),
    [
        ([], "192.0.2.7", "", "192.0.2.7"),
        ([], "192.0.2.7", "198.51.100.1", "192.0.2.7"),
        (["10.0.0.0/8"], "192.0.2.7", "198.51.100.1", "192.0.2.7"),
        (["10.0.0.0/8"], "10.1.2.3", "198.51.100.1", "198.51.100.1"),
        (["10.0.0.0/8"], "10.1.2.3", "203.0.113.9, 198.51.100.1", "198.51.100.1"),
        (["10.0.0.0/8"], "10.1.2.3", "198.51.100.1, 10.9.9.9", "198.51.100.1"),
        (["10.0.0.0/8"], "10.1.2.3", "", "10.1.2.3"),
        (["10.0.0.0/8"], "10.1.2.3", "10.9.9.9", "10.9.9.9"),
        (["10.0.0.0/8"], "10.1.2.3", "198.51.100.1, evil", "10.1.2.3"),
        (["10.0.0.0/8"], "10.1.2.3", "198.51.100.1:55, [2001:db8::1]:80", "2001:db8::1"),
        (["10.1.2.3"], "::ffff:10.1.2.3", "198.51.100.1:4711", "198.51.100.1"),
        (["2001:db8::/32"], "2001:db8::5", "2001:db9::7", "2001:db9::7"),
    ],
)
def test_only_trusted_proxies_say_where_a_call_came_from(
    trusted: list[str], peer: str, forwarded: str, address: str
) -> None:
    call = request(peer=peer, x_forwarded_for=forwarded)
    assert proxies(*trusted).address(call.scope) == address


@pytest.mark.parametrize(
    ("trusted", "scheme", "forwarded", "tls"),
    [
        ([], "http", "", False),
        ([], "https", "", True),
        ([], "http", "https", False),
        ([], "https", "http", True),
        (["192.0.2.7"], "http", "https", True),
        (["192.0.2.7"], "http", "https, http", False),
        (["192.0.2.7"], "https", "", True),
    ],
)
def test_only_trusted_proxies_say_that_the_call_was_encrypted(
    trusted: list[str], scheme: str, forwarded: str, tls: bool
) -> None:
    call = request(scheme=scheme, x_forwarded_proto=forwarded)
    assert proxies(*trusted).is_tls(call.scope) is tls


def test_what_is_no_host_is_repeated_to_nobody() -> None:
    assert proxies().origin(request(scheme="https").scope) == f"https://{OWN}"
    assert proxies().origin(request(host="[2001:db8::1]:80").scope) == "http://[2001:db8::1]:80"
    assert proxies().origin(request(host="a;rm -rf").scope) == "http://localhost"


def test_a_call_without_an_address_has_none() -> None:
    assert proxies("0.0.0.0/0").address({"client": None, "headers": []}) == ""
