"""Files as Prometheus sees them."""

from spaces_chassis.metrics import Metrics
from spaces_contracts.files import InputKind


class FileMeters:
    """Counts what comes in and goes out."""

    def __init__(self, metrics: Metrics) -> None:
        stored = metrics.counter("spaces_files_stored_total", "Files stored whole", ["kind"])
        self.stored = {kind: stored.labels(kind) for kind in InputKind}
        self.received_bytes = metrics.counter(
            "spaces_file_received_bytes_total", "Bytes of files that came in, refused ones too"
        )
        self.sent_bytes = metrics.counter("spaces_file_sent_bytes_total", "Bytes of files sent")
