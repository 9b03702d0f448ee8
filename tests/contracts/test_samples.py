"""Messages once sent are understood for ever: each sample still parses and loses nothing."""

import json
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from spaces_contracts import client_socket, worker_socket
from spaces_contracts.catalog import CATALOG
from spaces_contracts.message import Command

SAMPLES = Path(__file__).parents[2] / "libs/contracts/samples"


def _frames(union: object) -> dict[str, type[BaseModel]]:
    return {frame.model_fields["type"].default: frame for frame in get_args(get_args(union)[0])}


FAMILIES: dict[str, dict[str, type[BaseModel]]] = {
    "messages": {entry.message.__name__: entry.message for entry in CATALOG},
    "replies": {
        entry.message.reply.__name__: entry.message.reply
        for entry in CATALOG
        if issubclass(entry.message, Command)
    },
    "from_worker": _frames(worker_socket.FromWorker),
    "to_worker": _frames(worker_socket.ToWorker),
    "from_client": _frames(client_socket.FromClient),
    "to_client": _frames(client_socket.ToClient),
}
FILES = sorted(SAMPLES.glob("*/*.json"))


def _keeps(read: Any, sent: Any) -> bool:
    """Whether all that was sent is there; an object may have members that came later."""
    if isinstance(sent, dict) and isinstance(read, dict):
        return all(name in read and _keeps(read[name], value) for name, value in sent.items())
    if isinstance(sent, list) and isinstance(read, list):
        return len(read) == len(sent) and all(map(_keeps, read, sent))
    return bool(read == sent)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_sample_parses_and_keeps_every_field(path: Path) -> None:
    model = FAMILIES[path.parent.name][path.name.split(".")[0]]
    text = path.read_text(encoding="utf-8")
    read = model.model_validate_json(text).model_dump(mode="json")
    assert _keeps(read, json.loads(text))


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_message_and_frame_has_a_sample(family: str) -> None:
    present = {path.name.split(".")[0] for path in (SAMPLES / family).glob("*.v1.json")}
    assert present == set(FAMILIES[family])


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_newer_sender_with_more_fields_is_understood(path: Path) -> None:
    model = FAMILIES[path.parent.name][path.name.split(".")[0]]
    newer = json.loads(path.read_text(encoding="utf-8")) | {"field_of_a_later_version": [1]}
    assert model.model_validate_json(json.dumps(newer)) == model.model_validate(newer)
