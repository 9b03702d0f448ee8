"""The product against its peers, and against what was asked of it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from tests.bench.table import DISTURBED

Row = dict[str, Any]
PRODUCT = "product"
# The source documents' two calls, and one call that they do not have and that is faster.
SEED = ("flask-socketio-gevent", "flask-socketio-threading", "flask-socketio-threading-poll")
SEED_ONE_CALL = "flask-socketio-gevent-one-call"


@dataclass(frozen=True)
class Wanted:
    """One figure that was asked for: a ratio to `peer`, or the product's own when there is none."""

    text: str
    figure: str
    cell: tuple[str, int, int, int]  # transport, spaces, slots, clients
    least: float | None = None
    most: float | None = None
    peer: str | tuple[str, ...] | None = None  # several: the best of them
    peer_cell: tuple[str, int, int, int] | None = None  # None: the same


_ECHO_64 = ("http", 1, 64, 64)
_ECHO_1 = ("http", 1, 64, 1)
WANTED: tuple[Wanted, ...] = (
    Wanted("echo to FastStream over JetStream", "rps", _ECHO_64, 2.0, peer="faststream-jetstream"),
    Wanted("echo to Flask-SocketIO at its best", "rps", _ECHO_64, 2.3, peer=SEED),
    Wanted("the same, had it a submit that waits", "rps", _ECHO_64, 2.3, peer=SEED_ONE_CALL),
    Wanted("echo to Celery with fsync", "rps", _ECHO_64, 9.0, peer="celery-redis-fsync"),
    Wanted("echo to Gradio's queue", "rps", _ECHO_64, 30.0, peer="gradio-queue"),
    Wanted("64 spaces of 1 slot to 1 of 64", "rps", ("http", 64, 1, 64), 0.7, None, PRODUCT, _ECHO_64),
    Wanted("one space, one slot: requests/s", "rps", ("http", 1, 1, 64), 600.0),
    Wanted("p50 of one client to Flask-SocketIO", "p50_ms", _ECHO_1, most=2.2, peer=SEED),
    Wanted("the same, had it a submit that waits", "p50_ms", _ECHO_1, most=2.2, peer=SEED_ONE_CALL),
    Wanted("p50 of one client to Celery, fsync", "p50_ms", _ECHO_1, most=0.6, peer="celery-redis-fsync"),
    Wanted("p99 of one client, ms", "p99_ms", _ECHO_1, most=8.0),
    Wanted("500/s offered: accept p95, ms", "p95_ms", ("offered", 1, 64, 64), most=10.0),
    Wanted("500/s offered: dispatch p95, ms", "dispatch_p95_ms", ("offered", 1, 64, 64), most=15.0),
    Wanted("64 streams: tokens/s", "tokens_per_s", ("tokens", 1, 64, 64), 100_000.0),
    Wanted("16 streams: first token p95, ms", "first_token_p95_ms", ("tokens", 1, 64, 16), most=20.0),
)  # fmt: skip


def ratio(ours: Row, theirs: Row, figure: str) -> float | None:
    """The median of the ratios within each round; of the medians when the rounds do not belong together."""
    pairs = [
        (mine, other)
        for mine, other in zip(ours.get("rounds", []), theirs.get("rounds", []), strict=False)
        if figure in mine and other.get(figure)
    ]
    calm = [pair for pair in pairs if all(one.get("others_cores", 0) < DISTURBED for one in pair)]
    within: list[float] = [mine[figure] / other[figure] for mine, other in calm or pairs]
    if within and ours.get("part") == theirs.get("part"):
        return round(median(within), 3)
    if ours.get(figure) and theirs.get(figure):
        return round(float(ours[figure]) / float(theirs[figure]), 3)
    return None


def ratios(rows: Sequence[Row]) -> list[Row]:
    """Product to peer, cell by cell: requests/s (more is better), p50 and CPU (less is better)."""
    found = []
    for theirs in rows:
        ours = _row(rows, PRODUCT, _cell(theirs))
        if theirs["system"] == PRODUCT or ours is None or _invalid(ours) or _invalid(theirs):
            continue
        transport, spaces, slots, clients = _cell(theirs)
        found.append(
            {
                "peer": theirs["system"],
                "transport": transport,
                "spaces": spaces,
                "slots": slots,
                "clients": clients,
                "rps": ratio(ours, theirs, "rps"),
                "p50_ms": ratio(ours, theirs, "p50_ms"),
                "p99_ms": ratio(ours, theirs, "p99_ms"),
                "cpu_s_per_1000": ratio(ours, theirs, "cpu_s_per_1000"),
            }
        )
    return found


def judged(rows: Sequence[Row]) -> list[Row]:
    """Every wanted figure that could be taken from these rows, and whether it is reached."""
    found = []
    for wanted in WANTED:
        value = _value(rows, wanted)
        if value is None:
            continue
        reached = (wanted.least is None or value >= wanted.least) and (
            wanted.most is None or value <= wanted.most
        )
        limit = {"at_least": wanted.least} if wanted.least is not None else {"at_most": wanted.most}
        found.append({"what": wanted.text, "value": value, **limit, "reached": reached})
    return found


def _value(rows: Sequence[Row], wanted: Wanted) -> float | None:
    ours = _row(rows, PRODUCT, wanted.cell)
    if ours is None or _invalid(ours):
        return None
    if wanted.peer is None:
        return float(ours[wanted.figure]) if wanted.figure in ours else None
    names = (wanted.peer,) if isinstance(wanted.peer, str) else wanted.peer
    against = [_row(rows, name, wanted.peer_cell or wanted.cell) for name in names]
    values = [
        value
        for row in against
        if row is not None and not _invalid(row)
        if (value := ratio(ours, row, wanted.figure)) is not None
    ]
    if not values:
        return None
    # The best peer: where more is better, our ratio to it is the smallest; else the largest.
    return min(values) if wanted.least is not None else max(values)


def _row(rows: Sequence[Row], system: str, cell: tuple[str, int, int, int]) -> Row | None:
    return next((row for row in rows if row["system"] == system and _cell(row) == cell), None)


def _cell(row: Row) -> tuple[str, int, int, int]:
    return row["transport"], row["spaces"], row["slots"], row["clients"]


def _invalid(row: Row) -> bool:
    return bool(row.get("errors")) or not row["rps"]
