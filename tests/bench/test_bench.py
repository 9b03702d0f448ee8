"""The bench itself, in small: the product answers the load generator on every path."""

from collections.abc import Iterator

import pytest

from tests.bench.cell import Shape, measure
from tests.bench.product import running_product
from tests.bench.systems import ProductSystem

pytestmark = pytest.mark.timeout(180)
SLOTS = 2


@pytest.fixture(scope="module")
def product() -> Iterator[ProductSystem]:
    with running_product() as running:
        yield ProductSystem(running)


@pytest.mark.parametrize("transport", ["http", "socket", "tokens", "sse", "offered"])
def test_a_cell_is_measured_without_an_error(product: ProductSystem, transport: str) -> None:
    shape = Shape(transport, 1, SLOTS, clients=4, rate=20.0 if transport == "offered" else 0.0)
    product.prepare(shape)
    load = product.load(shape, seconds=0.8, warm_s=0.2)
    assert load is not None
    row = measure("product", True, shape, load, product.processes_of(shape))
    facts = row.as_json()
    assert row.valid, facts
    assert facts["p50_ms"] > 0
    assert set(facts["cpu_s_per_1000_by_process"]) == {
        "postgres", "nats", "registry", "scheduler", "gateway", "worker", "load",
    }  # fmt: skip
    assert all(mib > 1 for mib in facts["rss_mib_by_process"].values())
    if transport in ("tokens", "sse"):
        assert facts["tokens_per_s"] > 0
        assert facts["first_token_p95_ms"] > 0
    if transport == "offered":
        assert facts["dispatch_p95_ms"] >= 0
