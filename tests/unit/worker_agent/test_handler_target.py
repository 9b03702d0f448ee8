"""Which handlers share a process."""

import functools
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from spaces_worker_agent.handler_target import is_async
from spaces_worker_agent.upstream import URL, Model


def plain(_request: object) -> None: ...


async def function(_request: object) -> None: ...


async def generator(_request: object) -> AsyncIterator[str]:
    yield "x"


class AsyncObject:
    async def __call__(self, _request: object) -> None: ...


class Plain:
    def handle(self, _request: object) -> None: ...


class Async:
    async def handle(self, _request: object) -> None: ...


class AsyncAlone(Async):
    concurrent = False


@pytest.mark.parametrize(
    ("handler", "expected"),
    [
        (plain, False),
        (function, True),
        (generator, True),
        (functools.partial(function, None), True),
        (AsyncObject(), True),
        (Plain().handle, False),
        (Async().handle, True),
        (AsyncAlone().handle, False),
        (Model({URL: "http://127.0.0.1:9"}).handle, True),
    ],
)
def test_async_handlers_share_a_process_unless_they_say_otherwise(
    handler: Callable[..., Any], expected: bool
) -> None:
    assert is_async(handler) is expected
