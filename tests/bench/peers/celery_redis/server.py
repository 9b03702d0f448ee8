# mypy: ignore-errors
# (runs in the peer's own venv, whose packages are not installed in ours)
"""FastAPI in front of Celery: waits for the result in a thread, as Celery's own interface asks for."""

from contextlib import asynccontextmanager

import anyio.to_thread
from fastapi import Body, FastAPI
from tasks import echo


@asynccontextmanager
async def lifespan(_app):
    anyio.to_thread.current_default_thread_limiter().total_tokens = 256
    yield


app = FastAPI(lifespan=lifespan)


@app.post("/submit/{space}")
def submit(space: str, body: dict = Body()) -> dict:
    result = echo.delay(body)
    answer = {"request_id": result.id, "result": result.get(timeout=30)}
    result.forget()
    return answer


@app.get("/ready")
def ready() -> dict:
    return {"ready": True}
