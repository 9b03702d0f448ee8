"""A platform whose links, disks and clocks can be spoiled: proxies between all parts, small disks, preloaded shims."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from spaces_stack.accounts import unprivileged
from spaces_stack.platform import Platform as Processes
from spaces_stack.ports import LOOPBACK
from spaces_stack.postgres_server import DATABASE
from spaces_stack.state_dir import StateDir
from tests.faults.dials import Dials, no_compiler
from tests.faults.history import Inflicted
from tests.faults.network_namespace import NetworkNamespace, no_namespaces
from tests.faults.tcp_proxy import Proxy, ProxyThread
from tests.support.observed_nats import observed_nats
from tests.support.platform import Platform, running_platform

SERVICES = ("gateway", "registry", "scheduler")
# So much room have PostgreSQL and NATS on disks of their own; filling them takes a moment.
_DISK_MIB = {"postgres": 400, "nats": 128}
# PostgreSQL waits for its (memory) disk, so that a slow one can be felt; its log stays small.
_SETTINGS = {
    "fsync": "on",
    "max_wal_size": "96MB",
    "min_wal_size": "32MB",
    "checkpoint_timeout": "30s",
}


@dataclass
class Rig:
    """What faults act on."""

    platform: Platform
    proxies: ProxyThread
    dials: Dials | None
    disks: Mapping[str, Path]  # by program, where they could be mounted
    namespace: NetworkNamespace | None
    postgres_admin_url: str = ""
    missing: dict[str, str] = field(default_factory=dict)  # capability -> why it is not there
    workers: dict[str, str] = field(
        default_factory=dict
    )  # that faults may choose from: name -> space id
    inflicted: Inflicted = field(default_factory=Inflicted)

    def link(self, name: str) -> Proxy:
        """A link by name: client, gateway-nats, scheduler-postgres, a worker's name."""
        return self.proxies.proxies[name]

    def worker_link(self, worker: str, *, host: str = LOOPBACK) -> str:
        """Makes a link for a worker; the gateway's address through it."""
        return f"http://{host}:{self._to_gateway(worker, host).port}"

    def client_url(self) -> str:
        """The gateway's address for clients."""
        return f"http://{LOOPBACK}:{self.link('client').port}"

    def worker_environ(self, worker: str) -> dict[str, str]:
        """What puts a worker under its own clock."""
        return self.dials.environ(worker) if self.dials else {}

    def _to_gateway(self, name: str, host: str = LOOPBACK) -> Proxy:
        if name not in self.proxies.proxies:
            parts = urlsplit(self.platform.gateway_url)
            proxy = self.proxies.add(name, host)
            proxy.target = (parts.hostname or LOOPBACK, parts.port or 0)
        return self.link(name)


@contextmanager
def running_rig(*, disks: bool = True) -> Iterator[Rig]:
    """The rig, with everything that this machine allows; SIGTERM ends it the orderly way, too."""
    with ExitStack() as stack:
        before = signal.signal(signal.SIGTERM, _leave)
        stack.callback(signal.signal, signal.SIGTERM, before)
        build = _Build(disks=disks)
        stack.callback(build.remove_disks)
        proxies = ProxyThread()
        stack.callback(proxies.close)
        platform = stack.enter_context(
            running_platform(
                postgres_settings=_SETTINGS,
                environ_of=build.environ_of,
                before_start=lambda processes, folder: build.prepare(processes, folder, proxies),
                nats=observed_nats,
            )
        )
        namespace = _namespace(build.missing)
        if namespace is not None:
            stack.callback(namespace.close)
        rig = Rig(platform, proxies, build.dials, build.disks, namespace, missing=build.missing)
        rig.postgres_admin_url = build.postgres_admin_url
        rig._to_gateway("client")
        yield rig


def _namespace(missing: dict[str, str]) -> NetworkNamespace | None:
    """None, with the reason noted, where root alone is not enough: in most containers."""
    why = no_namespaces()
    if why is None:
        try:
            return NetworkNamespace()
        except OSError as error:
            why = f"no network namespace: {error}"
    missing["namespace"] = why
    return None


def _leave(_number: int, _frame: object) -> None:
    raise SystemExit("ended by SIGTERM")


class _Build:
    """What must be there before the platform starts."""

    def __init__(self, *, disks: bool) -> None:
        self._want_disks = disks
        self.environ_of: dict[str, dict[str, str]] = {name: {} for name in (*SERVICES, "postgres")}
        self.dials: Dials | None = None
        self.disks: dict[str, Path] = {}
        self.missing: dict[str, str] = {}
        self.postgres_admin_url = ""

    def prepare(self, processes: Processes, folder: Path, proxies: ProxyThread) -> None:
        """Mounts, compiles, and puts proxies into the addresses of all services."""
        self._mount(folder)
        if (why := no_compiler()) is None:
            self.dials = Dials(folder / "shims")
            for name in SERVICES:
                self.environ_of[name] |= self.dials.environ(name)
            self.environ_of["postgres"] |= self.dials.environ("postgres", disk=True)
        else:
            self.missing["shims"] = why
        postgres_port, nats_port, *_ = processes.ports
        secrets = StateDir(folder).secrets
        self.postgres_admin_url = (
            f"postgresql://spaces_admin:{secrets.get('postgres-admin')}"
            f"@{LOOPBACK}:{postgres_port}/{DATABASE}"
        )
        for service in SERVICES:
            bus = proxies.add(f"{service}-nats")
            bus.target = (LOOPBACK, nats_port)
            prefix = f"SPACES_{service.upper()}"
            self.environ_of[service][f"{prefix}_NATS_URL"] = f"nats://{LOOPBACK}:{bus.port}"
            if service != "gateway":
                database = proxies.add(f"{service}-postgres")
                database.target = (LOOPBACK, postgres_port)
                role = f"spaces_{service}"
                self.environ_of[service][f"{prefix}_POSTGRES_URL"] = (
                    f"postgresql://{role}:{secrets.get(role)}@{LOOPBACK}:{database.port}/{DATABASE}"
                )

    def _mount(self, folder: Path) -> None:
        if not self._want_disks:
            return
        if os.geteuid() != 0 or not shutil.which("mount"):
            self.missing["disks"] = "small disks need root and mount"
            return
        account = unprivileged()
        for name, size in _DISK_MIB.items():
            point = folder / name
            point.mkdir(mode=0o700, exist_ok=True)
            owner = account if name == "postgres" else None
            options = f"size={size}m,mode=0700" + (
                f",uid={owner.uid},gid={owner.gid}" if owner else ""
            )
            done = subprocess.run(
                ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(point)],
                check=False,
                capture_output=True,
                text=True,
            )
            if done.returncode != 0:
                self.missing["disks"] = f"tmpfs cannot be mounted: {done.stderr.strip()}"
                return
            self.disks[name] = point

    def remove_disks(self) -> None:
        """After everything has stopped: the platform could not remove what was mounted."""
        for point in self.disks.values():
            subprocess.run(["umount", "-l", str(point)], check=False, capture_output=True)
        for folder in {point.parent for point in self.disks.values()}:
            shutil.rmtree(folder, ignore_errors=True)
