"""Shapes of many sockets that watch spaces: all come back at once, and some come and go all the time."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from spaces_stack.state_dir import StateDir
from tests.bench.accounting import memory_of, spent
from tests.bench.crowd.crowd import Plan
from tests.bench.crowd.process import CrowdProcess, running_crowd
from tests.bench.load.process import LoadRun, begun_load
from tests.bench.product import Product, running_product
from tests.bench.shape_rig import MANY_CONNECTIONS, Bench

STORM_SOCKETS = 5_000
CHURN_SOCKETS = 10_000
_SOCKETS_A_SPACE = 50
_SHARE_A_MINUTE = 0.2
# Each reaches every socket that watches its space.
_EVENTS_PER_S = 40.0
_ECHOES_PER_S = 100.0
_GATEWAY = "gateway"
_OTHER_GATEWAY = "gateway-2"


def reconnect_storm(bench: Bench) -> dict[str, Any]:
    """5,000 sockets are cut from a gateway that lives, and then from one that is killed and started again."""
    with running_product(gateways=2, environ=MANY_CONNECTIONS) as product:
        return storm_on(product, bench)


def socket_churn(bench: Bench) -> dict[str, Any]:
    """10,000 sockets, a fifth of them closed and opened again a minute, and events to all."""
    with running_product(environ=MANY_CONNECTIONS) as product:
        return churn_on(product, bench)


def storm_on(product: Product, bench: Bench) -> dict[str, Any]:
    """The storm on a product with two gateways; the load meets the first, which lives."""
    count = bench.many(STORM_SOCKETS)
    spaces = _spaces(product, "storm", count)
    echo = product.add_worker("storm-echo", slots=64)
    with _crowd(product, 0, spaces, count) as crowd:
        empty = memory_of(product.processes[_GATEWAY])
        opened = crowd.do("open")
        full = memory_of(product.processes[_GATEWAY])
        before = _echo(product, echo, bench).figures()
        echoes = _echo(product, echo, bench)
        echoes.until_measuring()
        cut = crowd.do("cut")
        meanwhile = echoes.figures()
        after = memory_of(product.processes[_GATEWAY])
    cut |= {
        "echo_ms": {"before": vars(before.times), "meanwhile": vars(meanwhile.times)},
        "echo_errors": meanwhile.errors,
        "rss_mib": {"empty": empty.rss_mib, "full": full.rss_mib, "after": after.rss_mib},
    }
    with _crowd(product, 1, spaces, count) as crowd:
        crowd.do("open")
        echoes = _echo(product, echo, bench)
        echoes.until_measuring()
        crowd.do("brace")
        crowd.begin("watch")
        product.platform.kill(_OTHER_GATEWAY)
        product.platform.revive(_OTHER_GATEWAY)
        killed = crowd.figures()
        meanwhile = echoes.figures()
    killed |= {"echo_ms": {"meanwhile": vars(meanwhile.times)}, "echo_errors": meanwhile.errors}
    return {"sockets": count, "opened": opened, "cut": cut, "killed": killed}


def churn_on(product: Product, bench: Bench) -> dict[str, Any]:
    """The churn on a product with one gateway, and what a socket that watches a space takes of its memory."""
    count = bench.many(CHURN_SOCKETS)
    spaces = _spaces(product, "churn", count)
    gateway = product.processes[_GATEWAY]
    with _crowd(product, 0, spaces, count) as crowd:
        empty = memory_of(gateway)
        opened = crowd.do("open")
        full = memory_of(gateway)
        processes = {**product.processes, "crowd": crowd.pid}
        used = spent(processes)
        figures = crowd.do(
            "churn",
            seconds=bench.churn_s,
            share_per_minute=_SHARE_A_MINUTE,
            events_per_s=_EVENTS_PER_S,
        )
        cores = spent(processes).since(used)
        after = memory_of(gateway)
    return {
        "sockets": count,
        "opened": opened,
        **figures,
        "per_socket": full.kib_more_than(empty, count),
        "rss_mib": {"empty": empty.rss_mib, "full": full.rss_mib, "after": after.rss_mib},
        "cores": {name: round(used_s / bench.churn_s, 3) for name, used_s in cores.items()},
    }


@contextmanager
def _crowd(
    product: Product, gateway: int, space_ids: tuple[str, ...], count: int
) -> Iterator[CrowdProcess]:
    user = "registry"  # it is the one that publishes these events
    plan = Plan(
        port=urlsplit(product.platform.gateway_urls[gateway]).port or 80,
        token=product.token,
        sockets=count,
        space_ids=space_ids,
        nats_url=product.platform.processes.describe().nats_url,
        nats_user=user,
        nats_password=StateDir(product.platform.folder).secrets.get(f"nats-{user}"),
    )
    with running_crowd(plan) as crowd:
        yield crowd


def _spaces(product: Product, name: str, sockets: int) -> tuple[str, ...]:
    count = max(1, sockets // _SOCKETS_A_SPACE)
    made = [product.platform.create_space(f"{name}-{number}") for number in range(count)]
    return tuple(str(space["space_id"]) for space in made)


def _echo(product: Product, spaces: tuple[str, ...], bench: Bench) -> LoadRun:
    """Starts a little steady load; its latency is what others feel."""
    return begun_load(
        product.load(
            "product-paced",
            spaces,
            clients=32,
            seconds=2 * bench.seconds,
            warm_s=bench.seconds / 4,
            rate=_ECHOES_PER_S,
        )
    )
