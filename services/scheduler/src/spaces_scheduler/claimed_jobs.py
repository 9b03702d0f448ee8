"""The message to a worker's connection, from a row that tells of a claimed request."""

import asyncpg

from spaces_contracts.requests import Job, NewRequest
from spaces_scheduler.file_lists import decode_files


def claimed_job(row: asyncpg.Record) -> Job:
    """What waited: the row has all of it."""
    return Job(
        route=row["route"],
        space_id=row["space_id"],
        connection_id=row["connection_id"],
        request_id=row["request_id"],
        attempt=row["attempt"],
        payload=row["payload"].decode(),
        files=decode_files(row["files"]),
        upload_url=row["upload_url"],
        remaining_ms=row["remaining_ms"],
        queue_size=row["queue_size"],
    )


def job_of(request: NewRequest, row: asyncpg.Record) -> Job:
    """What was claimed with its submit: the row has only what the request does not know."""
    return Job(
        route=row["route"],
        space_id=request.space_id,
        connection_id=row["connection_id"],
        request_id=request.request_id,
        attempt=row["attempt"],
        payload=request.payload,
        files=request.files,
        upload_url=request.upload_url,
        remaining_ms=row["remaining_ms"],
        queue_size=row["queue_size"],
    )
