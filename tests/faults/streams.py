"""Whether a client that resumes got each chunk once. Pure."""

from collections.abc import Sequence
from typing import Any

from tests.faults.history import Inflicted, Reading


def judge(readings: Sequence[Reading], inflicted: Inflicted) -> tuple[list[str], int]:
    """Violations in words, and how many streams came whole but not chunk by chunk.

    Chunks may be unrecoverable only after NATS lost its data or was away; the output then comes as a whole.
    """
    violations: list[str] = []
    unrecovered = 0
    for reading in readings:
        stream = _Stream(reading)
        for kind, frame in reading.frames:
            stream.take(kind, frame)
        if not stream.finished:
            stream.wrong.append("the reader was never told of the end")
        unrecovered += stream.unrecovered
        violations += [f"stream {reading.request_id}: {wrong}" for wrong in stream.wrong]
    if unrecovered and not inflicted.stream_losses:
        violations.append(f"{unrecovered} streams were not recovered though NATS lost nothing")
    return violations, unrecovered


class _Stream:
    """Replays what one reader was told."""

    def __init__(self, reading: Reading) -> None:
        self._expected = [f"{n} " for n in range(1, reading.chunks + 1)]
        self._attempt = 0
        self._chunks: list[Any] = []
        self.finished = False
        self.unrecovered = False
        self.wrong: list[str] = []

    def take(self, kind: str, frame: dict[str, Any]) -> None:
        """The next frame."""
        if self.finished:
            self.wrong.append(f"{kind} after the end")
        elif kind == "reset":
            self._reset(frame["attempt"])
        elif kind == "chunk":
            self._chunk(frame)
        elif kind == "finished":
            self._finish(frame)

    def _reset(self, attempt: int) -> None:
        if attempt < self._attempt:
            self.wrong.append(f"reset from attempt {self._attempt} back to {attempt}")
        self._attempt, self._chunks = attempt, []

    def _chunk(self, frame: dict[str, Any]) -> None:
        attempt, n, data = frame["attempt"], frame["n"], frame["data"]
        if self._attempt == 0:
            self._attempt = attempt
        if attempt != self._attempt:
            self.wrong.append(f"a chunk of attempt {attempt} in attempt {self._attempt}")
            return
        if n != len(self._chunks) + 1:
            kind = "doubled" if n <= len(self._chunks) else "missing"
            self.wrong.append(f"chunk {n} came after {len(self._chunks)} chunks: {kind}")
            return
        self._chunks += data

    def _finish(self, frame: dict[str, Any]) -> None:
        self.finished = True
        if frame["state"] != "succeeded":
            return  # judged as a request; a part of a stream is all that there was
        self.unrecovered = not frame["recovered"]
        if self.unrecovered:
            if _text(frame["output"]) != "".join(self._expected):
                self.wrong.append(
                    f"not recovered, and the output is not whole: {frame['output']!r}"
                )
        elif self._chunks != self._expected:
            self.wrong.append(f"{len(self._chunks)} chunks of {len(self._expected)} at the end")


def _text(output: Any) -> str:
    if isinstance(output, dict):  # how the API tells the text of a stream
        output = output.get("text")
    return "".join(str(part) for part in output) if isinstance(output, list) else str(output)
