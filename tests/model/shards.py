"""Blocks of schedules that were run, each a file: a campaign that was stopped goes on where it was.

They lie in a folder named by the sources that they were run with, so that a change starts them over.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spaces_scheduler.request_states import EDGES
from tests.model.schedules import run, shrink
from tests.model.upkeep import WholeQueue
from tests.model.world import MakeQueue
from tests.support.servers import running_postgres

ROOT = Path(__file__).parents[2]
FOLDER = Path("build/model")
# What decides: the model's own modules, and those of the product that it is made of.
SOURCES = (
    "tests/model/*.py",
    "services/scheduler/src/spaces_scheduler/migrations/*.sql",
    "services/scheduler/src/spaces_scheduler/request_states.py",
    "services/scheduler/src/spaces_scheduler/rounds.py",
    "services/scheduler/src/spaces_scheduler/clock_steps.py",
    "services/registry/src/spaces_registry/leases.py",
    "services/registry/src/spaces_registry/seats.py",
    "services/worker-agent/src/spaces_worker_agent/session.py",
    "services/worker-agent/src/spaces_worker_agent/finished.py",
)
NO_SOURCE = ("test_", "bugs", "__main__", "shards")
BLOCK = {"pure": 2000, "sql": 250}
MOST_BROKEN = 20  # in one block; then it ends


@dataclass
class Shard:
    """What one block of seeds came to."""

    kind: str
    first: int
    schedules: int = 0
    steps: int = 0
    calls: int = 0  # of the real database
    edges: Counter[str] = field(default_factory=Counter)
    violations: list[dict[str, Any]] = field(default_factory=list)

    def add(self, seed: int, make_queue: MakeQueue) -> None:
        """Runs one schedule; a failing one is made small and told at once."""
        history = run(seed, make_queue=make_queue)
        self.schedules += 1
        self.steps += history.steps
        for (source, target, mover), count in history.edges.items():
            self.edges[edge_name(source, target, mover)] += count
        if history.broken is not None:
            trace = smallest(seed, make_queue)
            self.violations.append({"seed": seed, "broken": history.broken, "trace": trace})
            print(f"seed {seed}: {history.broken}\n" + "\n".join(trace), flush=True)


def edge_name(source: str | None, target: str, mover: str) -> str:
    """One arrow in words."""
    return f"{source or '-'} > {target} by {mover}"


def smallest(seed: int, make_queue: MakeQueue) -> list[str]:
    """The trace of as few steps as fail."""
    steps = shrink(seed, make_queue=make_queue)
    history = run(seed, steps, make_queue=make_queue, tracing=True)
    return [*history.trace, f"broken: {history.broken}"]


def folder() -> Path:
    """Where shards of the present sources lie."""
    digest = hashlib.sha256()
    for path in sorted(path for pattern in SOURCES for path in ROOT.glob(pattern)):
        if not path.name.startswith(NO_SOURCE):
            digest.update(path.read_bytes())
    return FOLDER / digest.hexdigest()[:12]


def blocks(kind: str, seed: int, schedules: int) -> Iterator[tuple[int, int]]:
    """First seed and length of each block."""
    for start in range(0, schedules, BLOCK[kind]):
        yield seed + start, min(BLOCK[kind], schedules - start)


def run_block(kind: str, first: int, count: int, make_queue: MakeQueue, path: Path) -> None:
    """Runs one block and writes it."""
    shard = Shard(kind, first)
    for seed in range(first, first + count):
        shard.add(seed, make_queue)
        if len(shard.violations) >= MOST_BROKEN:
            break
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(vars(shard)), encoding="utf-8")
    print(
        f"{kind} {first}..{first + shard.schedules - 1}: {shard.steps} steps, "
        f"{len(shard.violations)} violations",
        flush=True,
    )


@contextmanager
def queues(kind: str) -> Iterator[MakeQueue]:
    """What a kind of schedules runs on."""
    if kind == "pure":
        yield WholeQueue
        return
    from tests.model.sql_queue import Database, SqlQueue

    with running_postgres() as server:
        database = Database(server.role_url("spaces_migrator", server.clone()))
        try:
            yield lambda clock: SqlQueue(database, clock)
        finally:
            database.close()


def total(paths: list[Path]) -> dict[str, Any]:
    """All shards together, as the report has them."""
    shards = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    edges: Counter[str] = Counter()
    for shard in shards:
        edges.update(shard["edges"])
    known = [edge_name(edge.source, edge.target, edge.by) for edge in EDGES]

    def count(kind: str) -> int:
        return sum(shard["schedules"] for shard in shards if shard["kind"] == kind)

    return {
        "schedules": count("pure") + count("sql"),
        "pure": count("pure"),
        "sql": count("sql"),
        "steps": sum(shard["steps"] for shard in shards),
        "transitions_covered": sum(edges[name] > 0 for name in known),
        "transitions": {name: edges[name] for name in known},
        "violations": [one for shard in shards for one in shard["violations"]],
    }
