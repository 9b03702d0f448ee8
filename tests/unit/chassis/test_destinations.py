"""Where calls may lead: the same host in all its spellings."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces_chassis.destinations import (
    Destination,
    DestinationRefused,
    Reach,
    check_address,
    read_destination,
)

ANYBODY = [
    ("https://example.org", Destination("https", "example.org", 443)),
    ("http://Example.ORG:8080/a?b=c#d", Destination("http", "example.org", 8080)),
    ("https://93.184.216.34/", Destination("https", "93.184.216.34", 443)),
    ("https://[2606:2800:220:1::1]:444/", Destination("https", "2606:2800:220:1::1", 444)),
    ("https://xn--bcher-kva.example/", Destination("https", "xn--bcher-kva.example", 443)),
    ("https://a.example./x", Destination("https", "a.example.", 443)),
]
NEAR = ["http://127.0.0.1:11434/v1", "http://localhost:8000", "http://ollama:11434", "http://[::1]:1",
        "http://10.0.0.7", "http://192.168.1.5:8000", "http://[fd12::7]:8000", "http://0.0.0.0:8000"]  # fmt: skip
NOBODY = [
    "http://169.254.169.254/latest/meta-data/", "http://[fe80::1]/", "http://[::ffff:169.254.169.254]/",
    "http://[64:ff9b::a9fe:a9fe]/", "http://[2002:a9fe:a9fe::1]/", "http://[::a9fe:a9fe]/",
    "http://100.100.100.200/", "http://[fd00:ec2::254]/", "http://168.63.129.16/", "http://224.0.0.1/",
    "http://[ff02::1]/", "http://255.255.255.255/", "http://2852039166/", "http://0xA9FEA9FE/",
    "http://0251.0376.0251.0376/", "http://169.254.43518/", "http://0x7f.1/", "http://127.1/",
    "http://127.0.0.1./", "http://1.2.3.4.5/", "http://256.1.1.1/", "ftp://a.example/", "file:///etc/passwd",
    "gopher://a.example/", "//a.example/", "a.example", "", "http:///x", "http://", "http://u:p@a.example/",
    "http://a.example@b.example/", "http://a.example:0/", "http://a.example:99999/", "http://a.example:/",
    "http://a.example:x/", "http://a b/", "http://a\tb.example/", "http://a.example\\@b.example/",
    "http://a%2eexample/", "http://①②⑦.⓪.⓪.①/", "http://ⓔxample.org/", "http://[::1/", "http://[::1%25lo]/x y",
    "http://a..example/", "http://-/", "http://" + "a" * 300 + ".example/", " http://a.example/",
    "http://a.example/\r\nX: y", "http://[v1.a]/",
]  # fmt: skip


@pytest.mark.parametrize("reach", Reach)
@pytest.mark.parametrize(("url", "destination"), ANYBODY)
def test_the_public_internet_is_for_anybody(
    url: str, destination: Destination, reach: Reach
) -> None:
    assert read_destination(url, reach) == destination


@pytest.mark.parametrize("url", NEAR)
def test_what_is_near_is_for_the_operator_only(url: str) -> None:
    if url != "http://localhost:8000":
        with pytest.raises(DestinationRefused):
            read_destination(url)
    read_destination(url, Reach.OPERATOR)


@pytest.mark.parametrize("reach", Reach)
@pytest.mark.parametrize("url", NOBODY)
def test_some_addresses_are_for_nobody(url: str, reach: Reach) -> None:
    with pytest.raises(DestinationRefused):
        read_destination(url, reach)


@given(st.ip_addresses())
def test_a_stranger_reaches_nothing_that_is_not_global(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    try:
        check_address(str(address), Reach.STRANGER)
    except DestinationRefused:
        return
    assert address.is_global
    assert not address.is_multicast
    assert not address.is_link_local


@given(st.ip_addresses(v=4))
def test_an_address_in_ipv6_clothes_is_judged_as_itself(address: ipaddress.IPv4Address) -> None:
    def refused(text: str) -> bool:
        try:
            check_address(text, Reach.STRANGER)
        except DestinationRefused:
            return True
        return False

    dressed = (f"::ffff:{address}", f"64:ff9b::{address}", f"::ffff:0:{address}")
    assert {refused(one) for one in dressed} == {refused(str(address))}


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    for url in (text, "http://" + text):
        try:
            read_destination(url)
        except DestinationRefused:
            continue
