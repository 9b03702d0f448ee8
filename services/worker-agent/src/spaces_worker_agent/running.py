"""One request inside a handler process, as both kinds of handler processes have it."""

import json
import math
from pathlib import Path
from typing import Any

from spaces_worker_agent.pipe import REMAINING
from spaces_worker_agent.sdk import Channel, Request, StopFlag
from spaces_worker_agent.window import Window


class Running:
    """What is known of a request beside what its handler sees; subclasses are its channel to the agent."""

    def __init__(self, number: int, body: bytes, root: Path, channel: Channel) -> None:
        (remaining_s,) = REMAINING.unpack_from(body)
        job: dict[str, Any] = json.loads(body[REMAINING.size :])
        job["remaining_s"] = remaining_s
        self.number = number
        self.stop = StopFlag()
        self.window = Window()
        self.made_dir = False
        self._root = root
        self._name = f"{job['request_id']}-{job['attempt']}"
        self.request = Request(
            job.get("payload"),
            facts=job,
            files=job.get("files", ()),
            channel=channel,
            stop=self.stop,
        )

    def work_dir(self) -> Path:
        """A directory that lives as long as the request."""
        directory = self._root / self._name
        directory.mkdir(parents=True, exist_ok=True)
        self.made_dir = True
        return directory


def bounded_progress(percent: float | None, message: str | None) -> dict[str, Any]:
    """Progress as it is told: a percentage between 0 and 100, a text of bounded length."""
    bounded: float | None = None
    if percent is not None and math.isfinite(percent):
        bounded = min(100.0, max(0.0, float(percent)))
    return {"percent": bounded, "message": None if message is None else str(message)[:500]}
