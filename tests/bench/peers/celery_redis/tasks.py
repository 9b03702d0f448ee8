# mypy: ignore-errors
# (runs in the peer's own venv, whose packages are not installed in ours)
"""The Celery application, used by the worker and by the web process."""

import os

from celery import Celery

app = Celery("bench", broker=os.environ["REDIS_URL"], backend=os.environ["REDIS_URL"])
app.conf.update(
    task_acks_late=True,  # a killed worker loses nothing: what the others here do too
    result_expires=3600,
    broker_pool_limit=64,
    broker_connection_retry_on_startup=True,
)


@app.task
def echo(body):
    return body
