"""What `make web-test` leaves behind."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest


@dataclass
class Report:
    """Counted while tests run."""

    scenarios: dict[str, bool] = field(default_factory=dict)
    axe_serious: int | None = None
    initial_js_gzip_kib: float | None = None
    interactive_ms: float | None = None

    def count(self, report: pytest.TestReport) -> None:
        """One phase of one test; a skipped one is no scenario."""
        if report.skipped:
            return
        passed = self.scenarios.get(report.nodeid, True)
        self.scenarios[report.nodeid] = passed and report.passed

    def write(self, path: Path) -> None:
        """As one JSON object."""
        path.parent.mkdir(parents=True, exist_ok=True)
        passed = sum(self.scenarios.values())
        found = {
            "scenarios_passed": passed,
            "scenarios_failed": len(self.scenarios) - passed,
            "axe_serious": self.axe_serious,
            "initial_js_gzip_kib": self.initial_js_gzip_kib,
            "interactive_ms": self.interactive_ms,
        }
        path.write_text(json.dumps(found, indent=2) + "\n")
