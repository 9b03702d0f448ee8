"""The load generator reads what servers send, however the network cut it."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.load.http_answers import Answer, AnswerReader, BadAnswer, request

LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\ncontent-type: text/plain\r\n\r\nhello"
EMPTY = b"HTTP/1.1 202 Accepted\r\nx: y\r\ncontent-length: 0\r\n\r\n"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nevent \r\n3\r\none\r\n0\r\n\r\n"
)


def test_an_answer_with_a_length_is_given_whole() -> None:
    assert list(AnswerReader().feed(LENGTH)) == [Answer(200, b"hello")]


def test_an_answer_without_a_body_is_given_at_once() -> None:
    assert list(AnswerReader().feed(EMPTY)) == [Answer(202, b"")]


def test_pieces_of_a_chunked_answer_are_given_as_they_come_and_the_last_says_so() -> None:
    assert list(AnswerReader().feed(CHUNKED)) == [
        Answer(200, b"event ", done=False),
        Answer(200, b"one", done=False),
        Answer(200, b""),
    ]


@given(st.lists(st.integers(0, len(LENGTH + CHUNKED + EMPTY + LENGTH)), max_size=12))
def test_where_the_network_cuts_does_not_matter(cuts: list[int]) -> None:
    stream = LENGTH + CHUNKED + EMPTY + LENGTH
    places = [0, *sorted(cuts), len(stream)]
    reader = AnswerReader()
    answers = [
        answer
        for first, last in itertools.pairwise(places)
        for answer in reader.feed(stream[first:last])
    ]
    assert [answer.status for answer in answers if answer.done] == [200, 200, 202, 200]
    assert b"".join(answer.body for answer in answers) == b"helloevent onehello"


@pytest.mark.parametrize(
    "wrong",
    [b"SSH-2.0-OpenSSH\r\n\r\n", b"HTTP/1.1 200 OK\r\nserver: x\r\n\r\n"],
    ids=["another protocol", "no length"],
)
def test_what_cannot_be_read_is_an_error(wrong: bytes) -> None:
    with pytest.raises(BadAnswer):
        list(AnswerReader().feed(wrong))


def test_a_request_carries_its_length_and_headers() -> None:
    text = request("POST", "/x?wait=30", {"authorization": "Bearer k"}, b"{}")
    head, _, body = text.partition(b"\r\n\r\n")
    assert head.splitlines()[0] == b"POST /x?wait=30 HTTP/1.1"
    assert b"authorization: Bearer k" in head.splitlines()
    assert b"content-length: 2" in head.splitlines()
    assert body == b"{}"
    assert b"content-length" not in request("GET", "/x", {})
