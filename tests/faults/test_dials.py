"""The preloaded shims do what their dials say, and nothing without them."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.faults.dials import Dials, no_compiler

pytestmark = pytest.mark.skipif(no_compiler() is not None, reason=str(no_compiler()))
CLOCKS = (
    "import datetime, time; print(time.time(), time.clock_gettime(time.CLOCK_REALTIME),"
    " datetime.datetime.now().timestamp(), time.monotonic())"
)
SYNC = """
import os, sys, time
file = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
began = time.monotonic()
for _ in range(4):
    os.fdatasync(file)
    os.fsync(file)
print(time.monotonic() - began)
"""


def told(code: str, environ: Mapping[str, str], *arguments: str) -> list[float]:
    """What a fresh Python under these variables prints."""
    done = subprocess.run(
        [sys.executable, "-S", "-c", code, *arguments],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=True,
    )
    return [float(word) for word in done.stdout.split()]


@pytest.mark.parametrize("step_s", [3600.0, -3600.0, 5.0, -5.25])
def test_a_step_moves_wall_clocks_and_no_steady_one(tmp_path: Path, step_s: float) -> None:
    dials = Dials(tmp_path / "shims")
    environ = dials.environ("gateway")
    dials.environ("other")
    dials.step_clock("gateway", step_s)
    *walls, steady = told(CLOCKS, environ)
    *right, before = told(CLOCKS, {})
    for wall, real in zip(walls, right, strict=True):
        assert abs(wall - real - step_s) < 2.0
    assert abs(steady - before) < 2.0
    dials.step_clock("gateway", 0.0)
    assert abs(told(CLOCKS, environ)[0] - told(CLOCKS, {})[0]) < 2.0
    assert abs(told(CLOCKS, dials.environ("other"))[0] - told(CLOCKS, {})[0]) < 2.0


def test_a_slow_disk_makes_every_sync_wait_until_it_is_healed(tmp_path: Path) -> None:
    dials = Dials(tmp_path / "shims")
    environ = dials.environ("postgres", disk=True)
    (quick,) = told(SYNC, environ, str(tmp_path / "file"))
    dials.slow_disk(0.05, 0.06, seed=7)
    (slow,) = told(SYNC, environ, str(tmp_path / "file"))
    assert slow >= 8 * 0.05
    dials.slow_disk(0.0, 0.0, seed=0)
    (again,) = told(SYNC, environ, str(tmp_path / "file"))
    assert max(quick, again) < slow
