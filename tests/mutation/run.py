"""Mutation testing of the pure modules: `make mutants`. Fails when fewer than 80 % of mutants are killed.

cosmic-ray changes one thing at a time in a copy of the sources; the module's unit tests must notice.
A session that was stopped goes on where it was, unless its module was changed since; `--fresh`
starts all of them over.
"""

import argparse
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
WORK = ROOT / "build/mutants"
TARGET = 0.8

# Each pure module and the tests that must notice a change in it.
PURE = {
    "libs/contracts/src/spaces_contracts/subject.py": "tests/unit/contracts",
    "libs/contracts/src/spaces_contracts/message.py": "tests/unit/contracts",
    "libs/chassis/src/spaces_chassis/batcher.py": "tests/unit/chassis/test_batcher.py",
    "services/registry/src/spaces_registry/leases.py": "tests/unit/registry/test_leases.py",
    "services/registry/src/spaces_registry/naming.py": "tests/unit/registry/test_naming.py",
    "services/registry/src/spaces_registry/seats.py": "tests/unit/registry/test_seats.py",
    "services/scheduler/src/spaces_scheduler/request_states.py": "tests/unit/scheduler",
    "services/gateway/src/spaces_gateway/sockets/worker_session.py": (
        "tests/unit/gateway_sockets/test_worker_session.py"
        " tests/unit/gateway_sockets/test_worker_chunks.py"
    ),
    "services/gateway/src/spaces_gateway/sockets/client_session.py": (
        "tests/unit/gateway_sockets/test_client_session.py"
    ),
    "services/gateway/src/spaces_gateway/sockets/stream_merge.py": "tests/unit/gateway_sockets/test_stream_merge.py",
    "services/gateway/src/spaces_gateway/sockets/chunk_window.py": "tests/unit/gateway_sockets/test_chunk_window.py",
    "services/gateway/src/spaces_gateway/files/signing.py": "tests/unit/gateway/test_signing.py",
    "services/worker-agent/src/spaces_worker_agent/session.py": (
        "tests/unit/worker_agent/test_session_times.py tests/unit/worker_agent/test_session.py"
    ),
    "services/worker-agent/src/spaces_worker_agent/window.py": "tests/unit/worker_agent/test_window.py",
    "services/worker-agent/src/spaces_worker_agent/finished.py": "tests/unit/worker_agent/test_finished.py",
    "libs/client/src/spaces_client/resume.py": "tests/unit/client/test_resume.py",
    "libs/client/src/spaces_client/retry.py": "tests/unit/client/test_retry.py",
    "tests/faults/checker.py": "tests/faults/test_checker.py",
}

# `A | None` in an annotation is no behaviour, and its mutants cannot be told apart.
NO_BEHAVIOUR = ["core/ReplaceBinaryOperator_BitOr_.*"]


def main() -> int:
    """Runs the session of each module and prints the share of killed mutants."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fresh", action="store_true", help="forget earlier sessions")
    parser.add_argument("--sample", type=int, help="at most so many mutants a module, by chance")
    parser.add_argument("modules", nargs="*", help="parts of module paths; default: all")
    arguments = parser.parse_args()
    if arguments.fresh:
        shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True, exist_ok=True)
    chosen = [
        module
        for module in PURE
        if not arguments.modules or any(part in module for part in arguments.modules)
    ]
    results = {module: _session(module, PURE[module], arguments.sample) for module in chosen}
    killed, total = (sum(column) for column in zip(*results.values(), strict=True))
    for module, (dead, all_) in results.items():
        print(f"{dead / max(all_, 1):6.1%}  {dead:4}/{all_:<4}  {module}")
    print(f"{killed / max(total, 1):6.1%}  {killed:4}/{total:<4}  in all; at least {TARGET:.0%}")
    return 0 if killed >= TARGET * total else 1


def _session(module: str, tests: str, sample: int | None) -> tuple[int, int]:
    """(killed, all) mutants of one module."""
    name = module.replace("/", "_").removesuffix(".py")
    copy, session, config = WORK / name, WORK / f"{name}.sqlite", WORK / f"{name}.toml"
    original = WORK / f"{name}.original"
    current = (ROOT / module).read_bytes()
    if not session.exists() or not original.exists() or original.read_bytes() != current:
        session.unlink(missing_ok=True)
        shutil.rmtree(copy, ignore_errors=True)
        for part in ("libs", "services", "deploy/stack", "tests"):
            ignored = shutil.ignore_patterns("node_modules", "__pycache__")
            shutil.copytree(ROOT / part, copy / part, ignore=ignored)
        shutil.copy(ROOT / "pyproject.toml", copy)
        config.write_text(_config(module, tests), encoding="utf-8")
        _run(copy, "init", str(config), str(session))
        subprocess.run(
            [_tool("cr-filter-operators"), str(session), str(config)], cwd=copy, check=True
        )
        if sample is not None:
            _keep(session, sample)
        original.write_bytes(current)
    # Whoever stopped the last run may have left a mutant behind.
    (copy / module).write_bytes(current)
    _run(copy, "exec", str(config), str(session))
    with sqlite3.connect(session) as database:
        outcomes = [row[0] for row in database.execute("SELECT test_outcome FROM work_results")]
    judged = [str(outcome) for outcome in outcomes if outcome]
    killed = sum("KILLED" in outcome or "INCOMPETENT" in outcome for outcome in judged)
    return killed, len(judged)


def _keep(session: Path, sample: int) -> None:
    """Leaves so many of the mutants that are still to be tried, the same ones each time."""
    with sqlite3.connect(session) as database:
        query = (
            "SELECT job_id FROM work_items "
            "WHERE job_id NOT IN (SELECT job_id FROM work_results) ORDER BY rowid"
        )
        jobs = [row[0] for row in database.execute(query)]
        dropped = set(jobs) - set(random.Random(sample).sample(jobs, min(sample, len(jobs))))
        for table in ("mutation_specs", "work_items"):
            database.executemany(
                f"DELETE FROM {table} WHERE job_id = ?", [(job,) for job in dropped]
            )


def _config(module: str, tests: str) -> str:
    plugins = "-p pytest_asyncio.plugin -p pytest_timeout"
    command = f"{sys.executable} -m pytest -x -q -p no:cacheprovider {plugins} {tests}"
    return (
        f"[cosmic-ray]\nmodule-path = {json.dumps(module)}\ntimeout = 20.0\n"
        f"excluded-modules = []\ntest-command = {json.dumps(command)}\n"
        '[cosmic-ray.distributor]\nname = "local"\n'
        f"[cosmic-ray.filters.operators-filter]\nexclude-operators = {json.dumps(NO_BEHAVIOUR)}\n"
    )


def _run(copy: Path, *arguments: str) -> None:
    sources = [str(path) for path in (*copy.glob("*/*/src"), copy)]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(sources),
        # The other plugins are installed for other tests, and cost two thirds of a short run.
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }
    subprocess.run([_tool("cosmic-ray"), *arguments], cwd=copy, env=environment, check=True)


def _tool(name: str) -> str:
    return str(Path(sys.executable).parent / name)


if __name__ == "__main__":
    sys.exit(main())
