"""The one JetStream stream: a replay buffer, never the only copy of anything promised."""

import hashlib
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


def event_keys(agent_secret: str) -> str:
    """What an agent's event keys begin with: on every link and connection the same, and nobody else's.

    The stream knows a repeat by its key, whatever its subject: who could guess a key could have an event dropped.
    """
    return hashlib.sha256(f"events {agent_secret}".encode()).hexdigest()[:16]


def event_key(keys: str, request_id: str, attempt: int, n: int, count: int) -> str:
    """What a chunk frame that is stored again is known by."""
    return f"{keys}:{request_id}:{attempt}:{n}:{count}"
