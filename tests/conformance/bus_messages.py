"""Messages of the bus's tests; no service knows them."""

from typing import ClassVar

from spaces_contracts.message import Command, Message, Reply
from spaces_contracts.subject import Subject


class Greeted(Message):
    """Somebody was greeted."""

    subject: ClassVar[Subject] = Subject("hb.gw.{who}")
    who: str
    number: int = 0


class Sum(Reply):
    """The answer to Add."""

    total: int
    by: str = ""


class Add(Command[Sum]):
    """Adds two numbers."""

    subject: ClassVar[Subject] = Subject("rpc.sched.add")
    reply: ClassVar[type[Sum]] = Sum
    a: int
    b: int


class Happened(Message):
    """An event that is stored."""

    subject: ClassVar[Subject] = Subject("evt.{space}.{request}")
    space: str
    request: str
    number: int = 0


class Delivered(Message):
    """Reached under a connection's route."""

    subject: ClassVar[Subject] = Subject("{route}.job")
    route: str
    number: int = 0
