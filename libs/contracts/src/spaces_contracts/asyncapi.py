"""The AsyncAPI 3.0 document of both sockets and of the messages between services, made from the classes. Pure.

Format: https://www.asyncapi.com/docs/reference/specification/v3.0.0. `receive` and `send` are said of the platform.
"""

from collections.abc import Iterable, Mapping
from typing import Any, get_args

from pydantic import BaseModel

from spaces_contracts import client_socket, worker_socket
from spaces_contracts.catalog import CATALOG, Entry
from spaces_contracts.frames import PROTOCOL
from spaces_contracts.message import Command
from spaces_contracts.permissions import COMMAND_RULES, FRAME_RULES, Rule

DESCRIPTION = """Sockets of the gateway (text frames of one JSON object with `type`), and messages between services.

`x-permission` says what it takes to send a frame or command, and `x-whose` on whose objects it works.
"""
_REPLIES = "replies"
_SOCKETS = (
    ("client_socket", "/ws", client_socket.FromClient, client_socket.ToClient),
    ("worker_socket", "/ws/worker", worker_socket.FromWorker, worker_socket.ToWorker),
)

Json = dict[str, Any]


def document(version: str) -> Json:
    """The whole document, as JSON."""
    build = _Builder()
    for name, address, received, sent in _SOCKETS:
        build.add_socket(name, address, _members(received), _members(sent))
    for entry in CATALOG:
        build.add_message(entry)
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "WebSocket Spaces", "version": version, "description": DESCRIPTION},
        "defaultContentType": "application/json",
        "channels": build.channels,
        "operations": build.operations,
        "components": {"messages": build.messages, "schemas": build.schemas},
    }


class _Builder:
    def __init__(self) -> None:
        self.channels: Json = {}
        self.operations: Json = {}
        self.messages: Json = {}
        self.schemas: Json = {}

    def add_socket(
        self,
        channel: str,
        address: str,
        received: Iterable[type[BaseModel]],
        sent: Iterable[type[BaseModel]],
    ) -> None:
        """A channel with one operation a frame type."""
        self.channels[channel] = {
            "address": address,
            "description": f"WebSocket, subprotocol `{PROTOCOL}`.",
            "messages": {},
            "bindings": {"ws": {"method": "GET"}},
        }
        for action, frames in (("receive", received), ("send", sent)):
            for frame in frames:
                kind: str = frame.model_fields["type"].default
                key = f"{channel}.{action}.{kind}"
                self._put(channel, key, frame)
                self.operations[key] = {
                    "action": action,
                    **self._on(channel, key),
                    **_rule(FRAME_RULES.get(kind) if action == "receive" else None),
                }

    def add_message(self, entry: Entry) -> None:
        """A channel of its own for each NATS message: its subject."""
        message = entry.message
        name = message.__name__
        self.channels[name] = {
            "address": message.subject.template,
            "messages": {},
            "parameters": {field: {} for field in message.subject.fields},
            "bindings": {"nats": {}},
        }
        self._put(name, name, message)
        operation = {
            "action": "receive",
            "title": f"{entry.sender} to {entry.receiver}",
            "description": f"Delivery: {entry.delivery}.",
            **self._on(name, name),
            **_rule(COMMAND_RULES.get(name)),
        }
        if issubclass(message, Command):
            reply = message.reply.__name__
            self._put_reply(message.reply)
            operation["reply"] = {
                "address": {"location": "$message.header#/reply"},
                "channel": {"$ref": f"#/channels/{_REPLIES}"},
                "messages": [{"$ref": f"#/channels/{_REPLIES}/messages/{reply}"}],
            }
        self.operations[name] = operation

    def _put_reply(self, reply: type[BaseModel]) -> None:
        self.channels.setdefault(
            _REPLIES,
            {"address": None, "description": "The inbox of whoever asks.", "messages": {}},
        )
        self._put(_REPLIES, reply.__name__, reply)

    def _put(self, channel: str, key: str, model: type[BaseModel]) -> None:
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        self.schemas.update(schema.pop("$defs", {}))
        self.schemas[model.__name__] = schema
        self.messages[key] = {
            "name": model.__name__,
            "summary": " ".join((model.__doc__ or "").split()),
            "payload": {"$ref": f"#/components/schemas/{model.__name__}"},
        }
        self.channels[channel]["messages"][key] = {"$ref": f"#/components/messages/{key}"}

    @staticmethod
    def _on(channel: str, key: str) -> Json:
        return {
            "channel": {"$ref": f"#/channels/{channel}"},
            "messages": [{"$ref": f"#/channels/{channel}/messages/{key}"}],
        }


def _rule(rule: Rule | None) -> Mapping[str, Any]:
    if rule is None:
        return {}
    return {
        "x-permission": [permission.value for permission in rule.needs],
        "x-whose": rule.whose.value,
    }


def _members(union: Any) -> list[type[BaseModel]]:
    return list(get_args(get_args(union)[0]))
