"""Every NATS message that the gateway handles, one line each."""

from collections.abc import Callable
from dataclasses import dataclass

from spaces_chassis.bus import Delivery, Route, listen, on
from spaces_contracts.access import AccessChanged
from spaces_contracts.quotas import QuotaChanged
from spaces_contracts.requests import RequestFinished
from spaces_gateway.access import Access
from spaces_gateway.quotas.quotas import Quotas
from spaces_gateway.sockets.client_hub import ClientHub
from spaces_gateway.sockets.worker_hub import WorkerHub
from spaces_gateway.waiters import Waiters


@dataclass(frozen=True)
class Handlers:
    """Who handles."""

    access: Access
    waiters: Waiters
    workers: WorkerHub
    clients: ClientHub
    quotas: Quotas


def subscriptions(gateway_id: str, handlers: Handlers) -> list[Route]:
    """The fixed ones. Events of watched requests and spaces are subscribed to while somebody watches (watches.py)."""
    return [
        # Job, CancelJob, DrainConnection, KickConnection, ResultAck for a worker on one of our sockets
        listen(f"gw.{gateway_id}.wk.*.*", handlers.workers.receive),
        # RequestFinished for a request that was submitted through this process
        listen(f"gw.{gateway_id}.cl.*", _finished(handlers.waiters)),
        on(AccessChanged, _forget(handlers)),
        on(QuotaChanged, lambda changed, _: handlers.quotas.changed(changed)),
    ]


def _finished(waiters: Waiters) -> Callable[[Delivery], None]:
    def receive(delivery: Delivery) -> None:
        waiters.finished(RequestFinished.model_validate_json(delivery.body))

    return receive


def _forget(handlers: Handlers) -> Callable[[AccessChanged, Delivery], None]:
    def receive(changed: AccessChanged, _delivery: Delivery) -> None:
        handlers.access.forget(changed)
        handlers.clients.access_changed(changed)

    return receive
