"""Starts the load generator as a process of its own."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.bench.load.figures import Figures
from tests.bench.load.flow import Load

_ROOT = Path(__file__).parents[3]


class LoadFailed(Exception):
    """The generator ended without figures; its last words are the message."""


class LoadRun:
    """A generator that runs; it tells its phases."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def until_measuring(self) -> None:
        """Returns when the measured phase begins. Raises LoadFailed."""
        self._next("measuring")

    def until_measured(self) -> None:
        """Returns when it ends. Raises LoadFailed."""
        self._next("measured")

    def figures(self) -> Figures:
        """Waits for the end. Raises LoadFailed."""
        with self._process:
            return Figures.from_json(self._next("done")["figures"])

    def _next(self, phase: str) -> dict[str, Any]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            fact: dict[str, Any] = json.loads(line)
            if fact["phase"] == phase:
                return fact
        self._process.wait()
        words = self._process.stderr.read()[-2000:] if self._process.stderr else ""
        raise LoadFailed(f"the load generator ended with {self._process.returncode}: {words}")


def run_load(
    load: Load,
    *,
    measuring: Callable[[], object] = lambda: None,
    measured: Callable[[], object] = lambda: None,
) -> Figures:
    """Runs it to the end; the two functions are called when the measured phase begins and ends. Raises LoadFailed."""
    run = begun_load(load)
    run.until_measuring()
    measuring()
    run.until_measured()
    measured()
    return run.figures()


def begun_load(load: Load) -> LoadRun:
    """Runs beside what the caller does."""
    return LoadRun(start_load(load))


def start_load(load: Load) -> "subprocess.Popen[str]":
    """The process; its standard output tells the phases, one JSON object a line."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.load"],
        cwd=_ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(asdict(load)) + "\n")
    process.stdin.flush()
    return process
