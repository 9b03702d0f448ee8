"""Writes the pages that are made from the contracts: `python -m spaces_contracts DIRECTORY`."""

import json
import sys
from collections.abc import Iterable
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from spaces_contracts import asyncapi, client_socket, worker_socket
from spaces_contracts.access import Permission, PrincipalKind, Role
from spaces_contracts.catalog import CATALOG
from spaces_contracts.frames import FIRST_FRAME_S, PROTOCOL
from spaces_contracts.message import Command
from spaces_contracts.permissions import KINDS as KIND_GRANTS
from spaces_contracts.permissions import ROLES, RULES
from spaces_contracts.problems import KINDS, Code
from spaces_contracts.requests import MAX_FRAME_BYTES

SOCKETS = (
    (
        "Worker socket",
        "/ws/worker",
        (
            ("Worker → gateway", worker_socket.FromWorker),
            ("Gateway → worker", worker_socket.ToWorker),
        ),
    ),
    (
        "Client socket",
        "/ws",
        (
            ("Client → gateway", client_socket.FromClient),
            ("Gateway → client", client_socket.ToClient),
        ),
    ),
)
MADE = "<!-- made by `make generate` from libs/contracts; do not edit -->\n"


def main() -> int:
    """Writes messages.md, problems.md, permissions.md and asyncapi.json."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "messages.md").write_text(messages_page(), encoding="utf-8")
    (folder / "problems.md").write_text(problems_page(), encoding="utf-8")
    (folder / "permissions.md").write_text(permissions_page(), encoding="utf-8")
    made = asyncapi.document(version("spaces-contracts"))
    (folder / "asyncapi.json").write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    return 0


def messages_page() -> str:
    """Every NATS message and every socket frame, with its fields."""
    messages = [entry.message for entry in CATALOG]
    replies = [message.reply for message in messages if issubclass(message, Command)]
    lines = [MADE, *_bus_part()]
    frames: list[type[BaseModel]] = []
    for title, path, sides in SOCKETS:
        lines += ["", f"## {title} `{path}`", "", _socket_intro()]
        for direction, union in sides:
            frames += _members(union)
            lines += ["", f"### {direction}"]
            for frame in _members(union):
                name = frame.model_fields["type"].default
                lines += ["", f"**`{name}`** — {_doc(frame)}", "", *_fields(frame)]
    lines += ["", "## Shapes", "", "What messages and frames are built of."]
    for shape in _shapes([*messages, *replies, *frames]):
        lines += ["", *_shape(shape)]
    return "\n".join(lines) + "\n"


def _bus_part() -> list[str]:
    lines = [
        "# Messages",
        "",
        "One message is one class in `libs/contracts`; the class carries its subject. What the",
        "subject says wins over what the body says: the broker checks who may publish on it.",
        "",
        "## NATS",
        "",
        "| message | subject | from | to | delivery |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| [{entry.message.__name__}](#{entry.message.__name__.lower()}) "
        f"| `{entry.message.subject.template}` | {entry.sender} | {entry.receiver} "
        f"| {entry.delivery} |"
        for entry in CATALOG
    ]
    for entry in CATALOG:
        lines += ["", *_section(entry.message)]
        if issubclass(entry.message, Command):
            reply = entry.message.reply
            lines += ["", f"Answer: **{reply.__name__}** — {_doc(reply)}", "", *_fields(reply)]
    return lines


def problems_page() -> str:
    """Every problem code with its status, close code and what to do."""
    lines = [
        MADE,
        "# Problem codes",
        "",
        "The code is stable and part of the API; the text may change. HTTP answers carry it as",
        "RFC 9457 problems, sockets as `error` or `register_error` frames and close codes, the",
        "agent and the client as messages.",
        "",
        "| code | HTTP | close | title | what to do | retry helps |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| `{code}` | {kind.status} | {kind.close} | {kind.title} | {kind.what_to_do} "
        f"| {'yes' if kind.retry else 'no'} |"
        for code, kind in KINDS.items()
    ]
    return "\n".join(lines) + "\n"


def permissions_page() -> str:
    """Who may do what."""
    columns = {
        "admin": ROLES[Role.ADMIN],
        "owner": ROLES[Role.OWNER],
        "member": ROLES[Role.MEMBER],
        "admin key": KIND_GRANTS[PrincipalKind.ADMIN],
        "API key without scopes": KIND_GRANTS[PrincipalKind.API_KEY],
        "worker token": KIND_GRANTS[PrincipalKind.WORKER_TOKEN],
    }
    lines = [
        MADE,
        "# Who may do what",
        "",
        "The gateway asks this table for each call, the registry once more for each command. What is another",
        "tenant's does not exist for the caller: the answer is the same as for an id that was never given.",
        "",
        "The same goes for private spaces and all that is in them: they exist for who made them (a person with all",
        "their logins and keys, or a key that is no person's), for who has `spaces:private`, and for the worker tokens",
        "that name them. What is done in them needs its own permission besides.",
        "",
        "## Roles and keys",
        "",
        "A key with scopes has the permissions that are named in it; no key has more than its maker has now.",
        "",
        f"| permission | {' | '.join(columns)} |",
        f"|---|{'---|' * len(columns)}",
    ]
    lines += [
        f"| `{permission}` | {' | '.join('yes' if permission in of else '' for of in columns.values())} |"
        for permission in Permission
    ]
    lines += ["", "## Operations", "", "Any one of several permissions is enough.", ""]
    lines += [
        "| to | takes | on whose | HTTP operations | frames | messages |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {rule.what} | {_codes(p.value for p in rule.needs)} | {rule.whose.value} | {_codes(rule.http)} "
        f"| {_codes(rule.frames)} | {_codes(rule.commands)} |"
        for rule in RULES
    ]
    return "\n".join(line.replace("  |", " |") for line in lines) + "\n"


def _codes(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _socket_intro() -> str:
    return (
        f"Subprotocol `{PROTOCOL}`; text frames of one JSON object with `type`, at most "
        f"{MAX_FRAME_BYTES:,} bytes; the first frame within {FIRST_FRAME_S:g} s. "
        "Unknown fields are ignored."
    )


def _section(model: type[BaseModel]) -> list[str]:
    return [f"### {model.__name__}", "", _doc(model), "", *_fields(model)]


def _fields(model: type[BaseModel]) -> list[str]:
    rows = []
    for name, field in model.model_fields.items():
        if name == "type":
            continue
        default = "required" if field.is_required() else f"`{field.get_default()!r}`"
        if field.default_factory is not None:
            default = "empty"
        rows.append(f"| `{name}` | {_type(field.annotation)} | {default} |")
    return ["| field | type | default |", "|---|---|---|", *rows] if rows else ["No fields."]


def _type(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(arguments[0])
    if origin in (Union, UnionType):
        return " or ".join(_type(part) for part in arguments)
    if origin is Literal:
        return " / ".join(f"`{value}`" for value in arguments)
    if origin in (list, dict):
        return f"{origin.__name__} of {', '.join(_type(part) for part in arguments)}"
    if annotation is type(None):
        return "null"
    if annotation is Any:
        return "any JSON"
    name: str = annotation.__name__
    return f"[{name}](#{name.lower()})" if _described(annotation) else name


def _described(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel | StrEnum)


def _shapes(models: Iterable[type[BaseModel]]) -> list[type]:
    """The models and enums that the given ones are built of, by name."""
    found: set[type] = set()

    def visit(annotation: Any) -> None:
        for part in get_args(annotation):
            visit(part)
        if _described(annotation) and annotation not in found:
            found.add(annotation)
            for field in getattr(annotation, "model_fields", {}).values():
                visit(field.annotation)

    for model in models:
        for field in model.model_fields.values():
            visit(field.annotation)
    return sorted(found, key=lambda shape: shape.__name__)


def _shape(shape: type) -> list[str]:
    if issubclass(shape, BaseModel):
        return _section(shape)
    values = ["", "See [problems.md](problems.md)."] if shape is Code else [""]
    if shape is not Code and issubclass(shape, StrEnum):
        values += [", ".join(f"`{member.value}`" for member in shape)]
    return [f"### {shape.__name__}", "", " ".join((shape.__doc__ or "").split()), *values]


def _members(union: Any) -> list[type[BaseModel]]:
    return list(get_args(get_args(union)[0]))


def _doc(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or "").split())


if __name__ == "__main__":
    sys.exit(main())
