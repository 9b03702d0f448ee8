"""`python -m tests.bench`: the product and its peers on the same work."""

import argparse
import json

from tests.bench.cell import Row, Shape, measure
from tests.bench.product import running_product


def main() -> None:
    """One row so far: the product alone."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--only", default="product")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--spaces", type=int, default=1)
    parser.add_argument("--slots", type=int, default=64)
    parser.add_argument("--transport", default="http")
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--repeat", type=int, default=1)
    arguments = parser.parse_args()
    flows = {
        "http": "product-http",
        "socket": "product-socket",
        "tokens": "product-tokens",
        "offered": "product-submit",
    }
    with running_product() as product:
        spaces = product.add_worker(
            "bench",
            spaces=arguments.spaces,
            slots=arguments.slots,
            handler="tokens" if arguments.transport == "tokens" else "echo",
        )
        load = product.load(
            flows[arguments.transport],
            spaces,
            clients=arguments.clients,
            seconds=arguments.seconds,
            rate=arguments.rate,
        )
        shape = Shape(
            arguments.transport,
            arguments.spaces,
            arguments.slots,
            arguments.clients,
            arguments.rate,
        )
        for _ in range(arguments.repeat):
            row: Row = measure("product", True, shape, load, product.processes)
            print(json.dumps(row.as_json(), indent=1))


if __name__ == "__main__":
    main()
