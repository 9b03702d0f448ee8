# mypy: ignore-errors
# (runs in the peer's own venv, whose packages are not installed in ours)
"""The worker: `faststream run worker:app`. A durable consumer, acknowledged after the answer."""

import os

from faststream import FastStream
from faststream.nats import JStream, NatsBroker

broker = NatsBroker(os.environ["NATS_URL"], logger=None)  # no log line a message, as in production
stream = JStream("JOBS", subjects=["jobs.>"])
app = FastStream(broker)


@broker.subscriber("jobs.>", stream=stream, durable="workers", max_workers=int(os.environ["SLOTS"]))
async def echo(body: dict) -> dict:
    return body
