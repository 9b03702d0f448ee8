"""Random and broken frames on the real sockets: the gateway ends each connection, says nothing, and serves the others.

2,000 connections in the suite; 100,000 in the long form, in shards (`-k shard`).
"""

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from tests.conformance.websocket.broken_frames import PIECES
from tests.conformance.websocket.conftest import Note
from tests.conformance.websocket.live_gateway import CLIENT, WORKER, LiveGateway
from tests.conformance.websocket.log_check import MOST_BYTES

# The neighbour's thread makes its masks from `random` while frames are drawn.
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module")
_SHORT, _SHARD, _SHARDS = 1_000, 5_000, 10
_LOOK_EACH = 200
_SIGN_IN_EACH = 20  # a sign-in costs a transaction


class Attack:
    """Connections to one socket, each fed and read to its end."""

    def __init__(self, live: LiveGateway, path: str) -> None:
        self._live, self._path = live, path
        self.connections = self.frames = 0
        live.log.restart()

    def feed(self, pieces: list[bytes]) -> None:
        """One connection."""
        self.connections += 1
        self.frames += len(pieces)
        known = self.connections % _SIGN_IN_EACH == 0
        enter = self._live.signed_in if known else self._live.opened
        peer = enter(self._path)
        for piece in pieces:
            peer.send(piece)
        peer.ended()  # times out unless the gateway hangs up
        if self.connections % _LOOK_EACH == 0:
            self._live.assert_neighbours_are_well()

    def judge(self, note: Note, form: str) -> None:
        """Nobody was hurt and little was written."""
        self._live.assert_neighbours_are_well()
        problems = self._live.log.problems()
        log_bytes = round(self._live.log.bytes_each(self.frames), 1)
        row = {"socket": self._path, "form": form, "connections": self.connections}
        row |= {"frames": self.frames, "failed": len(problems), "tracebacks": len(problems)}
        note("fuzz", row | {"log_bytes": log_bytes})
        assert problems == []
        assert log_bytes <= MOST_BYTES


def _run(attack: Attack, examples: int, number: int) -> None:
    def feed(pieces: list[bytes]) -> None:
        attack.feed(pieces)

    test: Callable[[], None] = seed(number)(
        settings(
            max_examples=examples,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )(given(st.lists(PIECES, min_size=1, max_size=6))(feed))
    )
    test()


@pytest.mark.parametrize("path", [CLIENT, WORKER])
def test_broken_frames_hurt_nobody(live: LiveGateway, path: str, note: Note) -> None:
    attack = Attack(live, path)
    _run(attack, _SHORT, 1)
    attack.judge(note, "short")
    assert attack.connections >= _SHORT


@pytest.mark.timeout(400)
@pytest.mark.usefixtures("only_long")
@pytest.mark.parametrize("shard", [f"shard{n:02}" for n in range(_SHARDS)])
@pytest.mark.parametrize("path", [CLIENT, WORKER])
def test_many_broken_frames_hurt_nobody(
    live: LiveGateway, path: str, note: Note, shard: str
) -> None:
    attack = Attack(live, path)
    _run(attack, _SHARD, 100 + int(shard.removeprefix("shard")))
    attack.judge(note, shard)
    assert attack.connections >= _SHARD
