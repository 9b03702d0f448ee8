"""The product, with everything that keeps requests safe switched on, and one worker process."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.bench.load.flow import Load
from tests.support.platform import Platform, running_platform

HANDLERS = Path(__file__).with_name("handlers") / "echo.py"
# Long enough that nothing of a bench is refused or expires.
_POLICY = {"when_offline": "queue", "max_queue": 100_000}


@dataclass
class Product:
    """Where it is and what runs."""

    platform: Platform
    workers: list[str]

    @property
    def port(self) -> int:
        """The gateway's."""
        return urlsplit(self.platform.gateway_url).port or 80

    @property
    def token(self) -> str:
        """A key that may submit."""
        return self.platform.admin_key

    @property
    def processes(self) -> dict[str, int]:
        """Process ids by name; children belong to their parents."""
        names = self.platform.processes.supervisor.names()
        running = self.platform.processes.supervisor.running
        return {name: self.platform.pid(name) for name in names if running(name)}

    def add_worker(
        self,
        name: str,
        *,
        spaces: int = 1,
        slots: int = 1,
        handler: str = "echo",
        arguments: Sequence[str] = (),
        prefix: Sequence[str] = (),
    ) -> tuple[str, ...]:
        """One agent on so many new spaces with so many slots in each. Gives the names of the spaces."""
        names = tuple(f"{name}-{number}" for number in range(1, spaces + 1))
        for space in names:
            self.platform.create_space(space, policy=_POLICY)
        self.platform.start_worker(
            name,
            spaces=names,
            handler=f"{HANDLERS}:{handler}",
            # One agent for them all: what it takes at a time is what its spaces have together.
            slots=slots * spaces,
            arguments=["--slots-per-space", str(slots), *arguments],
            prefix=prefix,
        )
        self.workers.append(name)
        return names

    def load(self, flow: str, spaces: Sequence[str], **fields: float) -> Load:
        """A load on these spaces. `fields`: clients, seconds, warm_s, rate."""
        known = {name: int(value) if name == "clients" else value for name, value in fields.items()}
        return Load(flow, self.port, spaces=tuple(spaces), token=self.token, **known)  # type: ignore[arg-type]  # checked by Load's users


@contextmanager
def running_product(
    *,
    gateways: int = 1,
    schedulers: int = 1,
    durable: bool = True,
    environ: Mapping[str, str] | None = None,
) -> Iterator[Product]:
    """As `spaces-stack up` runs it: PostgreSQL waits for the disk at accept and at result."""
    with running_platform(
        gateways=gateways,
        schedulers=schedulers,
        environ=environ,
        postgres_settings={} if durable else {"fsync": "off", "synchronous_commit": "off"},
    ) as platform:
        yield Product(platform, [])
