"""Collects latencies while the measured phase runs, and nothing before or after."""

import time
from array import array

from tests.bench.load.figures import Figures, Times

_LONGEST_ERROR = 300


class Recorder:
    """Flows tell it what they saw."""

    def __init__(self) -> None:
        self.measuring = False
        self._latencies = array("d")
        self._extra: dict[str, array[float]] = {}
        self._tokens = 0
        self._errors = 0
        self._first_error = ""
        self.accepted: list[tuple[str, float, float]] = []  # request id, due, heard
        self._began = self._seconds = 0.0
        self._cpu_began = self._cpu_s = 0.0

    def begin(self) -> None:
        """The measured phase begins."""
        self.measuring = True
        self._began, self._cpu_began = time.perf_counter(), time.process_time()

    def record(self, seconds: float, tokens: int = 0) -> None:
        """A request was answered, and rightly."""
        if self.measuring:
            self._latencies.append(seconds)
            self._tokens += tokens

    def note(self, name: str, seconds: float) -> None:
        """Another duration, such as the time to the first token."""
        if self.measuring:
            self._extra.setdefault(name, array("d")).append(seconds)

    def note_later(self, name: str, seconds: float) -> None:
        """A duration of the measured phase that is only known after it."""
        self._extra.setdefault(name, array("d")).append(seconds)

    def failed(self, reason: str) -> None:
        """A request was not answered, or wrongly; counts in the warm-up too."""
        self._errors += 1
        self._first_error = self._first_error or reason[:_LONGEST_ERROR]

    def end(self) -> None:
        """The measured phase is over."""
        self.measuring = False
        self._seconds = time.perf_counter() - self._began
        self._cpu_s = time.process_time() - self._cpu_began

    def figures(self) -> Figures:
        """Everything, after the end."""
        return Figures(
            seconds=self._seconds,
            times=Times.of(self._latencies),
            errors=self._errors,
            first_error=self._first_error,
            cpu_s=self._cpu_s,
            extra={name: Times.of(values) for name, values in self._extra.items()},
            tokens=self._tokens,
        )
