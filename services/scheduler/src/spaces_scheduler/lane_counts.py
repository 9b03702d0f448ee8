"""The counters of a lane as a call left them."""

from typing import NamedTuple

import asyncpg


class LaneCount(NamedTuple):
    """How many requests of a space wait and run."""

    space_id: str
    queued: int
    running: int


def lane_count(row: asyncpg.Record) -> LaneCount:
    """From a row that names its lane's counters."""
    return LaneCount(row["space_id"], row["queue_size"], row["running"])
