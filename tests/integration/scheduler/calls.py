"""The arrays that the batch functions take, as the stores make them."""

from typing import Any

SUBMIT = "SELECT * FROM scheduler.submit_many($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)"
FINISH = "SELECT * FROM scheduler.finish_many($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"


def submit_arguments(requests: Any) -> list[list[Any]]:
    """The arrays of submit_many."""
    return [
        [r.request_id for r in requests],
        [r.space_id for r in requests],
        [r.tenant_id for r in requests],
        [r.principal_id for r in requests],
        [r.payload.encode() for r in requests],
        [",".join(r.inputs) for r in requests],
        [None for _ in requests],
        [r.upload_url for r in requests],
        [r.priority for r in requests],
        [r.queue_timeout_s for r in requests],
        [r.run_timeout_s for r in requests],
        [r.timeout_s for r in requests],
        [r.idempotency_key for r in requests],
        [r.body_sha256 for r in requests],
        [r.notify for r in requests],
    ]


def finish_arguments(results: Any) -> list[list[Any]]:
    """The arrays of finish_many."""
    columns = [list(column) for column in zip(*results, strict=True)]
    count = len(results)
    return [
        *columns,
        [b'"done"'] * count,
        [None] * count,
        [None] * count,
        [0] * count,
        [0.1] * count,
        [None] * count,
    ]
