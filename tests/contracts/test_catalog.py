"""The catalog is complete and its subjects do not collide."""

import inspect
from types import ModuleType

import pytest

from spaces_contracts import access, audit, connections, requests, spaces, users
from spaces_contracts.catalog import CATALOG, Entry
from spaces_contracts.message import Command, Message
from spaces_contracts.problems import KINDS, Code


@pytest.mark.parametrize("module", [access, audit, connections, requests, spaces, users])
def test_every_message_class_is_in_the_catalog(module: ModuleType) -> None:
    defined = {
        value
        for _, value in inspect.getmembers(module, inspect.isclass)
        if issubclass(value, Message)
        and value not in (Message, Command, access.Act)
        and value.__module__ == module.__name__
    }
    assert defined <= {entry.message for entry in CATALOG}


def test_no_two_messages_share_a_subject() -> None:
    templates = [entry.message.subject.template for entry in CATALOG]
    assert len(templates) == len(set(templates))


@pytest.mark.parametrize("entry", CATALOG, ids=lambda entry: entry.message.__name__)
def test_the_fields_of_a_subject_are_fields_of_the_message(entry: Entry) -> None:
    assert set(entry.message.subject.fields) <= set(entry.message.model_fields)


@pytest.mark.parametrize("code", list(Code))
def test_every_code_says_what_to_do(code: Code) -> None:
    kind = KINDS[code]
    assert kind.title
    assert kind.what_to_do.endswith(".")
    assert 400 <= kind.status < 600
