"""All flows by name, and whether they run on a socket."""

from dataclasses import dataclass

from tests.bench.load import product_flows
from tests.bench.load.flow import Flow


@dataclass(frozen=True)
class Entry:
    """How to run a flow."""

    flow: Flow
    socket: bool = False
    afterwards: Flow | None = None  # runs to its end once the measured phase is over


FLOWS: dict[str, Entry] = {
    "product-http": Entry(product_flows.http_wait),
    "product-submit": Entry(product_flows.http_submit, afterwards=product_flows.http_starts),
    "product-socket": Entry(product_flows.socket_echo, socket=True),
    "product-tokens": Entry(product_flows.socket_tokens, socket=True),
}
