"""Starts the load generator as a process of its own."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from tests.bench.load.figures import Figures
from tests.bench.load.flow import Load

_ROOT = Path(__file__).parents[3]


class LoadFailed(Exception):
    """The generator ended without figures; its last words are the message."""


def run_load(
    load: Load,
    *,
    measuring: Callable[[], object] = lambda: None,
    measured: Callable[[], object] = lambda: None,
) -> Figures:
    """Runs it to the end; the two functions are called when the measured phase begins and ends. Raises LoadFailed."""
    with start_load(load) as process:
        assert process.stdout is not None
        for line in process.stdout:
            fact = json.loads(line)
            if fact["phase"] == "measuring":
                measuring()
            elif fact["phase"] == "measured":
                measured()
            else:
                return Figures.from_json(fact["figures"])
        process.wait()
        words = process.stderr.read()[-2000:] if process.stderr else ""
        raise LoadFailed(f"the load generator ended with {process.returncode}: {words}")


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
