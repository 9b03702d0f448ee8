"""The whole platform as real processes, for tests: started by the stack's own code, used over HTTP only."""

import itertools
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2

from spaces_stack.child import StartError
from spaces_stack.nats_server import NatsServer
from spaces_stack.platform import Options
from spaces_stack.platform import Platform as Processes
from spaces_stack.secret_files import write_secret
from spaces_stack.state_dir import StateDir
from spaces_stack.workers import Worker
from tests.support.log_secrets import require_no_secrets

_LOG_LINES = 200


class Platform:
    """Servers, services and workers; each may be killed and revived by name."""

    def __init__(self, processes: Processes, folder: Path) -> None:
        self.processes = processes
        self.folder = folder
        self._numbers = itertools.count(1)
        self._http = httpx2.Client(
            base_url=processes.gateway_url,
            headers={"Authorization": f"Bearer {processes.admin_key}"},
            trust_env=False,
            timeout=30,
        )

    @property
    def gateway_url(self) -> str:
        """The first gateway's address."""
        return self.processes.gateway_url

    @property
    def gateway_urls(self) -> list[str]:
        """Every gateway's address."""
        return self.processes.gateway_urls

    @property
    def admin_key(self) -> str:
        """The key that the registry made at its first start."""
        return self.processes.admin_key

    def create_space(self, name: str, **fields: Any) -> dict[str, Any]:
        """Makes a space over HTTP; `policy`, `inputs`, `tenant_id` and so on as the API takes them."""
        return self._unwrapped(
            "space", self._http.post("/api/spaces", json={"name": name, **fields})
        )

    def space(self, space: str) -> dict[str, Any]:
        """A space as the API shows it, by id or name."""
        return self._unwrapped("space", self._http.get(f"/api/spaces/{quote(space, safe='')}"))

    def worker_token(self, spaces: Sequence[str]) -> Path:
        """A file with a token that may serve these spaces."""
        body = {"name": "test", "spaces": list(spaces)}
        answer = self._http.post("/api/worker-tokens", json=body)
        secret = answer.raise_for_status().json()["secret"]
        path = self.folder / f"token-{next(self._numbers)}"
        write_secret(path, secret)
        return path

    def start_worker(  # noqa: PLR0913 - the choices of one agent, all optional but three
        self,
        name: str,
        *,
        spaces: Sequence[str],
        handler: str,
        slots: int = 1,
        token_file: Path | None = None,
        gateway_url: str | None = None,
        arguments: Sequence[str] = (),
        prefix: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> str:
        """Starts an agent and waits until its spaces are connected. Returns its name."""
        spool = self.folder / "spool" / name
        spool.mkdir(parents=True, exist_ok=True)
        worker = Worker(
            name=name,
            spaces=spaces,
            handler=handler,
            gateway_url=gateway_url or self.gateway_url,
            token_file=token_file or self.worker_token(spaces),
            spool_dir=spool,
            slots=slots,
            arguments=arguments,
            prefix=[shutil.which(prefix[0]) or prefix[0], *prefix[1:]] if prefix else (),
            environ=env or {},
        )
        self.processes.supervisor.start([worker.program(lambda: self._connected(spaces))])
        return name

    def stop_worker(self, name: str) -> None:
        """Ends an agent the orderly way."""
        self.processes.supervisor.stop(name)

    def kill(self, name: str) -> None:
        """kill -9 of any program: gateway, registry, scheduler, nats, postgres or a worker's name."""
        self.processes.kill(name)

    def revive(self, name: str) -> None:
        """Starts a killed program again on its old port."""
        self.processes.revive(name)

    def signal(self, name: str, number: int) -> None:
        """Sends any signal to a program."""
        self.processes.supervisor.signal(name, number)

    def pid(self, name: str) -> int:
        """A program's process id."""
        return self.processes.supervisor.pid(name)

    def log(self, name: str) -> str:
        """The end of a program's log."""
        return self.processes.supervisor.log_tail(name, _LOG_LINES)

    def metrics(self, name: str) -> str:
        """A service's metrics page."""
        url = self.processes.describe().health_urls[name].replace("/health/ready", "/metrics")
        return httpx2.get(url, trust_env=False, timeout=10).raise_for_status().text

    def close(self) -> None:
        """Gives back the HTTP connections."""
        self._http.close()

    def _connected(self, spaces: Sequence[str]) -> bool:
        try:
            return all(self.space(space)["connected"] for space in spaces)
        except (httpx2.HTTPError, httpx2.HTTPStatusError):
            return False  # a gateway that is being restarted; asked again until the worker is late

    @staticmethod
    def _unwrapped(name: str, answer: httpx2.Response) -> dict[str, Any]:
        if answer.is_error:
            raise AssertionError(f"{answer.status_code}: {answer.text}")
        body: dict[str, Any] = answer.json()
        inner: dict[str, Any] = body.get(name, body)
        return inner


@contextmanager
def running_platform(  # noqa: PLR0913 - the choices of one platform, all optional
    *,
    gateways: int = 1,
    registries: int = 1,
    schedulers: int = 1,
    environ: Mapping[str, str] | None = None,
    # A power failure is no part of most tests, and a killed process loses nothing without fsync.
    postgres_settings: Mapping[str, str] = {"fsync": "off"},
    environ_of: Mapping[str, Mapping[str, str]] | None = None,
    before_start: Callable[[Processes, Path], None] | None = None,
    nats: Callable[..., NatsServer] = NatsServer,
) -> Iterator[Platform]:
    """A platform with databases of its own; everything it wrote is removed at the end.

    `environ_of` are variables for single programs by name; `before_start` is told the ports and the folder
    before anything runs in it; `nats` makes the broker, such as observed_nats.
    """
    folder = Path(tempfile.mkdtemp(prefix="spaces-test-", dir="/var/tmp"))
    folder.chmod(0o711)
    processes = Processes(
        Options(
            state=StateDir(folder),
            gateways=gateways,
            registries=registries,
            schedulers=schedulers,
            restart=False,
            postgres_settings=postgres_settings,
            environ=environ or {},
            environ_of=environ_of or {},
            nats=nats,
        )
    )
    try:
        if before_start is not None:
            before_start(processes, folder)
        processes.start()
        platform = Platform(processes, folder)
        try:
            yield platform
            state = StateDir(folder)
            _require_rights(state.logs)
            made = [
                state.path / "secrets",
                state.admin_key,
                state.admin_password,
                *folder.glob("token-*"),
            ]
            require_no_secrets(state.logs, *made)
        finally:
            platform.close()
    except StartError as error:
        raise AssertionError(str(error)) from error
    finally:
        processes.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _require_rights(logs: Path) -> None:
    """Whatever a test did with the platform: no service may have been refused anything by the broker."""
    for path in sorted(logs.iterdir()):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            assert "bus_refused" not in line, f"{path.name}: {line}"
