"""The shapes of many sockets, in small: all come back, and every event reaches who should get it."""

from collections.abc import Iterator

import pytest

from tests.bench.product import Product, running_product
from tests.bench.shape_rig import Bench
from tests.bench.socket_shapes import churn_on, storm_on

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def product() -> Iterator[Product]:
    with running_product(gateways=2) as running:
        yield running


def test_in_a_storm_every_socket_comes_back(product: Product) -> None:
    figures = storm_on(product, Bench(seconds=0.4, scale=0.01))
    assert figures["sockets"] == 50
    for storm in (figures["cut"], figures["killed"]):
        assert storm["not_back"] == 0
        assert 0 < storm["back_50_s"] <= storm["back_99_s"] <= storm["back_all_s"]
        assert storm["echo_errors"] == 0
        assert storm["echo_ms"]["meanwhile"]["count"] > 0
    assert figures["cut"]["errors"] == {}
    # Who cut itself off is not surprised; who was cut off is, once.
    assert figures["cut"]["lost"] == {}
    assert sum(figures["killed"]["lost"].values()) == figures["sockets"]
    assert figures["killed"]["errors"].keys() <= {"ConnectionRefusedError"}


def test_in_a_churn_every_event_arrives_once(product: Product) -> None:
    figures = churn_on(product, Bench(scale=0.01, churn_s=2.0))
    assert figures["sockets"] == 100
    assert figures["published"] > 0
    assert figures["event"]["count"] > figures["published"]  # several watch each space
    assert (figures["missed"], figures["doubled"], figures["not_back"]) == (0, 0, 0)
    assert figures["errors"] == figures["lost"] == {}
