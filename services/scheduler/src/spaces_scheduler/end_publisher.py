"""Tells that requests ended: whoever watches the request, and the gateway that submitted it."""

import re
from collections import OrderedDict
from contextlib import suppress
from datetime import datetime

import structlog

from spaces_chassis.bus import Bus
from spaces_chassis.errors import BusUnavailable
from spaces_contracts.requests import RequestFinished
from spaces_scheduler.meters import Meters

log = structlog.get_logger(__name__)

# What the bus takes is 2 MiB; this leaves room for what surrounds the message.
MAX_BYTES = 2 * 1024 * 1024 - 4096
_SUBJECT = re.compile(r"[A-Za-z0-9_$-]+(\.[A-Za-z0-9_$-]+)*")
_REMEMBERED = 10_000


class EndPublisher:
    """Never raises: who missed an end reads it from the database."""

    def __init__(self, bus: Bus, meters: Meters) -> None:
        self._bus = bus
        self._meters = meters
        self._counted: OrderedDict[str, None] = OrderedDict()

    def publish(self, end: RequestFinished, notify: str | None) -> None:
        """The terminal event, on `fin.<space>.<request>` and to the submitter."""
        self._count(end)
        body = end.encode()
        if len(body) > MAX_BYTES:
            # The output travels as a JSON string in JSON. Without it the reader asks for the request.
            log.warning("end_without_output", request_id=end.request_id, bytes=len(body))
            body = end.model_copy(update={"output_json": None}).encode()
        with suppress(BusUnavailable):
            self._bus.publish_bytes(end.address(), body)
            if notify is not None and _SUBJECT.fullmatch(notify):
                self._bus.publish_bytes(notify, body)

    def _count(self, end: RequestFinished) -> None:
        """An end may be announced again; it is counted once, as far as this process remembers."""
        if end.request_id in self._counted:
            return
        self._counted[end.request_id] = None
        if len(self._counted) > _REMEMBERED:
            self._counted.popitem(last=False)
        self._meters.ended[end.state].inc()
        if end.started_at is not None:
            self._meters.wait_seconds.observe(_seconds(end.created_at, end.started_at))
            self._meters.run_seconds.observe(_seconds(end.started_at, end.finished_at))


def _seconds(start: datetime, end: datetime) -> float:
    return max(0.0, (end - start).total_seconds())
