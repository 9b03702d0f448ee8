"""The load generator's frames are those of RFC 6455."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.server import ServerProtocol

from tests.bench.load.socket_frames import PING, TEXT, BadFrame, FrameReader, frame, upgrade


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536])
def test_a_server_reads_our_frames(size: int) -> None:
    server = ServerProtocol()
    server.receive_data(upgrade("/ws", "spaces.v1.json"))
    (handshake,) = server.events_received()
    assert handshake.path == "/ws"  # type: ignore[union-attr]  # a request, as it is the first event
    server.send_response(server.accept(handshake))  # type: ignore[arg-type]  # likewise
    server.receive_data(frame(b"x" * size))
    (event,) = server.events_received()
    assert event == Frame(Opcode.TEXT, b"x" * size)


@given(
    st.lists(st.binary(max_size=300), min_size=1, max_size=5),
    st.lists(st.integers(0, 400), max_size=8),
)
def test_a_servers_frames_are_read_wherever_the_network_cuts(
    payloads: list[bytes], cuts: list[int]
) -> None:
    stream = b"".join(
        Frame(Opcode.TEXT, payload).serialize(mask=False) for payload in payloads
    ) + Frame(Opcode.PING, b"p").serialize(mask=False)
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    reader = FrameReader()
    read = [
        got for first, last in itertools.pairwise(places) for got in reader.feed(stream[first:last])
    ]
    assert read == [*((TEXT, payload) for payload in payloads), (PING, b"p")]


def test_a_masked_frame_from_a_server_is_an_error() -> None:
    with pytest.raises(BadFrame):
        list(FrameReader().feed(Frame(Opcode.TEXT, b"x").serialize(mask=True)))


def test_a_fragment_is_an_error() -> None:
    with pytest.raises(BadFrame):
        list(FrameReader().feed(Frame(Opcode.TEXT, b"x", fin=False).serialize(mask=False)))
