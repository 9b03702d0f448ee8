"""What a command shows: data on standard output, messages on standard error; for people or as JSON."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from rich.console import Console
from rich.table import Table

from spaces_client.errors import SpacesError


class Output:
    """Where a command writes. Rich leaves colour out for NO_COLOR and when nobody looks."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        self.data = Console(soft_wrap=True, highlight=False, markup=False, emoji=False)
        self.messages = Console(
            stderr=True, soft_wrap=True, highlight=False, markup=False, emoji=False
        )

    @property
    def live(self) -> bool:
        """Whether somebody watches the messages on a terminal."""
        return self.messages.is_terminal and not self.as_json

    def document(self, value: BaseModel | Mapping[str, Any]) -> None:
        """One line of JSON."""
        sys.stdout.write(json_line(value) + "\n")
        sys.stdout.flush()

    def text(self, text: str, end: str = "\n") -> None:
        """Data as it is: no wrapping, no colour."""
        sys.stdout.write(text + end)
        sys.stdout.flush()

    def say(self, message: str, style: str | None = None) -> None:
        """A message for people; not in JSON mode, whose reader wants documents only."""
        if not self.as_json:
            self.messages.print(message, style=style)

    def done(self, document: Mapping[str, Any], message: str) -> None:
        """What was done, when that is all there is to tell."""
        if self.as_json:
            self.document(document)
        else:
            self.say(message)

    def rows(self, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """A table for people; lines with tabs for programs."""
        cells = [[_cell(value) for value in row] for row in rows]
        if not self.data.is_terminal:
            for line in [list(columns), *cells]:
                self.text("\t".join(line))
            return
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in columns:
            table.add_column(column, overflow="fold")
        for line in cells:
            table.add_row(*line)
        self.data.print(table)

    def fields(self, values: Mapping[str, object]) -> None:
        """One thing, a line a field; unset fields are left out."""
        width = max((len(name) for name in values), default=0)
        for name, value in values.items():
            if value not in (None, "", []):
                self.text(f"{name.ljust(width)}  {_cell(value)}")

    def error(self, error: SpacesError) -> None:
        """What went wrong, its code, and what to do."""
        if self.as_json:
            sys.stderr.write(json.dumps({"error": error_document(error)}) + "\n")
            return
        self.messages.print(f"error: {error.message} [{error.code}]", style="red")
        for detail in _details(error):
            self.messages.print(f"  {detail}")
        if error.what_to_do:
            self.messages.print(f"what to do: {error.what_to_do}")


def json_line(value: BaseModel | Mapping[str, Any]) -> str:
    """One line of JSON."""
    if isinstance(value, BaseModel):
        return value.model_dump_json(exclude_none=True)
    return json.dumps(value, default=_plain, ensure_ascii=False)


def error_document(error: SpacesError) -> dict[str, Any]:
    """An error for programs."""
    return {
        "code": error.code,
        "message": error.message,
        "what_to_do": error.what_to_do,
        "retry": error.retry,
        "facts": error.facts,
    }


def _details(error: SpacesError) -> list[str]:
    fields = error.facts.get("errors")
    if not isinstance(fields, list):
        return []
    return [
        field if isinstance(field, str) else json.dumps(field, ensure_ascii=False)
        for field in fields
    ]


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else str(value)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value)
    return str(value)
