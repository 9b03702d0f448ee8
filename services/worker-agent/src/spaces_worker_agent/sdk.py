"""What a handler gets and gives. Standard library only: it is imported by every handler process."""

import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol


class Cancelled(Exception):
    """The request was cancelled or its time is over; raised by `Request.check_cancelled()`."""


class FileUnavailable(OSError):
    """An input file could not be fetched, or its content is not what was announced."""


class Channel(Protocol):
    """How a request reaches the agent; tests of handlers need none."""

    def progress(self, percent: float | None, message: str | None) -> None:
        """Tells how far the request is."""
        ...

    def fetch(self, index: int) -> Path:
        """Brings one input file. Raises FileUnavailable, or Cancelled when the request ends first."""
        ...

    def work_dir(self) -> Path:
        """A directory that lives as long as the request."""
        ...


class StopFlag:
    """A threading.Event that is only made when somebody waits: most requests are never cancelled."""

    _making = threading.Lock()

    def __init__(self) -> None:
        self._set = False
        self._event: threading.Event | None = None

    def set(self) -> None:
        """From any thread."""
        self._set = True
        with self._making:
            if self._event is not None:
                self._event.set()

    def is_set(self) -> bool:
        """Whether it was set."""
        return self._set

    def wait(self, timeout_s: float) -> bool:
        """Waits at most that long; whether it is set then."""
        with self._making:
            if self._event is None:
                self._event = threading.Event()
            if self._set:
                self._event.set()
        return self._event.wait(timeout_s)


class File:
    """One input file; its content is fetched on the first use of `path`, for async handlers before they start."""

    def __init__(self, facts: Mapping[str, Any], index: int, channel: Channel | None) -> None:
        self.name: str = str(facts.get("name", ""))
        self.kind: str = str(facts.get("kind", "file"))
        self.media_type: str = str(facts.get("media_type", "application/octet-stream"))
        self.size_bytes: int = int(facts.get("size_bytes", 0))
        self.sha256: str = str(facts.get("sha256", ""))
        self._index = index
        self._channel = channel
        local = facts.get("path")
        self._path: Path | None = Path(local) if local else None

    @property
    def path(self) -> Path:
        """Where the content is, verified by its SHA-256; gone when the request has ended."""
        if self._path is None:
            if self._channel is None:
                raise FileUnavailable(f"{self.name}: this request has no agent to fetch from")
            self._path = self._channel.fetch(self._index)
        return self._path

    def __repr__(self) -> str:
        return f"File({self.name!r}, {self.media_type}, {self.size_bytes} bytes)"


class OutputFile:
    """A file to give back: return it alone, in a list, or under the key "files" of a dict."""

    def __init__(
        self, path: str | Path, name: str | None = None, media_type: str | None = None
    ) -> None:
        self.path = Path(path)
        self.name = name or self.path.name
        self.media_type = media_type

    def __repr__(self) -> str:
        return f"OutputFile({str(self.path)!r})"


class Request:
    """One attempt at a request. A test of a handler makes one with `Request(payload={"prompt": "…"})`."""

    def __init__(
        self,
        payload: Mapping[str, Any] | None = None,
        *,
        facts: Mapping[str, Any] | None = None,
        files: Sequence[Mapping[str, Any]] = (),
        channel: Channel | None = None,
        stop: StopFlag | None = None,
    ) -> None:
        known = facts or {}
        self.payload: dict[str, Any] = dict(payload or {})
        self.request_id: str = str(known.get("request_id", ""))
        self.attempt: int = int(known.get("attempt", 1))
        self.space: str = str(known.get("space", ""))
        self.queue_size: int = int(known.get("queue_size", 0))
        self.files: list[File] = [File(file, n, channel) for n, file in enumerate(files)]
        self._ends_at = time.monotonic() + float(known.get("remaining_s", 3600.0))
        self._channel = channel
        self._stop = stop or StopFlag()

    @property
    def prompt(self) -> str | None:
        """The text that was sent, if any."""
        prompt = self.payload.get("prompt")
        return prompt if isinstance(prompt, str) else None

    @property
    def parameters(self) -> dict[str, Any]:
        """What the client asked for besides the prompt; empty when nothing."""
        parameters = self.payload.get("parameters")
        return parameters if isinstance(parameters, dict) else {}

    @property
    def cancelled(self) -> bool:
        """Whether the handler should stop: cancelled, or out of time. Ignoring it gets the process killed."""
        return self._stop.is_set()

    @property
    def remaining_s(self) -> float:
        """Seconds until the deadline, never below 0."""
        return max(0.0, self._ends_at - time.monotonic())

    @property
    def work_dir(self) -> Path:
        """A directory for output files; removed when the request has ended."""
        if self._channel is None:
            raise OSError("this request has no agent and so no directory of its own")
        return self._channel.work_dir()

    def check_cancelled(self) -> None:
        """Raises Cancelled when the handler should stop."""
        if self.cancelled:
            raise Cancelled("the request was cancelled")

    def wait_cancelled(self, timeout_s: float) -> bool:
        """Waits at most that long; True as soon as the request is cancelled."""
        return self._stop.wait(timeout_s)

    def progress(self, percent: float | None, message: str | None = None) -> None:
        """Tells the client how far this is (0 to 100) and what happens now. Cheap: call it often."""
        if self._channel is not None:
            self._channel.progress(percent, message)
