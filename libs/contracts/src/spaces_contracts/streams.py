"""The one JetStream stream: a replay buffer, never the only copy of anything promised."""

from dataclasses import dataclass


@dataclass(frozen=True)
class EventStream:
    """Settings of the stream `EVT` (limits retention, file storage, direct reads allowed)."""

    name: str = "EVT"
    subjects: tuple[str, ...] = ("evt.>",)
    max_age_s: int = 15 * 60
    max_msgs_per_subject: int = 4096
    max_msg_size_bytes: int = 1_114_112  # a 1 MiB frame in its envelope
    duplicate_window_s: int = 10


EVT = EventStream()
