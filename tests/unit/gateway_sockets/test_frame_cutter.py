"""Frames are cut where they end, however the bytes come."""

from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from spaces_gateway.sockets.frame_cutter import FrameCutter

MAX = 70_000
SIZES = st.sampled_from([0, 1, 125, 126, 127, 65_535, 65_536, MAX, MAX + 1])
FRAMES = st.builds(
    lambda opcode, fin, size, mask: (Frame(opcode, b"x" * size, fin), mask),
    st.sampled_from([Opcode.TEXT, Opcode.BINARY, Opcode.CONT, Opcode.PING]),
    st.booleans(),
    SIZES,
    st.booleans(),
)


def written(frame: Frame, mask: bool) -> bytes:
    # As `Frame.serialize`, which refuses control frames that are too large; a peer may send them.
    first = (0x80 if frame.fin else 0) | frame.opcode
    size = len(frame.data)
    small = min(size, 126) if size < 65_536 else 127
    length = b"" if size < 126 else size.to_bytes(2 if size < 65_536 else 8, "big")
    head = bytes([first, small | (0x80 if mask else 0)]) + length
    return head + (b"\0\0\0\0" if mask else b"") + frame.data


@given(st.lists(FRAMES, max_size=5), st.lists(st.integers(1, 70_000), max_size=8))
def test_nothing_is_lost_or_moved(frames: list[tuple[Frame, bool]], steps: list[int]) -> None:
    data = b"".join(written(*frame) for frame in frames)
    cutter, out, rest = FrameCutter(MAX), b"", data
    for step in [*steps, len(data)]:
        for piece in cutter.cut(rest[:step]):
            out += piece.raw
            if piece.payload_at:
                assert piece.raw in [written(*frame) for frame in frames]
        rest = rest[step:]
    assert out == data


@given(st.lists(FRAMES, min_size=1, max_size=5))
def test_exactly_whole_final_masked_text_frames_are_plain(frames: list[tuple[Frame, bool]]) -> None:
    data = b"".join(written(*frame) for frame in frames)
    pieces = FrameCutter(MAX).cut(data)
    assert [piece.raw for piece in pieces] == [written(*frame) for frame in frames]
    for piece, (frame, mask) in zip(pieces, frames, strict=True):
        plain = frame.opcode is Opcode.TEXT and frame.fin and mask and len(frame.data) <= MAX
        assert bool(piece.payload_at) is plain
        if plain:
            assert piece.raw[piece.payload_at :] == frame.data


@given(st.binary(max_size=40), st.lists(st.integers(1, 5), max_size=20))
def test_bytes_that_make_no_sense_reach_the_parser_in_order(data: bytes, steps: list[int]) -> None:
    cutter, out, rest = FrameCutter(MAX), b"", data
    for step in [*steps, len(data)]:
        out += b"".join(piece.raw for piece in cutter.cut(rest[:step]))
        rest = rest[step:]
    assert data.startswith(out)
    assert len(data) - len(out) < 14  # a frame's head


def test_a_frame_that_comes_byte_by_byte_is_left_to_the_parser() -> None:
    data = written(Frame(Opcode.TEXT, b"hello"), True)
    cutter = FrameCutter(MAX)
    pieces = [piece for byte in data for piece in cutter.cut(bytes([byte]))]
    assert b"".join(piece.raw for piece in pieces) == data
    assert not any(piece.payload_at for piece in pieces)
    assert cutter.cut(data)[0].payload_at == 6
