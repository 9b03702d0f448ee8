"""Starts a crowd as a process of its own, so that its memory and time are not the product's."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.bench.crowd.crowd import Plan

_ROOT = Path(__file__).parents[3]


class CrowdFailed(Exception):
    """The process ended; its last words are the message."""


class CrowdProcess:
    """Does one thing after the other."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def begin(self, do: str, **arguments: float) -> None:
        """Starts open, cut, brace, watch or churn."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([do, arguments]) + "\n")
        self._process.stdin.flush()

    def figures(self) -> dict[str, Any]:
        """What came of it, when it is done. Raises CrowdFailed."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise CrowdFailed(f"the crowd ended with {self._process.wait()}")
        figures: dict[str, Any] = json.loads(line)
        return figures

    def do(self, what: str, **arguments: float) -> dict[str, Any]:
        """Both."""
        self.begin(what, **arguments)
        return self.figures()


@contextmanager
def running_crowd(plan: Plan) -> Iterator[CrowdProcess]:
    """A crowd that has not come yet."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.bench.crowd"],
        cwd=_ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        process.stdin.write(json.dumps(asdict(plan)) + "\n")
        process.stdin.flush()
        try:
            yield CrowdProcess(process)
        finally:
            process.kill()
