"""The lines of the spool's journal: one record a line, each with its checksum. Pure.

`result` is a result that nobody has confirmed; `settled` and `cancelled` say that an attempt is over.
"""

import json
import zlib
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter

from spaces_contracts.files import FileRef
from spaces_contracts.problems import Problem
from spaces_worker_agent.attempts import Key, Result
from spaces_worker_agent.finished import Why

_FILES: TypeAdapter[tuple[FileRef, ...]] = TypeAdapter(tuple[FileRef, ...])


@dataclass
class Journal:
    """What a journal says, once read."""

    results: dict[Key, Result] = field(default_factory=dict)
    over: dict[Key, tuple[float, Why]] = field(default_factory=dict)
    bad_lines: int = 0


def result_line(result: Result) -> bytes:
    """The record of a result."""
    output = result.output_json
    files = [file.model_dump(mode="json") for file in result.output_files]
    error = None if result.error is None else result.error.model_dump(mode="json")
    return _line(
        f'{{"kind":"result","request_id":"{result.key.request_id}","attempt":{result.key.attempt},'
        f'"space_id":"{result.space_id}","status":"{result.status}",'
        f'"timestamp":"{result.timestamp.isoformat()}",'
        f'"output_json":{"null" if output is None else json.dumps(output)},'
        f'"output_files":{json.dumps(files) if files else "[]"},'
        f'"error":{"null" if error is None else json.dumps(error)},"last_n":{result.last_n},'
        f'"processing_time_seconds":{result.processing_time_seconds!r}}}'
    )


def over_line(key: Key, at: float, why: Why) -> bytes:
    """The record of an attempt that is over; `at` is seconds since 1970."""
    return _line(
        f'{{"kind":"{why}","request_id":"{key.request_id}","attempt":{key.attempt},"at":{at!r}}}'
    )


def read_journal(content: bytes) -> Journal:
    """Everything that can be read. A damaged line is counted and left out."""
    journal = Journal()
    for line in content.split(b"\n"):
        if line:
            try:
                _read_line(line, journal)
            except (ValueError, KeyError, TypeError):
                journal.bad_lines += 1
    return journal


def _line(record: str) -> bytes:
    body = record.encode()
    return b"%08x %s\n" % (zlib.crc32(body), body)


def _read_line(line: bytes, journal: Journal) -> None:
    checksum, _, body = line.partition(b" ")
    if int(checksum, 16) != zlib.crc32(body):
        raise ValueError("checksum")
    record = json.loads(body)
    key = Key(str(record["request_id"]), int(record["attempt"]))
    kind = record["kind"]
    if kind == "result":
        journal.results[key] = _read_result(key, record)
    elif kind in ("settled", "cancelled"):
        journal.over[key] = (float(record["at"]), kind)
        if kind == "settled":
            journal.results.pop(key, None)
    else:
        raise ValueError(kind)


def _read_result(key: Key, record: dict[str, Any]) -> Result:
    error = record["error"]
    return Result(
        key=key,
        space_id=record["space_id"],
        status=record["status"],
        timestamp=datetime.fromisoformat(record["timestamp"]),
        output_json=record["output_json"],
        output_files=_FILES.validate_python(record["output_files"]),
        error=None if error is None else Problem.model_validate(error),
        last_n=int(record["last_n"]),
        processing_time_seconds=float(record["processing_time_seconds"]),
    )
