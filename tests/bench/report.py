"""Parts that were measured, kept until they are measured again, and the report made of all of them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.bench.parts import Part
from tests.bench.plot import plot
from tests.bench.ratios import judged, ratios
from tests.bench.table import table

_BUILD = Path(__file__).parents[2] / "build"
JSON = _BUILD / "reports" / "bench.json"
SVG = _BUILD / "reports" / "bench.svg"
_PARTS = _BUILD / "bench" / "parts"
_NO_COLUMN = ("rounds", "cpu_s_per_1000_by_process", "rss_mib_by_process", "part")


def save(part: Part, rows: Sequence[dict[str, Any]], environment: dict[str, Any]) -> None:
    """Keeps a part; one that was measured before is replaced."""
    _PARTS.mkdir(parents=True, exist_ok=True)
    rows = [{**row, "part": part.name} for row in rows]
    facts = {"environment": environment, "rows": rows}
    (_PARTS / f"{part.name}.json").write_text(json.dumps(facts))


def forget(parts: Sequence[Part]) -> None:
    """Before everything is measured anew."""
    for part in parts:
        (_PARTS / f"{part.name}.json").unlink(missing_ok=True)


def write(parts: Sequence[Part]) -> dict[str, Any]:
    """Puts together what there is of these parts; prints it, ratios first; gives the report."""
    found = {}
    for part in parts:
        path = _PARTS / f"{part.name}.json"
        if path.exists():
            found[part.name] = json.loads(path.read_text())
    rows = [row for one in found.values() for row in one["rows"]]
    report: dict[str, Any] = {
        "environment": _environment(found),
        "wanted": judged(rows),
        "ratios": ratios(rows),
        "results": [
            {name: value for name, value in row.items() if name not in _NO_COLUMN} for row in rows
        ],
        "cpu_s_per_1000_by_process": _by_process(rows, "cpu_s_per_1000_by_process"),
        "rss_mib_by_process": _by_process(rows, "rss_mib_by_process"),
        "rounds": _by_process(rows, "rounds"),
    }
    JSON.parent.mkdir(parents=True, exist_ok=True)
    JSON.write_text(json.dumps(report, indent=1) + "\n")
    SVG.write_text(plot(report["results"]))
    print(table(report))
    print(f"\nwritten: {JSON.relative_to(_BUILD.parent)} and {SVG.relative_to(_BUILD.parent)}")
    return report


def _environment(found: dict[str, Any]) -> dict[str, Any]:
    """That of the last part, and when and of which commit each was."""
    if not found:
        return {}
    latest = max((one["environment"] for one in found.values()), key=lambda one: one["measured_at"])
    of_part = ("measured_at", "commit", "changed_files", "load_average_before", "idle_cpu_share")
    parts = {
        name: {key: one["environment"].get(key) for key in of_part} for name, one in found.items()
    }
    return {**latest, "parts": parts}


def _by_process(rows: Sequence[dict[str, Any]], field: str) -> list[dict[str, Any]]:
    key = ("system", "transport", "spaces", "slots", "clients")
    return [{**{name: row[name] for name in key}, field: row[field]} for row in rows]
