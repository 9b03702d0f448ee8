"""What follows a COMMIT: jobs to workers, ends to watchers, queues to those who look at a space."""

from dataclasses import dataclass

from spaces_scheduler.change_feed import ChangeFeed
from spaces_scheduler.end_publisher import EndPublisher
from spaces_scheduler.job_sender import JobSender
from spaces_scheduler.queue_events import QueueEvents


@dataclass(frozen=True)
class Outgoing:
    """None of them raises or waits: all that they send may be lost."""

    sender: JobSender
    ends: EndPublisher
    queues: QueueEvents
    changes: ChangeFeed
