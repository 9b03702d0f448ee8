"""Messages that travel together: nothing lost, nothing mixed up, nothing too large, in order."""

import json

from hypothesis import given
from hypothesis import strategies as st

from spaces_chassis.bus.sequences import MAX_BYTES, Collector, join, split

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
TEXTS = st.lists(JSON.map(lambda value: json.dumps(value, ensure_ascii=False).encode()), min_size=1)


@given(TEXTS)
def test_what_is_joined_is_split_again(texts: list[bytes]) -> None:
    assert split(join(texts)) == texts


def test_a_single_text_travels_as_it_is() -> None:
    assert join([b"{}"]) == b"{}"
    assert split(b"") == [b""]


def test_a_sequence_is_as_rfc_7464_has_it() -> None:
    assert join([b"1", b"2"]) == b"\x1e1\n\x1e2\n"


class Sent:
    """What a collector sent."""

    def __init__(self) -> None:
        self.bodies: list[tuple[str, str | None, bytes]] = []
        self.collector = Collector(self)

    def __call__(self, subject: str, body: bytes, reply_to: str | None) -> None:
        self.bodies.append((subject, reply_to, body))


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([None, "r"]))))
def test_each_subject_and_answer_address_keeps_its_order(
    published: list[tuple[str, str | None]],
) -> None:
    sent = Sent()
    for number, (subject, reply_to) in enumerate(published):
        sent.collector.add(subject, str(number).encode(), reply_to)
    sent.collector.flush()
    for key in set(published):
        numbers = [
            int(text)
            for subject, reply_to, body in sent.bodies
            if (subject, reply_to) == key
            for text in split(body)
        ]
        assert numbers == [number for number, other in enumerate(published) if other == key]
    assert not sent.collector
    assert sent.collector.bytes == 0


def test_a_sequence_ends_before_it_is_too_large() -> None:
    sent = Sent()
    text = b"1" * (MAX_BYTES // 4)
    for _ in range(10):
        sent.collector.add("a", text, None)
    assert sent.collector.bytes <= MAX_BYTES
    sent.collector.flush()
    assert [len(split(body)) for _, _, body in sent.bodies] == [4, 4, 2]


def test_a_text_that_is_larger_than_any_sequence_goes_alone() -> None:
    sent = Sent()
    sent.collector.add("a", b"1" * 2 * MAX_BYTES, None)
    sent.collector.add("a", b"2", None)
    sent.collector.flush()
    assert [len(split(body)) for _, _, body in sent.bodies] == [1, 1]


def test_what_is_dropped_is_not_sent() -> None:
    sent = Sent()
    sent.collector.add("a", b"1", None)
    sent.collector.drop()
    sent.collector.flush()
    assert sent.bodies == []
    assert not sent.collector
