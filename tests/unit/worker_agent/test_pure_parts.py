"""Frames, stored chunks, backoff, addresses, deaths: the small pure modules."""

import json
import random
import signal
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces_contracts.connections import LEASE_S
from spaces_contracts.files import FileRef, InputKind
from spaces_contracts.problems import Code, Problem
from spaces_contracts.worker_socket import (
    Accepted,
    InferenceChunk,
    InferenceProgress,
    InferenceResult,
    Refused,
    read_from_worker,
)
from spaces_worker_agent.addresses import (
    AddressError,
    origin_url,
    proxy_for,
    socket_url,
    without_password,
)
from spaces_worker_agent.attempts import Accept, Chunks, Key, Progress, Refuse, Result
from spaces_worker_agent.backoff import EARLY_CAP_S, EARLY_TRIES, Backoff
from spaces_worker_agent.death import describe_death
from spaces_worker_agent.gpus import parse_gpus
from spaces_worker_agent.stored_chunks import StoredChunks
from spaces_worker_agent.wire import encode

SPACE = "s" * 26
KEY = Key("r" * 26, 3)
NOW = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.integers(1, 10**6), st.lists(json_values, min_size=1, max_size=5))
def test_chunk_frames_fit_the_contract(n: int, values: list[object]) -> None:
    frame = read_from_worker(encode(Chunks(KEY, SPACE, n, tuple(map(json.dumps, values)))))
    assert isinstance(frame, InferenceChunk)
    assert (frame.request_id, frame.attempt, frame.n, frame.data) == (*KEY, n, values)


@given(json_values, st.floats(0, 1e6), st.booleans())
def test_result_frames_fit_the_contract(value: object, seconds: float, failed: bool) -> None:
    file = FileRef(
        file_id="f" * 26,
        name='a"b',
        kind=InputKind.FILE,
        media_type="x/y",
        size_bytes=1,
        sha256="0",
    )
    error = Problem(code=Code.HANDLER_FAILED, message='said "no"\n') if failed else None
    result = Result(
        key=KEY,
        space_id=SPACE,
        status="failed" if failed else "succeeded",
        timestamp=NOW,
        output_json=json.dumps(value),
        output_files=(file,),
        error=error,
        last_n=7,
        processing_time_seconds=seconds,
    )
    frame = read_from_worker(encode(result))
    assert isinstance(frame, InferenceResult)
    assert (frame.output, frame.output_files, frame.error) == (value, [file], error)
    assert (frame.timestamp, frame.last_n, frame.space_id) == (NOW, 7, SPACE)
    assert frame.processing_time_seconds == seconds


def test_the_other_frames_fit_the_contract() -> None:
    accepted = read_from_worker(encode(Accept(KEY, SPACE)))
    assert accepted == Accepted(request_id=KEY.request_id, attempt=KEY.attempt)
    refused = read_from_worker(encode(Refuse(KEY, SPACE, Problem(code=Code.GOING_AWAY))))
    assert isinstance(refused, Refused)
    assert refused.code is Code.GOING_AWAY
    progress = read_from_worker(encode(Progress(KEY, SPACE, 12.5, None)))
    assert isinstance(progress, InferenceProgress)
    assert (progress.percent, progress.message) == (12.5, None)


@given(st.integers(1, 50), st.lists(st.integers(1, 9), min_size=1, max_size=12), st.randoms())
def test_stored_chunks_acknowledge_only_what_has_no_gap(
    first: int, counts: list[int], chance: random.Random
) -> None:
    batches, n = [], first
    for count in counts:
        batches.append((n, count))
        n += count
    chance.shuffle(batches)
    stored = StoredChunks(first)
    have: set[int] = set()
    for start, count in batches:
        have.update(range(start, start + count))
        last = stored.stored(start, count)
        expected = first - 1
        while expected + 1 in have:
            expected += 1
        assert last == expected
        assert stored.stored(start, count) == expected, "a repeat changes nothing"


@given(st.integers(0, 60), st.floats(0, 1, exclude_max=True), st.floats(0, 100))
def test_the_backoff_stays_within_its_ceiling(tries: int, chance: float, floor: float) -> None:
    backoff = Backoff(0.5, 30.0, lambda: chance)
    waits = [backoff.next_s(floor) for _ in range(tries + 1)]
    assert all(floor <= wait <= floor + 30.0 for wait in waits)
    assert waits[0] <= floor + 0.5
    backoff.reset()
    assert backoff.next_s() == 0.5 * chance


def test_an_agent_comes_back_within_its_lease_when_its_gateway_restarts() -> None:
    backoff = Backoff(0.5, 30.0, lambda: 0.999)
    assert max(backoff.next_s() for _ in range(EARLY_TRIES)) < EARLY_CAP_S < LEASE_S
    assert backoff.next_s() > EARLY_CAP_S


def test_an_agent_comes_back_soon_after_any_outage_of_its_gateway() -> None:
    backoff = Backoff(chance=lambda: 0.999)
    waits = [backoff.next_s() for _ in range(100)]
    assert max(waits) < LEASE_S
    assert all(later <= 2.01 * wait for wait, later in pairwise(waits))


@pytest.mark.parametrize(
    ("given_", "socket", "origin"),
    [
        ("https://a.b", "wss://a.b/ws/worker", "https://a.b"),
        ("http://a.b:8080/", "ws://a.b:8080/ws/worker", "http://a.b:8080"),
        ("wss://a.b/ws/worker", "wss://a.b/ws/worker", "https://a.b"),
        ("ws://a.b/prefix", "ws://a.b/prefix/ws/worker", "http://a.b/prefix"),
        (" https://[::1]:9/ws/worker/ ", "wss://[::1]:9/ws/worker", "https://[::1]:9"),
    ],
)
def test_any_form_of_the_gateways_address_is_understood(
    given_: str, socket: str, origin: str
) -> None:
    assert (socket_url(given_), origin_url(given_)) == (socket, origin)


@pytest.mark.parametrize(
    ("given_", "words"),
    [
        ("gateway.example", "write https://gateway.example"),
        ("ftp://a.b", "the scheme is one of"),
        ("https://", "has no host"),
        ("https://u:p@a.b", "holds no credentials"),
        ("https://a.b:port", "the port is a number"),
    ],
)
def test_a_wrong_address_says_what_to_write(given_: str, words: str) -> None:
    with pytest.raises(AddressError, match=words):
        socket_url(given_)


@pytest.mark.parametrize(
    ("url", "environ", "proxy"),
    [
        ("wss://a.b/x", {}, None),
        ("wss://a.b/x", {"HTTPS_PROXY": "http://p:3128"}, "http://p:3128"),
        ("wss://a.b/x", {"https_proxy": "p:3128"}, "http://p:3128"),
        ("ws://a.b/x", {"HTTPS_PROXY": "http://p:3128"}, None),
        ("ws://a.b/x", {"http_proxy": "http://p:3128"}, "http://p:3128"),
        ("https://a.b", {"ALL_PROXY": "socks5://p:1080"}, "socks5://p:1080"),
        ("https://a.b", {"ALL_PROXY": "http://p", "NO_PROXY": "x.y, a.b"}, None),
        ("https://s.a.b", {"ALL_PROXY": "http://p", "no_proxy": ".a.b"}, None),
        ("https://s.a.b", {"ALL_PROXY": "http://p", "no_proxy": "*.a.b"}, None),
        ("https://sa.b", {"ALL_PROXY": "http://p", "no_proxy": "a.b"}, "http://p"),
        ("https://a.b:8443", {"ALL_PROXY": "http://p", "no_proxy": "a.b:8443"}, None),
        ("https://a.b", {"ALL_PROXY": "http://p", "no_proxy": "*"}, None),
    ],
)
def test_the_proxy_comes_from_the_environment(
    url: str, environ: dict[str, str], proxy: str | None
) -> None:
    assert proxy_for(url, environ) == proxy


def test_a_proxys_password_is_not_shown() -> None:
    assert without_password("http://u:secret@p:3128") == "http://***@p:3128"
    assert without_password("http://p:3128") == "http://p:3128"


def test_deaths_are_described() -> None:
    assert describe_death(0, out_of_memory=False) == "exited with status 0"
    assert describe_death(-signal.SIGKILL, out_of_memory=True).startswith("ran out of memory")
    assert "memory ran out" in describe_death(-signal.SIGKILL, out_of_memory=False)
    assert describe_death(-signal.SIGUSR1, out_of_memory=True) == "died of SIGUSR1"
    assert describe_death(-63, out_of_memory=False) == "died of signal 63"
    assert describe_death(None, out_of_memory=False) == "vanished"


def test_gpus_are_read_from_nvidia_smi() -> None:
    text = "NVIDIA H100 80GB HBM3, 81559, 550.54\nodd line\nTesla, [N/A], 1\n"
    first, second = parse_gpus(text)
    assert (first.name, first.vram_gib, first.driver) == ("NVIDIA H100 80GB HBM3", 79.6, "550.54")
    assert second.vram_gib is None
