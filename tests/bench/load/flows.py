"""All flows by name, and how they are run."""

from dataclasses import dataclass

from tests.bench.load import peer_flows, product_flows
from tests.bench.load.flow import Flow
from tests.bench.load.limit_tasks import Task, nats_requests, postgres_commits


@dataclass(frozen=True)
class Entry:
    """How to run a flow."""

    flow: Flow
    socket: bool = False
    afterwards: Flow | None = None  # runs to its end once the measured phase is over


FLOWS: dict[str, Entry] = {
    "product-http": Entry(product_flows.http_wait),
    "product-paced": Entry(product_flows.http_paced),
    "product-submit": Entry(product_flows.http_submit, afterwards=product_flows.http_starts),
    "product-socket": Entry(product_flows.socket_echo, socket=True),
    "product-idle": Entry(product_flows.socket_idle, socket=True),
    "product-tokens": Entry(product_flows.socket_tokens, socket=True),
    "product-sse": Entry(product_flows.sse_tokens),
    "post": Entry(peer_flows.post_echo),
    "submit-wait": Entry(peer_flows.submit_and_wait),
    "poll": Entry(peer_flows.submit_and_poll),
    "poll-tokens": Entry(peer_flows.submit_and_poll_tokens),
    "gradio": Entry(peer_flows.gradio_echo),
    "gradio-tokens": Entry(peer_flows.gradio_tokens),
}

# What a library of its own sends, instead of our connections.
TASKS: dict[str, Task] = {"nats": nats_requests, "postgres": postgres_commits}
