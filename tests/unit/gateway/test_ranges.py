"""Ranges of bytes."""

from hypothesis import given
from hypothesis import strategies as st

from spaces_gateway.files.ranges import read_range


@given(st.text(max_size=30), st.integers(0, 10**6))
def test_any_header_gives_a_part_inside_the_file_or_the_whole(header: str, size: int) -> None:
    part = read_range(header, size)
    assert part is None or 0 <= part.start < part.end <= size


@given(st.integers(0, 99), st.integers(0, 99), st.integers(1, 100))
def test_a_range_names_its_first_and_last_byte(first: int, last: int, size: int) -> None:
    part = read_range(f"bytes={first}-{last}", size)
    wanted = range(size)[first : last + 1]
    assert (part is None) == (len(wanted) == 0)
    if part is not None:
        assert (part.start, part.end - 1) == (wanted[0], wanted[-1])


@given(st.integers(0, 200), st.integers(0, 100))
def test_a_suffix_names_the_last_bytes(length: int, size: int) -> None:
    part = read_range(f"bytes=-{length}", size)
    wanted = range(size)[-length:] if length else range(0)
    assert (part is None) == (len(wanted) == 0)
    if part is not None:
        assert (part.start, part.end) == (wanted[0], size)
