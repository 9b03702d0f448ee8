"""The product's own endpoints: whoever breaks the protocol is answered by a proper close, and nobody else notices."""

from collections.abc import Callable

import pytest

from tests.conformance.websocket.autobahn import SHORT, SHORT_COUNT, as_client
from tests.conformance.websocket.conftest import Note
from tests.conformance.websocket.live_gateway import CLIENT, WORKER, LiveGateway
from tests.conformance.websocket.log_check import MOST_BYTES
from tests.conformance.websocket.raw_socket import PING, PONG, RawSocket, frame
from tests.conformance.websocket.violations import ALLOWED, VIOLATIONS

STAGES: dict[str, Callable[[LiveGateway, str], RawSocket]] = {
    "new": LiveGateway.opened,
    "signed in": LiveGateway.signed_in,
}


@pytest.mark.parametrize("path", [CLIENT, WORKER])
@pytest.mark.parametrize("stage", STAGES)
def test_each_violation_is_answered_with_its_close_code(
    live: LiveGateway, path: str, stage: str, note: Note
) -> None:
    live.log.restart()
    wrong = {}
    for what, (data, wanted) in (VIOLATIONS | ALLOWED).items():
        peer = STAGES[stage](live, path)
        peer.send(data)
        code = peer.ended(by_server=True).close_code
        if code != wanted:
            wrong[what] = (code, wanted)
    live.assert_neighbours_are_well()
    cases = len(VIOLATIONS | ALLOWED)
    log_bytes = round(live.log.bytes_each(cases), 1)
    problems = live.log.problems()
    row = {"socket": path, "form": stage, "cases": cases, "failed": len(wrong)}
    note("violations", row | {"tracebacks": len(problems), "log_bytes": log_bytes})
    assert wrong == {}
    assert problems == []
    if stage == "new":  # a worker that signs in and vanishes is worth a line
        assert log_bytes <= MOST_BYTES


@pytest.mark.parametrize("path", [CLIENT, WORKER])
async def test_every_autobahn_case_is_answered(live: LiveGateway, path: str, note: Note) -> None:
    """They offer no subprotocol and no first frame of ours, so the endpoints' own rules end most of them.

    A client that sends what is no frame of ours hears so and may try again for 5 s; Autobahn hangs up after one.
    """
    live.log.restart()
    url = f"ws://127.0.0.1:{live.port}{path}"
    results = await as_client(url, SHORT, concurrency=32)
    silent = [
        result.case_id
        for result in results
        if not (result.passed or result.was_clean or result.remote_close_code)
        and not (result.dropped_by_me and result.received)
    ]
    live.assert_neighbours_are_well()
    log_bytes = round(live.log.bytes_each(len(results)), 1)
    problems = live.log.problems()
    row = {"socket": path, "cases": len(results), "failed": len(silent)}
    row["closed"] = sum(result.was_clean for result in results)
    note("real", row | {"tracebacks": len(problems), "log_bytes": log_bytes})
    assert len(results) == SHORT_COUNT
    assert silent == []
    assert problems == []
    assert log_bytes <= MOST_BYTES


@pytest.mark.parametrize("path", [CLIENT, WORKER])
def test_a_ping_of_the_protocol_is_answered(live: LiveGateway, path: str) -> None:
    peer = live.opened(path)
    peer.send(frame(PING, b"are you there"))
    assert peer.next() == (PONG, b"are you there")
    peer.close()
