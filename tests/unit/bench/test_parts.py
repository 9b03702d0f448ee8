"""What is measured fits together."""

import pytest

from tests.bench import venvs
from tests.bench.load.flow import Load, Wrong, prompt
from tests.bench.load.flows import FLOWS, TASKS
from tests.bench.load.http_answers import Answer
from tests.bench.load.product_flows import http_wait
from tests.bench.load.recorder import Recorder
from tests.bench.parts import FULL, PEERS, QUICK
from tests.bench.ratios import WANTED


def test_every_wanted_figure_is_measured_by_the_full_bench() -> None:
    measured = {
        (cell.shape.transport, cell.shape.spaces, cell.shape.slots, cell.shape.clients): cell.peers
        for part in FULL
        for cell in part.cells
    }
    for wanted in WANTED:
        peers = measured[wanted.cell]
        names = (wanted.peer,) if isinstance(wanted.peer, str) else wanted.peer or ()
        assert set(names) - {"product"} <= set(peers), wanted


@pytest.mark.parametrize("name", PEERS)
def test_every_peer_has_a_client_and_its_pins(name: str) -> None:
    peer = PEERS[name]()
    assert peer.name == name
    assert {flow.name for flow in peer.flows.values()} <= set(FLOWS) | set(TASKS)
    if peer.venv != venvs.OWN:
        pins = (venvs.PEERS / peer.venv / "requirements.txt").read_text().splitlines()
        assert all("==" in pin for pin in pins if not pin.startswith("#"))


def test_quick_takes_less_than_three_minutes_of_measuring() -> None:
    cells = [
        (part.warm_s + part.seconds + 0.5) * part.rounds * (1 + len(cell.peers))
        for part in QUICK
        for cell in part.cells
    ]
    assert sum(cells) < 120


def test_bodies_have_about_200_bytes_and_differ() -> None:
    bodies = {f'{{"prompt":"{prompt(c, n)}"}}' for c in range(3) for n in range(3)}
    assert len(bodies) == 9
    assert all(180 <= len(body) <= 210 for body in bodies)


def test_an_answer_that_is_not_the_echo_is_wrong() -> None:
    load = Load("product-http", 1, spaces=("a", "b"), token="key")
    steps = http_wait(load, 1, Recorder())
    sent = next(steps)
    assert isinstance(sent, bytes)
    assert sent.startswith(b"POST /api/spaces/b/requests?wait=30 HTTP/1.1\r\n")
    assert b"%d" not in sent
    with pytest.raises(Wrong):
        steps.send(Answer(200, b'{"output":"something else"}'))
