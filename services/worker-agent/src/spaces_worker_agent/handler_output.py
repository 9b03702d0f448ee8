"""What a handler gave, as the bytes that go to the agent. Imported by every handler process."""

import asyncio
import json
import traceback
from json.encoder import JSONEncoder
from typing import Any

from spaces_worker_agent.handler_target import TargetError
from spaces_worker_agent.sdk import Cancelled, OutputFile

# A frame of the worker socket holds 1 MiB; 8 KiB are left for what surrounds the output.
MAX_OUTPUT_BYTES = 1_048_576 - 8_192
# Brokers carry it as a JSON string, in which quotes and backslashes take two bytes: a message there has 2 MiB, a stored
# chunk half of that.
MAX_QUOTED_BYTES = 2 * 1_048_576 - 65_536

_encode = JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


class OutputTooLarge(Exception):
    """What the handler gave does not fit into a frame."""


class NotJson(Exception):
    """What the handler gave cannot be written as JSON."""


def to_json(value: Any, *, quoted_limit: int = MAX_QUOTED_BYTES) -> bytes:
    """JSON as bytes, on one line. Raises NotJson or OutputTooLarge."""
    try:
        body = _encode(value).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise NotJson(f"The handler's output is not JSON: {error}") from None
    size = len(body)
    if 2 * size <= quoted_limit:
        return body
    quoted = size + body.count(b'"') + body.count(b"\\")
    if quoted > quoted_limit or size > MAX_OUTPUT_BYTES:
        raise OutputTooLarge(
            f"The output has {size} bytes and may have {MAX_OUTPUT_BYTES}; "
            "return large content as an OutputFile."
        )
    return body


class Collected:
    """The chunks of a stream, and the final output made of them."""

    def __init__(self) -> None:
        self._kept: list[Any] = []
        self._kept_bytes = 0

    def add(self, chunk: Any) -> bytes:
        """Keeps one chunk for the final output; its JSON. Raises NotJson or OutputTooLarge."""
        if isinstance(chunk, OutputFile):
            raise NotJson("An OutputFile is returned, not yielded.")
        body = to_json(chunk, quoted_limit=MAX_OUTPUT_BYTES)
        self._kept_bytes += len(body)
        if self._kept_bytes <= 2 * MAX_OUTPUT_BYTES:  # above that the output is refused anyway
            self._kept.append(chunk)
        return body

    def output(self) -> Any:
        """`{"text": …}` when every chunk was text, else `{"chunks": […]}`."""
        if self._kept_bytes > 2 * MAX_OUTPUT_BYTES:
            raise OutputTooLarge(
                f"The chunks add up to {self._kept_bytes} bytes and the final output may have "
                f"{MAX_OUTPUT_BYTES}; return a shorter value from the generator."
            )
        if all(isinstance(chunk, str) for chunk in self._kept):
            return {"text": "".join(self._kept)}
        return {"chunks": self._kept}


def done_body(value: Any, *, work_dir: bool) -> bytes:
    """The body of DONE; `work_dir` says that the job's directory was made."""
    files: list[OutputFile] = []
    value = _take_files(value, files)
    facts = b""
    if files or work_dir:
        described = [_described(file) for file in files]
        facts = json.dumps({"files": described, "work_dir": work_dir}).encode()
    return facts + b"\n" + (b"" if value is None else to_json(value))


def failed_facts(error: BaseException, *, stopped: bool, work_dir: bool) -> dict[str, Any]:
    """The facts of FAILED. What foreign code raised goes to the log with its traceback."""
    code, text = "handler_failed", describe(error)
    if isinstance(error, Cancelled | asyncio.CancelledError):
        if stopped:
            code, text = "cancelled", ""
    elif isinstance(error, OutputTooLarge):
        code, text = "output_too_large", str(error)
    else:
        traceback.print_exception(error)
    return {"code": code, "error": text, "work_dir": work_dir}


def describe(error: BaseException) -> str:
    """Type and text of an error, on one line of bounded length."""
    text = " ".join(str(error).split())
    if isinstance(error, TargetError | NotJson):
        return text[:2000]
    name = type(error).__name__
    return f"{name}: {text}"[:2000] if text else name


def _described(file: OutputFile) -> dict[str, str | None]:
    if not file.path.is_file():
        raise FileNotFoundError(f"output file {file.name!r} does not exist")
    path = str(file.path.resolve())
    return {"path": path, "name": file.name, "media_type": file.media_type}


def _take_files(value: Any, files: list[OutputFile]) -> Any:
    """The value without its output files, which are collected."""
    if isinstance(value, OutputFile):
        files.append(value)
        return None
    if isinstance(value, list | tuple) and any(isinstance(item, OutputFile) for item in value):
        files.extend(item for item in value if isinstance(item, OutputFile))
        rest = [item for item in value if not isinstance(item, OutputFile)]
        return rest or None
    if isinstance(value, dict) and "files" in value:
        held = value["files"]
        members = list(held.values()) if isinstance(held, dict) else held
        members = members if isinstance(members, list | tuple) else [members]
        if members and all(isinstance(item, OutputFile) for item in members):
            files.extend(members)
            return {key: item for key, item in value.items() if key != "files"} or None
    return value
