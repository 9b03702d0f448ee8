"""A request that was given to a connection, as the database tells it, and the message made of it."""

from collections.abc import Mapping
from dataclasses import dataclass

import asyncpg

from spaces_contracts.requests import Job
from spaces_scheduler.file_lists import decode_files


@dataclass(frozen=True)
class ClaimedJob:
    """What must be sent, and where to."""

    request_id: str
    space_id: str
    attempt: int
    connection_id: str
    route: str
    payload: bytes
    files: bytes | None
    upload_url: str | None
    remaining_ms: int
    queue_size: int

    def message(self) -> Job:
        """The message to the connection."""
        return Job(
            route=self.route,
            space_id=self.space_id,
            connection_id=self.connection_id,
            request_id=self.request_id,
            attempt=self.attempt,
            payload=self.payload.decode(),
            files=decode_files(self.files),
            upload_url=self.upload_url,
            remaining_ms=self.remaining_ms,
            queue_size=self.queue_size,
        )


def claimed_job(row: asyncpg.Record, payloads: Mapping[str, bytes] | None = None) -> ClaimedJob:
    """From a row of kind `job`; a payload that the caller has did not come back from the database."""
    payload = row["payload"]
    if payload is None and payloads is not None:
        payload = payloads[row["request_id"]]
    return ClaimedJob(
        request_id=row["request_id"],
        space_id=row["space_id"],
        attempt=row["attempt"],
        connection_id=row["connection_id"],
        route=row["route"],
        payload=payload,
        files=row["files"],
        upload_url=row["upload_url"],
        remaining_ms=row["remaining_ms"],
        queue_size=row["queue_size"],
    )
