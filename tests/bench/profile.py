"""Where the time goes: `python -m tests.bench.profile`. Flame graphs of gateway, scheduler and agent under load.

py-spy samples the running processes from outside; the graphs are SVG files in build/reports.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from tests.bench.load.process import run_load
from tests.bench.product import running_product

REPORTS = Path("build/reports")
PROFILED = ("gateway", "scheduler", "echo")
_HZ = 250


def main() -> int:
    """One load; all processes are sampled meanwhile."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=int, default=10)
    arguments = parser.parse_args()
    REPORTS.mkdir(parents=True, exist_ok=True)
    with running_product() as product:
        spaces = product.add_worker("echo", slots=64)
        samplers = [_sample(name, product.processes[name], arguments.seconds) for name in PROFILED]
        load = product.load(
            "product-http",
            spaces,
            clients=arguments.clients,
            seconds=arguments.seconds + 3,
            warm_s=1.0,
        )
        run_load(load)
        failed = [name for name, sampler in samplers if sampler.wait() != 0]
    for name in PROFILED:
        print(f"{_graph(name)}{' (failed)' if name in failed else ''}")
    return 1 if failed else 0


def _sample(name: str, pid: int, seconds: int) -> "tuple[str, subprocess.Popen[bytes]]":
    command = shutil.which("py-spy", path=str(Path(sys.executable).parent)) or "py-spy"
    # Subprocesses too: the agent's handlers run in processes of their own.
    arguments = ["record", "--subprocesses", "--rate", str(_HZ), "--duration", str(seconds)]
    return name, subprocess.Popen(
        [
            command,
            *arguments,
            "--format",
            "flamegraph",
            "--output",
            str(_graph(name)),
            "--pid",
            str(pid),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _graph(name: str) -> Path:
    return REPORTS / f"profile-{'worker-agent' if name == 'echo' else name}.svg"


if __name__ == "__main__":
    sys.exit(main())
