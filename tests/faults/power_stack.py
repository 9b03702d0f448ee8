"""The platform with its data on a disk whose power can be cut, and with the settings that users get."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from spaces_stack.accounts import unprivileged
from spaces_stack.platform import Options, answers_ok
from spaces_stack.platform import Platform as Processes
from spaces_stack.postgres_server import POSTGRES_HOME
from spaces_stack.state_dir import StateDir
from tests.faults.power_disk import CutDisk, cut_disk
from tests.faults.rounds import POLICY
from tests.support.platform import Platform

HANDLER = Path(__file__).parents[1] / "support/handlers/echo.py"
SERVERS = ("postgres", "nats")
SERVICES = ("registry", "scheduler", "gateway")
_WORKERS = {
    "power-echo": (("power-a", "power-b", "power-c"), str(HANDLER), 8),
    "power-stream": (("power-stream",), f"{HANDLER}:count", 2),
}
_READY_WITHIN_S = 60.0
_LOOK_S = 0.02
_SHOWN_SETTINGS = (
    "server_version",
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "wal_sync_method",
)


@dataclass
class PowerStack:
    """Servers on the disk; services and workers beside it, or the workers' spools on it too."""

    platform: Platform
    disk: CutDisk
    processes: Processes
    spool_on_disk: bool
    spaces: dict[str, str]

    def cut(self, *, services_too: bool) -> None:
        """The power fails: for the servers, for the services if they stand on the same host, for agents on the disk."""
        self.disk.cut()
        for name in self._hit(services_too):
            self.platform.kill(name)
        self.disk.kill_users()

    def restore(self, *, services_too: bool) -> bool:
        """The power comes back and everything starts again. Whether the disk behaved like one."""
        true_cut = self.disk.restore()
        hit = self._hit(services_too)
        for name in hit:
            if name in _WORKERS:
                self._wait_for_services()  # those that lived through it come back to the servers by themselves
            self.platform.revive(name)
        self._wait_for_services()
        return true_cut

    def _wait_for_services(self) -> None:
        until = time.monotonic() + _READY_WITHIN_S
        for name, url in self.processes.describe().health_urls.items():
            while not answers_ok(url):
                if time.monotonic() > until:
                    raise AssertionError(f"{name} is not ready:\n{self.platform.log(name)}")
                time.sleep(_LOOK_S)

    async def setting(self, name: str) -> str:
        """A PostgreSQL setting as it is in force."""
        connection = await asyncpg.connect(self.admin_url)
        try:
            return str(await connection.fetchval("SELECT current_setting($1)", name))
        finally:
            await connection.close()

    async def checkpoint(self) -> None:
        """Asks PostgreSQL for a checkpoint, so that a cut may fall into one."""
        connection = await asyncpg.connect(self.admin_url)
        try:
            await connection.execute("CHECKPOINT")
        finally:
            await connection.close()

    async def settings(self) -> dict[str, str]:
        """What decides whether a commit is on the disk."""
        return {name: await self.setting(name) for name in _SHOWN_SETTINGS}

    @property
    def admin_url(self) -> str:
        """PostgreSQL's superuser."""
        password = (self.platform.folder / "secrets" / "postgres-admin").read_text().strip()
        port = self.processes.ports[0]
        return f"postgresql://spaces_admin:{password}@127.0.0.1:{port}/postgres"

    def _hit(self, services_too: bool) -> list[str]:
        names = [*SERVERS, *(SERVICES if services_too else ())]
        return [*names, *(_WORKERS if self.spool_on_disk else ())]


@contextmanager
def power_stack(
    *, spool_on_disk: bool, settings: Mapping[str, str] | None = None
) -> Iterator[PowerStack]:
    """A started platform with its spaces and workers; nothing of it is left at the end."""
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="spaces-power-", dir="/var/tmp"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        folder.chmod(0o711)
        disk = stack.enter_context(cut_disk(folder))
        _place(folder, disk, spool_on_disk)
        options = Options(
            state=StateDir(folder), restart=False, postgres_settings=dict(settings or {})
        )
        processes = Processes(options)
        stack.callback(processes.stop)
        processes.start()
        platform = Platform(processes, folder)
        stack.callback(platform.close)
        spaces = {
            name: platform.create_space(name, policy=POLICY | {"max_connections": 1})["space_id"]
            for names, _, _ in _WORKERS.values()
            for name in names
        }
        for worker, (names, handler, slots) in _WORKERS.items():
            platform.start_worker(worker, spaces=names, handler=handler, slots=slots)
        disk.sync()  # what was installed here is older than the power cut
        yield PowerStack(platform, disk, processes, spool_on_disk, spaces)


def _place(folder: Path, disk: CutDisk, spool_on_disk: bool) -> None:
    """Puts the servers' data onto the disk, and the agents' spools if wanted."""
    home = disk.at / "postgres"
    home.mkdir(mode=0o700)
    if account := unprivileged():
        os.chown(home, account.uid, account.gid)
    (folder / POSTGRES_HOME).write_text(f"{home}\n")
    _link(folder / "nats", disk.at / "nats")
    if spool_on_disk:
        (folder / "spool").mkdir()
        for worker in _WORKERS:
            _link(folder / "spool" / worker, disk.at / worker)


def _link(path: Path, target: Path) -> None:
    target.mkdir(mode=0o700)
    path.symlink_to(target)


def environment(settings: Mapping[str, str]) -> dict[str, Any]:
    """What the figures depend on."""
    system = os.uname()
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--exclude=*"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return {
        "commit": commit.stdout.strip(),
        "kernel": f"{system.sysname} {system.release} {system.machine}",
        "cpus": os.cpu_count(),
        "disk": "ext4 on a loop file, ended by EXT4_IOC_SHUTDOWN(NOLOGFLUSH)",
        "postgres": dict(settings),
    }
