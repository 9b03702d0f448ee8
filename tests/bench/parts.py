"""What is measured: parts of a few minutes, each with its cells and who takes part in them."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from tests.bench import lineup
from tests.bench.cell import Shape
from tests.bench.peer import Peer

PEERS: Mapping[str, Callable[[], Peer]] = {
    "faststream-jetstream": lineup.faststream,
    "flask-socketio-gevent": lambda: lineup.flask_socketio("gevent"),
    "flask-socketio-threading": lambda: lineup.flask_socketio("threading"),
    "flask-socketio-threading-poll": lambda: lineup.flask_socketio("threading", "-poll"),
    "flask-socketio-gevent-one-call": lambda: lineup.flask_socketio("gevent", "-one-call"),
    "celery-redis-fsync": lambda: lineup.celery_redis(fsync=True),
    "celery-redis": lambda: lineup.celery_redis(fsync=False),
    "gradio-queue": lineup.gradio,
    "limit-uvicorn": lineup.uvicorn_echo,
    "limit-nats": lineup.nats_echo,
    "limit-postgres": lineup.postgres_commits,
}
BEST_SEED = "flask-socketio-gevent"


@dataclass(frozen=True)
class Cell:
    """One shape, and the peers that stand beside the product in it."""

    shape: Shape
    peers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Part:
    """Cells that are measured together, in rounds over all of them."""

    name: str
    cells: tuple[Cell, ...]
    rounds: int = 3
    seconds: float = 3.0
    warm_s: float = 0.7


def _echo(clients: int) -> Part:
    return Part(f"echo-{clients}", (Cell(Shape("http", 1, 64, clients), tuple(PEERS)),))


def _cells(
    transports: Iterable[str], spaces: int, slots: int, clients: Iterable[int], *peers: str
) -> tuple[Cell, ...]:
    return tuple(
        Cell(Shape(transport, spaces, slots, count), peers if transport != "socket" else ())
        for transport in transports
        for count in clients
    )


_CLIENTS = (1, 16, 64, 256)
FULL: tuple[Part, ...] = (
    *(_echo(clients) for clients in _CLIENTS),
    Part("socket", _cells(["socket"], 1, 64, _CLIENTS)),
    Part("spaces", _cells(["http", "socket"], 64, 1, _CLIENTS, BEST_SEED)),
    Part("single", _cells(["http", "socket"], 1, 1, _CLIENTS, BEST_SEED)),
    Part(
        "streams",
        _cells(["tokens"], 1, 64, (1, 16, 64), BEST_SEED, "gradio-queue")
        + _cells(["sse"], 1, 64, (1, 16, 64)),
    ),
    Part("offered", (Cell(Shape("offered", 1, 64, 64, rate=500.0)),), seconds=10.0),
)

_FEW = (
    "faststream-jetstream", BEST_SEED, f"{BEST_SEED}-one-call", "celery-redis-fsync", "gradio-queue",
)  # fmt: skip
QUICK: tuple[Part, ...] = (
    Part(
        "quick",
        (
            Cell(Shape("http", 1, 64, 64), (*_FEW, "limit-uvicorn")),
            Cell(Shape("http", 1, 64, 1), _FEW),
            Cell(Shape("http", 64, 1, 64)),
            Cell(Shape("http", 1, 1, 64)),
            Cell(Shape("socket", 1, 64, 64)),
            Cell(Shape("tokens", 1, 64, 64)),
            Cell(Shape("tokens", 1, 64, 16)),
            Cell(Shape("offered", 1, 64, 64, rate=500.0)),
        ),
        rounds=2,
        seconds=1.5,
        warm_s=0.5,
    ),
)
