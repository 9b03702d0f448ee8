"""Messages: one class each, and the class carries its subject.

Fields are only added, each with a default; a new meaning is a new class and subject.
Unknown fields are ignored on reading, so an older process understands a newer one.
"""

from typing import Any, ClassVar, Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict

from spaces_contracts.subject import Subject


class Contract(BaseModel):
    """Anything that crosses a process boundary: frozen, tolerant of fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="constants")


class Message(Contract):
    """What is published on a subject.

    Fields named in the subject's template are fields of the class.
    """

    subject: ClassVar[Subject]

    def address(self) -> str:
        """The subject to publish this message on."""
        return self.subject.fill(self.__dict__)

    def encode(self) -> bytes:
        """The bytes on the wire: one JSON object."""
        return self.model_dump_json(exclude_defaults=True).encode()

    @classmethod
    def decode(cls, body: bytes, subject: str | None = None) -> Self:
        """Reads a message; what the subject says wins over what the body says.

        A sender is only trusted with what the broker checked, and the broker checks subjects.
        The subject's fields go last because the last of two equal keys wins.
        """
        if subject is not None and cls.subject.fields:
            body = _with_fields(body, cls.subject.parse(subject))
        return cls.model_validate_json(body)


class Reply(Contract):
    """The answer to a command."""

    def encode(self) -> bytes:
        """The bytes on the wire: one JSON object."""
        return self.model_dump_json(exclude_defaults=True).encode()


class Done(Reply):
    """A command was carried out and there is nothing to tell."""


R = TypeVar("R", bound=Reply)


class Command(Message, Generic[R]):
    """A message that wants an answer of one class, or a problem."""

    reply: ClassVar[type[Reply]]

    # The type variable only ties `request()` to the reply's class; pydantic must not build a model
    # per parameter.
    @classmethod
    def __class_getitem__(cls, item: Any) -> Any:
        return cls


def _with_fields(body: bytes, fields: dict[str, str]) -> bytes:
    inner = body.strip()
    if not (inner.startswith(b"{") and inner.endswith(b"}")):
        return body  # not an object: validation says so
    # A subject's tokens need no quoting: the templates let none of the characters in that would.
    members = ",".join([f'"{name}":"{value}"' for name, value in fields.items()]).encode() + b"}"
    return inner[:-1].rstrip() + (b"," if inner[1:-1].strip() else b"") + members
