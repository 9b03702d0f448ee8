"""What a client does, as a generator: it yields what to send and is sent what came back.

yield b"..."     sends, and gives the next answer (HTTP) or text frame (socket)
yield None       sends nothing, and gives the next answer, piece of one, or text frame
yield 0.05       gives None after that many seconds
yield IDLE       open loop only: gives the time at which the next request was due
"""

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any, Final

from tests.bench.load.recorder import Recorder


class Wrong(Exception):
    """An answer that is not the right one."""


class _Idle:
    """The client is free."""


IDLE: Final = _Idle()
Sent = bytes | float | None | _Idle
Steps = Generator[Sent, Any, None]
clock = time.perf_counter


@dataclass(frozen=True)
class Load:
    """What to send to whom, how much and for how long."""

    flow: str
    port: int
    clients: int = 64
    warm_s: float = 1.0
    seconds: float = 5.0
    rate: float = 0.0  # requests a second offered, evenly at random; 0: each client sends when it got its answer
    spaces: tuple[str, ...] = ()
    token: str = ""
    options: dict[str, str] = field(default_factory=dict)


# (load, client number, recorder) -> the steps of that client, without end
Flow = Callable[[Load, int, Recorder], Steps]

_FILL = "the quick brown fox jumps over the lazy dog while the band plays on and on and on; "


def prompt(client: int, number: int) -> str:
    """About 180 characters that no other request has: with the JSON around it the body has about 200 bytes."""
    return f"{client}-{number}-" + (_FILL * 3)[:165]
