"""The bus: typed messages over NATS. `spaces_chassis.bus.nats_transport` alone imports nats."""

from spaces_chassis.bus.bus import Bus
from spaces_chassis.bus.events import stored_seq
from spaces_chassis.bus.inbox import Inbox
from spaces_chassis.bus.replies import decode_reply, encode_reply
from spaces_chassis.bus.routes import Delivery, Route, listen, on, serve
from spaces_chassis.bus.subscription import Subscription

__all__ = [
    "Bus",
    "Delivery",
    "Inbox",
    "Route",
    "Subscription",
    "decode_reply",
    "encode_reply",
    "listen",
    "on",
    "serve",
    "stored_seq",
]
