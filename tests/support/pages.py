"""The pages that are made from code: `python -m tests.support.pages write|verify`."""

import difflib
import subprocess
import sys
import tempfile
from pathlib import Path

from spaces_chassis.settings import Settings
from spaces_contracts.nats_permissions import permissions_conf
from spaces_gateway.settings import GatewaySettings
from spaces_registry.settings import RegistrySettings
from spaces_scheduler.settings import SchedulerSettings
from tests.support.schema_pages import schema_pages

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
NATS_PERMISSIONS = ROOT / "deploy" / "nats" / "permissions.conf"
SERVICES: tuple[type[Settings], ...] = (GatewaySettings, RegistrySettings, SchedulerSettings)
SETTINGS_INTRO = """<!-- made by `make generate` from the services' settings.py; do not edit -->

# Settings

Settings come from the environment, once, at start. A service reads its own variable, else the shared one that is
named beside it. Either name with `_FILE` behind it names a file that holds the value: for secrets. A variable that
begins like a service's own and is not in its table stops the service with an error that names the nearest one.
"""


def main() -> int:
    """Writes the pages, or tells which ones are stale (exit code 1)."""
    if sys.argv[1:] == ["write"]:
        write_pages(DOCS)
        NATS_PERMISSIONS.write_text(permissions_conf(), encoding="utf-8")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        write_pages(Path(folder))
        made = [page for page in sorted(Path(folder).rglob("*")) if page.is_file()]
        stale = [page.name for page in made if differs(page, DOCS / page.relative_to(folder))]
        permissions = Path(folder) / NATS_PERMISSIONS.name
        permissions.write_text(permissions_conf(), encoding="utf-8")
        if differs(permissions, NATS_PERMISSIONS):
            stale.append(permissions.name)
    if stale:
        print(f"stale: {', '.join(stale)}; run make generate", file=sys.stderr)
    return 1 if stale else 0


def write_pages(folder: Path) -> None:
    """Every page, into a folder."""
    subprocess.run([sys.executable, "-m", "spaces_contracts", str(folder)], check=True)
    openapi = folder / "openapi.json"
    subprocess.run([sys.executable, "-m", "spaces_gateway.openapi", str(openapi)], check=True)
    (folder / "settings.md").write_text(settings_page(), encoding="utf-8")
    (folder / "schema").mkdir(exist_ok=True)
    for name, page in schema_pages().items():
        (folder / "schema" / name).write_text(page, encoding="utf-8")


def settings_page() -> str:
    """One table a service."""
    return SETTINGS_INTRO + "".join(settings_table(settings) for settings in SERVICES)


def settings_table(settings: type[Settings]) -> str:
    """The variables of one service."""
    rows = [
        f"| `{one.name}` | `{one.shared}` | {one.type} | {one.default} | {one.help} |"
        for one in sorted(settings.variables(), key=lambda variable: variable.name)
    ]
    head = [
        "",
        f"## {settings.service}",
        "",
        "| variable | shared | type | default | what |",
        "|---|---|---|---|---|",
    ]
    return "\n".join([*head, *(row.replace(" |  | ", " | | ") for row in rows), ""])


def differs(made: Path, kept: Path) -> bool:
    """Whether a page is not what the code says; prints the first lines that differ."""
    new = made.read_text(encoding="utf-8")
    old = kept.read_text(encoding="utf-8") if kept.exists() else ""
    if new != old:
        lines = difflib.unified_diff(
            old.splitlines(), new.splitlines(), str(kept.name), "from code", lineterm=""
        )
        print("\n".join(list(lines)[:20]))
    return new != old


if __name__ == "__main__":
    sys.exit(main())
