"""The whole platform as real processes: servers, migrations, services. Used by the command, tests and benches."""

import asyncio
import http.client
import os
import subprocess
import sys
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from spaces_stack import environments
from spaces_stack.child import Echo, Program, StartError
from spaces_stack.database_roles import (
    MIGRATOR,
    SERVICE_ROLES,
    create_database,
    create_roles,
    prepare_database,
)
from spaces_stack.environments import Servers
from spaces_stack.leftovers import leftovers
from spaces_stack.nats_server import NatsServer
from spaces_stack.ports import LOOPBACK, free_ports, listens, preferred_port
from spaces_stack.postgres_server import DATABASE, POSTGRES_HOME, PostgresServer
from spaces_stack.state_dir import RunningStack, StateDir
from spaces_stack.supervisor import Supervisor

_MIGRATE_WITHIN_S = 120.0
# The registry's functions call the scheduler's: that order.
MIGRATED = ("scheduler", "registry")


@dataclass(frozen=True)
class Options:
    """How many of what, and where."""

    state: StateDir
    gateways: int = 1
    registries: int = 1
    schedulers: int = 1
    gateway_port: int | None = None  # None: any free one
    restart: bool = True
    echo: Echo | None = None
    # The user's own servers; None starts ours.
    postgres_url: str | None = None
    nats_url: str | None = None
    postgres_settings: Mapping[str, str] = field(default_factory=dict)
    nats: Callable[..., NatsServer] = NatsServer  # with the product's configuration, or another
    environ: Mapping[str, str] = field(default_factory=dict)  # more variables for every service
    # More variables for single programs, by name: gateway, scheduler-2, postgres, nats …
    environ_of: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


class Platform:
    """Started in order, stopped in reverse; single programs may be killed and revived in between."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._state = options.state
        self._state.make()
        self.supervisor = Supervisor(self._state.logs, echo=options.echo, restart=options.restart)
        self._planned = _plan(options)
        self._postgres_port, self._nats_port, self._monitor_port = free_ports(3)

    @property
    def gateway_urls(self) -> list[str]:
        """The address of each gateway."""
        return [one.url for one in self._planned if one.service == "gateway"]

    @property
    def gateway_url(self) -> str:
        """The address of the first gateway."""
        return self.gateway_urls[0]

    @property
    def admin_key(self) -> str:
        """The key that the registry made at its first start."""
        return self._state.admin_key.read_text().strip()

    @property
    def ports(self) -> list[int]:
        """Every port that something of ours listens on."""
        own = [] if self._options.postgres_url else [self._postgres_port]
        own += [] if self._options.nats_url else [self._nats_port, self._monitor_port]
        return [*own, *(one.port for one in self._planned)]

    def start(self) -> None:
        """Starts everything and returns when it serves. Raises StartError; then call stop()."""
        servers = self._start_servers()
        for service in MIGRATED:
            log = self._state.logs / f"{service}-migrate.log"
            environ = environments.migration(servers.postgres_urls[MIGRATOR])
            migrate(service, environ | dict(self._options.environ), log)
        self.supervisor.start([self._program(one, servers) for one in self._planned])

    def stop(self) -> bool:
        """Stops everything in reverse order. False: something had to be killed."""
        return self.supervisor.stop_all()

    def leftovers(self) -> list[str]:
        """What still runs or answers after stop(): one line each, none when all is well."""
        homes = [self._state.path]
        record = self._state.path / POSTGRES_HOME
        if record.exists():
            homes.append(Path(record.read_text().strip()))
        return leftovers(self.supervisor.mark, homes, self.ports)

    def kill(self, name: str) -> None:
        """kill -9 of one program; it stays down until revive()."""
        self.supervisor.kill(name)

    def revive(self, name: str) -> None:
        """Starts a program again on its old port, and waits until it is ready."""
        self.supervisor.revive(name)

    def describe(self) -> RunningStack:
        """What other commands need to know."""
        return RunningStack(
            pid=os.getpid(),
            gateway_urls=self.gateway_urls,
            health_urls={one.name: f"{one.url}/health/ready" for one in self._planned},
            nats_url=self._options.nats_url or f"nats://{LOOPBACK}:{self._nats_port}",
            ports=self.ports,
        )

    def _start_servers(self) -> Servers:
        secrets = self._state.secrets
        programs: list[Program] = []
        postgres = nats = None
        if self._options.postgres_url is None:
            postgres = PostgresServer.create(
                self._state.path,
                self._postgres_port,
                secrets,
                dict(self._options.postgres_settings),
            )
            programs.append(self._with_environ(postgres.program()))
        if self._options.nats_url is None:
            nats = self._options.nats(
                self._nats_port, self._monitor_port, self._state.nats_store, secrets
            )
            programs.append(self._with_environ(nats.program()))
        self.supervisor.start(programs)
        passwords = {role: secrets.get(role) for role in (MIGRATOR, *SERVICE_ROLES)}
        url = self._options.postgres_url or (postgres.admin_url(DATABASE) if postgres else "")
        asyncio.run(self._prepare(postgres, url, passwords))
        return Servers({role: _as_role(url, role, passwords[role]) for role in passwords}, nats)

    async def _prepare(
        self, postgres: PostgresServer | None, url: str, passwords: dict[str, str]
    ) -> None:
        await create_roles(postgres.admin_url() if postgres else url, passwords)
        if postgres:
            await create_database(postgres.admin_url(), DATABASE)
        await prepare_database(url, exclusive=postgres is not None)

    def _program(self, planned: "Planned", servers: Servers) -> Program:
        if planned.service == "gateway":
            environ = environments.gateway(servers, self._state, planned.port)
        elif planned.service == "registry":
            environ = environments.registry(servers, self._state, planned.port)
        else:
            environ = environments.scheduler(servers, planned.port)
        return self._with_environ(
            Program(
                name=planned.name,
                argv=(command(f"spaces-{planned.service}"), "serve"),
                environ=environ | dict(self._options.environ),
                ready=partial(_serves, planned),
            )
        )

    def _with_environ(self, program: Program) -> Program:
        more = self._options.environ_of.get(program.name, {})
        return replace(program, environ={**program.environ, **more})


@dataclass(frozen=True)
class Planned:
    """One process of a service."""

    name: str
    service: str
    port: int

    @property
    def url(self) -> str:
        """Where it answers HTTP."""
        return f"http://{LOOPBACK}:{self.port}"


def _serves(planned: Planned, pid: int) -> bool:
    return listens(pid, planned.port) and answers_ok(f"{planned.url}/health/ready")


def _plan(options: Options) -> list[Planned]:
    counts = {
        "registry": options.registries,
        "scheduler": options.schedulers,
        "gateway": options.gateways,
    }
    ports = iter(free_ports(sum(counts.values())))
    planned = [
        Planned(service if number == 0 else f"{service}-{number + 1}", service, next(ports))
        for service, count in counts.items()
        for number in range(count)
    ]
    if options.gateway_port is None:
        return planned
    first = planned.index(next(one for one in planned if one.service == "gateway"))
    planned[first] = Planned("gateway", "gateway", preferred_port(options.gateway_port))
    return planned


def migrate(service: str, environ: Mapping[str, str], log: Path) -> None:
    """Runs a service's `migrate`. Raises StartError with what it said."""
    done = subprocess.run(
        [command(f"spaces-{service}"), "migrate"],
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=_MIGRATE_WITHIN_S,
        text=True,
        check=False,
    )
    log.write_text(done.stdout)
    if done.returncode != 0:
        raise StartError(f"the migration of the {service} failed:\n{done.stdout[-4000:]}")


def command(name: str) -> str:
    """A command of this environment, whether it is on the PATH or not."""
    return str(Path(sys.executable).with_name(name))


def answers_ok(url: str) -> bool:
    """Whether a GET answers 200 now."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or LOOPBACK, parts.port, timeout=1)
    try:
        connection.request("GET", parts.path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _as_role(url: str, role: str, password: str) -> str:
    """The same server and database, reached as another user."""
    parts = urllib.parse.urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urllib.parse.urlunsplit(parts._replace(netloc=f"{role}:{password}@{host}"))
