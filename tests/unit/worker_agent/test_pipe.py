"""Between agent and handler process: messages, the window of chunks, times that are due."""

import asyncio
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces_worker_agent.async_pipe import AsyncPipe
from spaces_worker_agent.due_times import DueTimes
from spaces_worker_agent.pipe import (
    HEADER,
    MAX_BODY_BYTES,
    BlockingPipe,
    Kind,
    Message,
    PipeClosed,
    Splitter,
    pack,
)
from spaces_worker_agent.window import WINDOW_CHARACTERS, WINDOW_CHUNKS, Window

messages = st.lists(
    st.tuples(st.sampled_from(Kind), st.integers(0, 2**32 - 1), st.binary(max_size=300))
)


@given(messages, st.lists(st.integers(1, 40)))
def test_messages_survive_any_cut(said: list[Message], cuts: list[int]) -> None:
    wire = b"".join(pack(Kind(kind), job, body) for kind, job, body in said)
    splitter = Splitter()
    heard: list[Message] = []
    at = 0
    for cut in [*cuts, len(wire)]:
        heard += splitter.feed(wire[at : at + cut])
        at += cut
    assert heard == said


def test_what_is_no_message_ends_the_pipe() -> None:
    with pytest.raises(PipeClosed):
        Splitter().feed(HEADER.pack(MAX_BODY_BYTES + 1, Kind.JOB, 1))


async def test_what_is_said_in_one_turn_is_written_together_and_in_order() -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    ended = asyncio.Event()
    heard: asyncio.Queue[Message] = asyncio.Queue()
    all_heard = asyncio.Event()
    pipe = AsyncPipe(lambda *message: heard.put_nowait(message), all_heard.set, ended.set)
    await asyncio.get_running_loop().create_connection(lambda: pipe, sock=ours)
    parts = [b"first"]
    pipe.send(lambda: pack(Kind.CHUNKS, 1, b"\n".join(parts)))
    parts.append(b"second")  # as long as the turn lasts
    pipe.send(pack(Kind.DONE, 1, b"end"))
    pipe.flush_soon()
    pipe.flush_soon()
    far = BlockingPipe(theirs)
    got = await asyncio.to_thread(far.receive)
    assert got == [(Kind.CHUNKS, 1, b"first\nsecond"), (Kind.DONE, 1, b"end")]
    far.send(pack(Kind.CANCEL, 7))
    assert await asyncio.wait_for(heard.get(), 5) == (Kind.CANCEL, 7, b"")
    assert all_heard.is_set()
    theirs.close()
    await asyncio.wait_for(ended.wait(), 5)
    pipe.send(b"nobody hears this")


async def test_a_pipe_that_brings_no_messages_is_closed() -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    ended = asyncio.Event()
    pipe = AsyncPipe(lambda *_: None, lambda: None, ended.set)
    await asyncio.get_running_loop().create_connection(lambda: pipe, sock=ours)
    with theirs:
        theirs.sendall(b"\xff" * 64)
        await asyncio.wait_for(ended.wait(), 5)


def test_the_window_closes_at_its_number_of_chunks() -> None:
    window = Window()
    for _ in range(WINDOW_CHUNKS - 1):
        assert window.sent(b"x")
    assert not window.sent(b"x")
    opened = []
    for stored in (1, None, 1, 5000):  # the third says the same again
        if stored is None:
            window.sent(b"x")
        else:
            window.stored(stored)
        opened.append(window.open)
    assert opened == [True, False, False, True]


def test_the_window_closes_at_its_number_of_characters() -> None:
    window = Window()
    assert window.sent(b"x" * (WINDOW_CHARACTERS - 1))
    assert not window.sent(b"x")
    window.stored(2)
    wide = "\N{MUSICAL SYMBOL G CLEF}" * (WINDOW_CHARACTERS // 4)
    assert window.sent(wide.encode()), "a character is one, however many bytes it takes"


def test_the_earliest_time_of_a_key_counts() -> None:
    times: DueTimes[str] = DueTimes()
    assert times.next() is None
    times.set("a", 5.0)
    times.set("a", 7.0)
    times.set("b", 6.0)
    times.set("b", 4.0)
    times.set("c", 1.0)
    times.drop("c")
    times.drop("nobody")
    assert times.next() == 4.0
    assert times.take(3.9) == []
    assert times.take(5.0) == ["b", "a"]
    assert times.next() is None
    times.set("a", 9.0)
    assert times.take(9.0) == ["a"]
