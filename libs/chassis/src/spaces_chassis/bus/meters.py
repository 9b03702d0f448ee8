"""What the bus counts."""

from spaces_chassis.metrics import Metrics


class BusMeters:
    """The bus's metrics, made once a process."""

    def __init__(self, metrics: Metrics) -> None:
        self.connected = metrics.gauge("spaces_bus_connected", "1 while the bus is connected")
        self.connects = metrics.counter(
            "spaces_bus_connects_total", "Connections made, reconnects included"
        )
        self.errors = metrics.counter(
            "spaces_bus_errors_total", "Errors of the bus connection, dropped messages included"
        )
        self.refused = metrics.counter(
            "spaces_bus_refused_total",
            "Publications and subscriptions that this process's NATS user has no right to",
            ["operation"],
        )
        self.request_seconds = metrics.histogram(
            "spaces_bus_request_seconds", "Time until a request was answered or failed"
        )
        self.received = metrics.counter("spaces_bus_received_total", "Messages received", ["route"])
        self.expired = metrics.counter(
            "spaces_bus_expired_total", "Messages dropped because nobody waits any more", ["route"]
        )
        self.failures = metrics.counter(
            "spaces_bus_handler_failures_total", "Handlers that failed", ["route"]
        )
