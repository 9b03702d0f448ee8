"""What the registry counts."""

from spaces_chassis.metrics import Metrics
from spaces_contracts.connections import ConnectionState


class Meters:
    """The metrics of the registry, with their label children bound once."""

    def __init__(self, metrics: Metrics) -> None:
        self.attaches = metrics.counter(
            "spaces_attaches_total",
            "Attaches by outcome: attached, or the problem's code",
            ["outcome"],
        )
        self.ends = metrics.counter(
            "spaces_connections_ended_total", "Connections that ended, by reason", ["reason"]
        )
        self.leases_lost = metrics.counter(
            "spaces_leases_lost_total", "Connections that ended because their lease ran out"
        )
        self.suspicions = metrics.counter(
            "spaces_suspicions_total", "Connections that were doubted, by cause", ["cause"]
        )
        self.callouts = metrics.counter(
            "spaces_auth_callouts_total", "Direct workers that dialled, by outcome", ["outcome"]
        )
        self.quiet = metrics.counter(
            "spaces_lease_graces_total",
            "Times that leases were not trusted: outage, clock step, freeze",
        )
        self._connections = metrics.gauge(
            "spaces_connections",
            "Live connections by state; only one registry shows them",
            ["state"],
        )

    def show_connections(self, states: dict[ConnectionState, int]) -> None:
        """Shows the counts; no counts at all on a registry that does not lead."""
        self._connections.clear()
        for state, count in states.items():
            self._connections.labels(state.value).set(count)
