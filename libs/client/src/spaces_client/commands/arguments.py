"""What people write after a command, as values: pure, apart from reading a prompt from standard input."""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from spaces_client.errors import SpacesError


class UsageError(SpacesError):
    """The command line does not say something that can be done."""

    def __init__(self, message: str, what_to_do: str) -> None:
        super().__init__("usage", message, what_to_do=what_to_do)


def parse_parameters(pairs: Iterable[str], document: str | None = None) -> dict[str, Any]:
    """The parameters of a request: a JSON object, then `name=value` pairs, whose values are JSON where they can be."""
    parameters = _object(document) if document else {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise UsageError(
                f"{pair!r} is not name=value.", "Write for example -p temperature=0.7."
            )
        parameters[name] = _value(value)
    return parameters


def _object(document: str) -> dict[str, Any]:
    try:
        value = json.loads(document)
    except ValueError as error:
        raise UsageError(
            f"--parameters is not JSON: {error}.", "Write for example '{\"temperature\": 0.7}'."
        ) from None
    if not isinstance(value, dict):
        raise UsageError("--parameters is not a JSON object.", "Put braces around it.")
    return value


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def read_prompt(prompt: str | None, prompt_file: Path | None) -> str | None:
    """The prompt: as given, from standard input for `-`, or from a file."""
    if prompt is not None and prompt_file is not None:
        raise UsageError("There is a prompt and a prompt file.", "Give one of them.")
    if prompt == "-":
        return sys.stdin.read()
    if prompt_file is None:
        return prompt
    try:
        return prompt_file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UsageError(f"{prompt_file} cannot be read: {error}.", "Give a text file.") from None


def changes(**given: Any) -> dict[str, Any]:
    """The options that were given."""
    return {name: value for name, value in given.items() if value is not None}
