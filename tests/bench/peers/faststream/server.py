# mypy: ignore-errors
# (runs in the peer's own venv, whose packages are not installed in ours)
"""FastAPI in front of a FastStream worker over JetStream; the answer comes back to this process's inbox."""

import asyncio
import os
import uuid
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from faststream.nats import JStream, NatsBroker, NatsMessage

broker = NatsBroker(os.environ["NATS_URL"], logger=None)  # no log line a message, as in production
stream = JStream("JOBS", subjects=["jobs.>"])
inbox = f"answers.{uuid.uuid4().hex}"
waiting: dict[str, asyncio.Future] = {}


@broker.subscriber(inbox)
async def answered(body: dict, message: NatsMessage) -> None:
    future = waiting.pop(message.correlation_id, None)
    if future is not None and not future.done():
        future.set_result(body)


@asynccontextmanager
async def lifespan(_app):
    await broker.start()
    yield
    await broker.stop()


app = FastAPI(lifespan=lifespan)


@app.post("/submit/{space}")
async def submit(space: str, request: Request) -> dict:
    body = await request.json()
    request_id = uuid.uuid4().hex
    future = waiting[request_id] = asyncio.get_running_loop().create_future()
    await broker.publish(
        body, f"jobs.{space}", stream="JOBS", reply_to=inbox, correlation_id=request_id
    )
    async with asyncio.timeout(30):
        return {"request_id": request_id, "result": await future}


@app.get("/ready")
async def ready() -> dict:
    return {"ready": True}
