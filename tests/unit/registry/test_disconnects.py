"""Reading the broker's advisories."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces_registry.disconnects import Departure, departure

ID = "0123456789abcdefghijklmnop"


def advisory(**client: object) -> bytes:
    return json.dumps(
        {"type": "io.nats.server.advisory.v1.client_disconnect", "client": client}
    ).encode()


def test_a_gateway_is_known_by_its_name_in_the_account_of_services() -> None:
    assert departure(advisory(acc="CORE", name=f"gateway:{ID}", user="gateway")) == Departure(
        gateway_id=ID
    )


def test_a_direct_worker_is_known_by_the_name_that_the_callout_gave_it() -> None:
    left = advisory(acc="EDGE", name=f"gateway:{ID}", user=ID)
    assert departure(left) == Departure(connection_id=ID)


@pytest.mark.parametrize(
    "client",
    [
        {"acc": "EDGE", "name": f"gateway:{ID}", "user": "x"},
        {"acc": "EDGE", "user": f"{ID}:default/chat"},
        {"acc": "CORE", "user": ID},
        {"acc": "SYS", "name": f"gateway:{ID}"},
        {"acc": "CORE", "name": "registry"},
        {"acc": "CORE", "name": "gateway:short"},
        {"acc": "CORE", "name": f"gateway:{ID}.more"},
        {"acc": "CORE"},
        {},
    ],
)
def test_others_are_none_of_our_business(client: dict[str, object]) -> None:
    assert departure(advisory(**client)) is None


@given(st.binary(max_size=60))
def test_noise_is_none_of_our_business(body: bytes) -> None:
    assert departure(body) is None


@pytest.mark.parametrize("body", [b"[]", b"1", b'{"client": 1}', b'{"client": []}'])
def test_other_json_is_none_of_our_business(body: bytes) -> None:
    assert departure(body) is None
