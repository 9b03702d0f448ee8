"""However a stream of good frames is cut into reads, every message is echoed whole and in order.

The gateway reads plain text frames past the library's parser: where one read ends must not matter to either.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conformance.websocket.conftest import EchoServer, Note
from tests.conformance.websocket.raw_socket import BINARY, CONT, PING, PONG, TEXT, RawSocket, frame

_EXAMPLES = 300
# Around the sizes where the length takes more bytes, and where a read ends.
_SIZES = st.sampled_from(
    [0, 1, 5, 60, 124, 125, 126, 127, 300, 1000, 65_534, 65_535, 65_536, 70_000]
)


@dataclass(frozen=True)
class Spoken:
    """What is sent, and the frames that must come back."""

    sent: bytes
    wanted: tuple[tuple[int, bytes], ...]


def _whole(opcode: int, size: int) -> Spoken:
    payload = _payload(opcode, size)
    return Spoken(frame(opcode, payload), ((opcode, payload),))


def _in_pieces(opcode: int, size: int, parts: int, pinged: bool) -> Spoken:
    payload = _payload(opcode, size)
    step = max(1, -(-len(payload) // parts))
    pieces = [payload[at : at + step] for at in range(0, len(payload), step)] or [b""]
    sent = b""
    for number, piece in enumerate(pieces):
        last = number == len(pieces) - 1
        sent += frame(CONT if number else opcode, piece, fin=last)
        if pinged and not last:
            sent += frame(PING, b"within")
    pongs = ((PONG, b"within"),) * (len(pieces) - 1 if pinged else 0)
    return Spoken(sent, (*pongs, (opcode, payload)))


def _payload(opcode: int, size: int) -> bytes:
    letters = "aé€😀".encode()  # of one to four bytes, so that a cut falls within one
    text = (letters * (size // len(letters) + 1))[:size]
    if opcode == BINARY:
        return bytes(reversed(text))
    return text.decode(errors="ignore").encode()


_KINDS = st.sampled_from([TEXT, TEXT, BINARY])
_SPOKEN = st.one_of(
    st.builds(_whole, _KINDS, _SIZES),
    st.builds(_in_pieces, _KINDS, _SIZES, st.integers(2, 4), st.booleans()),
    st.just(Spoken(frame(PING, b"between"), ((PONG, b"between"),))),
    st.just(Spoken(frame(PONG, b"unasked"), ())),
)


def _chopped(data: bytes, cuts: Sequence[float]) -> list[bytes]:
    places = [0, *sorted({int(len(data) * cut) for cut in cuts}), len(data)]
    return [data[a:b] for a, b in pairwise(places) if a < b]


def test_messages_survive_any_chops(echo_server: EchoServer, note: Note) -> None:
    echo_server.log.restart()

    @settings(
        max_examples=_EXAMPLES,
        database=None,
        derandomize=True,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(
        st.lists(_SPOKEN, min_size=1, max_size=6),
        st.lists(st.floats(0, 1), max_size=8),
    )
    def echoed(spoken: list[Spoken], cuts: list[float]) -> None:
        peer = RawSocket(echo_server.port, "/ws", at_once=True)
        for chop in _chopped(b"".join(one.sent for one in spoken), cuts):
            peer.send(chop)
        wanted = [answer for one in spoken for answer in one.wanted]
        assert [peer.next() for _ in wanted] == wanted
        peer.close()

    echoed()
    problems = echo_server.log.problems()
    note("chops", {"socket": "/ws", "cases": _EXAMPLES, "failed": 0, "tracebacks": len(problems)})
    assert problems == []
