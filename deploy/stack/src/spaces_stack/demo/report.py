"""Runs the demo and reports it: a line a space on standard output, all of them in build/reports/demo.json."""

import json
from pathlib import Path

from spaces_client import SpacesError
from spaces_stack.demo.run import Demo, DemoError, Served
from spaces_stack.session import Session

REPORT = Path("build/reports/demo.json")


def run_demo(session: Session) -> None:
    """One request through each space. Raises DemoError when one is not as it should be."""
    rows: list[dict[str, str | int]] = []

    def report(served: Served) -> None:
        rows.append(served.as_row())
        print(json.dumps(served.as_row(), ensure_ascii=False), flush=True)

    demo = Demo(session.platform, session.state)
    try:
        demo.prepare()
        demo.run(report)
    except SpacesError as error:
        raise DemoError(f"the gateway said: {error}") from error
    finally:
        demo.close()
        REPORT.parent.mkdir(parents=True, exist_ok=True)
        REPORT.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n")
