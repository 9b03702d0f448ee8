"""Who tries everything that is not allowed: `python -m tests.security [campaign ...]`.

Each campaign has a platform of its own. What they found is in build/reports/security.json; exit code 1 when anything
was wrongly allowed or refused, or went wrong.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from tests.security import (
    flood,
    frames,
    matrix,
    matrix_commands,
    nats_subjects,
    origins,
    revocation,
    schema,
    ssrf,
    uploads,
)
from tests.security.attacks import campaign as attacks
from tests.security.campaign import Campaign
from tests.support.platform import running_platform

REPORT = Path("build/reports/security.json")
# Calls an operation and caller, on top of those that schemathesis derives from the document: 20,000 in all.
SCHEMA_EXAMPLES = 60


def _attacks() -> Campaign:
    with running_platform() as platform:
        return asyncio.run(attacks.run(platform))


def _matrix() -> Campaign:
    with running_platform() as platform:
        return asyncio.run(matrix.run(platform.gateway_url, platform.admin_key))


def _matrix_commands() -> Campaign:
    with running_platform() as platform:
        return asyncio.run(matrix_commands.run(platform))


def _flood() -> Campaign:
    with running_platform() as platform:
        return flood.run(platform)


def _revocation() -> Campaign:
    with running_platform() as platform:
        return asyncio.run(revocation.run(platform))


def _schema() -> Campaign:
    with running_platform() as platform, tempfile.TemporaryDirectory() as folder:
        campaign = schema.run(
            platform.gateway_url, platform.admin_key, Path(folder), examples=SCHEMA_EXAMPLES
        )
        return asyncio.run(campaign)


def _origins() -> Campaign:
    with running_platform(environ_of={"gateway": origins.ENVIRON}) as platform:
        return asyncio.run(origins.run(platform.gateway_url))


def _uploads() -> Campaign:
    with running_platform(environ_of={"gateway": uploads.ENVIRON}) as platform:
        return asyncio.run(uploads.run(platform))


CAMPAIGNS: dict[str, Callable[[], Campaign]] = {
    "attacks": _attacks,
    "flood": _flood,
    "frames": frames.run,
    "matrix": _matrix,
    "matrix_commands": _matrix_commands,
    "nats_subjects": nats_subjects.run,
    "origins": _origins,
    "revocation": _revocation,
    "schema": _schema,
    "ssrf": lambda: asyncio.run(ssrf.run()),
    "uploads": _uploads,
}


def main() -> int:
    """All campaigns, or those that are named; each is kept as soon as it is over."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("campaigns", nargs="*", choices=[*CAMPAIGNS, []], default=[])
    names = parser.parse_args().campaigns or list(CAMPAIGNS)
    found: list[Campaign] = []
    for name in names:
        began = time.monotonic()
        found.append(CAMPAIGNS[name]())
        _show(found[-1], time.monotonic() - began)
        _keep(found[-1])
    return (
        1 if any(one.wrongly_allowed or one.wrongly_refused or one.errors for one in found) else 0
    )


def _keep(found: Campaign) -> None:
    """The report keeps what other campaigns found before."""
    before = json.loads(REPORT.read_text(encoding="utf-8")) if REPORT.exists() else []
    kept = {one["campaign"]: one for one in before} | {found.campaign: asdict(found)}
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps([kept[name] for name in sorted(kept)], indent=1), encoding="utf-8")


def _show(found: Campaign, seconds: float) -> None:
    print(
        f"{found.campaign}: {found.attempts} attempts in {seconds:.0f} s; "
        f"{len(found.wrongly_allowed)} wrongly allowed, {len(found.wrongly_refused)} wrongly refused, "
        f"{len(found.errors)} errors",
        flush=True,
    )
    for what in (*found.wrongly_allowed, *found.wrongly_refused, *found.errors):
        print(f"  {what}")


if __name__ == "__main__":
    sys.exit(main())
