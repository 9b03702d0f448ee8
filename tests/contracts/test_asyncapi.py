"""The AsyncAPI document is one: valid by the specification's own schema, complete, and without a dangling reference.

The schema is asyncapi/spec-json-schemas' `schemas/3.0.0-without-$id.json` (Apache License 2.0), unchanged.
"""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from spaces_contracts import asyncapi
from spaces_contracts.catalog import CATALOG
from spaces_contracts.permissions import FRAME_RULES

SCHEMA = Path(__file__).parent / "vendor" / "asyncapi-3.0.0.json.gz"
MADE: dict[str, Any] = json.loads(json.dumps(asyncapi.document("1.2.3")))


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def found(reference: str) -> Any:
    node: Any = MADE
    for step in reference.removeprefix("#/").split("/"):
        node = node[step]
    return node


def test_it_is_valid() -> None:
    schema = json.loads(gzip.decompress(SCHEMA.read_bytes()))
    validator = jsonschema_rs.Draft7Validator(schema)
    assert [error.message[:200] for error in validator.iter_errors(MADE)] == []


def test_a_document_with_a_wrong_action_is_not_valid() -> None:
    schema = json.loads(gzip.decompress(SCHEMA.read_bytes()))
    wrong = json.loads(json.dumps(MADE))
    wrong["operations"]["Submit"]["action"] = "shout"
    assert not jsonschema_rs.Draft7Validator(schema).is_valid(wrong)


def test_every_reference_leads_somewhere() -> None:
    for reference in set(references(MADE)):
        found(reference)


def test_every_message_and_frame_is_in_it() -> None:
    addresses = {channel["address"] for channel in MADE["channels"].values()}
    assert addresses >= {entry.message.subject.template for entry in CATALOG}
    received = {
        key.rpartition(".")[2]
        for key, operation in MADE["operations"].items()
        if operation["action"] == "receive" and "socket." in key
    }
    assert received == set(FRAME_RULES)


@pytest.mark.parametrize("name", [entry.message.__name__ for entry in CATALOG])
def test_a_payload_has_a_schema_of_its_fields(name: str) -> None:
    entry = next(entry for entry in CATALOG if entry.message.__name__ == name)
    schema = found(MADE["components"]["messages"][name]["payload"]["$ref"])
    assert set(schema.get("properties", {})) == set(entry.message.model_fields)
