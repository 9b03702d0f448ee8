"""The one place in the tests that waits by looking again."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import TypeVar, overload

T = TypeVar("T")
_POLL_S = 0.01


@overload
async def eventually(predicate: Callable[[], Awaitable[T]], timeout_s: float = 5.0) -> T: ...
@overload
async def eventually(predicate: Callable[[], T], timeout_s: float = 5.0) -> T: ...
async def eventually(predicate: Callable[[], T | Awaitable[T]], timeout_s: float = 5.0) -> T:
    """The predicate's first true answer. Raises AssertionError with its last answer after `timeout_s`."""
    until = asyncio.get_running_loop().time() + timeout_s
    while True:
        answer = predicate()
        if inspect.isawaitable(answer):
            answer = await answer
        if answer:
            return answer
        if asyncio.get_running_loop().time() > until:
            raise AssertionError(f"not so within {timeout_s} s; the last answer was {answer!r}")
        await asyncio.sleep(_POLL_S)
