"""Routes: mypy refuses a handler for another message, wherever the route is put."""

import os
from pathlib import Path

import pytest
from mypy import api

from spaces_chassis.bus import Route, listen, on, serve
from tests.conformance.bus_messages import Add, Greeted, Sum

ROOT = Path(__file__).parents[3]
PLANTED = """
from spaces_chassis.bus import Delivery, Route, on, serve
from tests.conformance.bus_messages import Add, Greeted, Happened, Sum

def greeted(message: Greeted, delivery: Delivery) -> None: ...
async def add(command: Add) -> Sum: return Sum(total=0)

right: list[Route] = [on(Greeted, greeted), serve(Add, add, queue="q")]
wrong: list[Route] = [
    on(Happened, greeted),
    serve(Greeted, add, queue="q"),
]
"""


def test_a_handler_for_another_message_does_not_pass_mypy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "planted.py"
    file.write_text(PLANTED)
    monkeypatch.chdir(ROOT)
    cache = os.environ.get("MYPY_CACHE_DIR", ".mypy_cache")
    out, _err, _status = api.run(["--cache-dir", cache, "--no-error-summary", str(file)])
    wrong = sorted({int(line.split(":")[1]) for line in out.splitlines() if ": error:" in line})
    assert wrong == [10, 11], out


def test_a_route_knows_its_subject_queue_and_kind() -> None:
    async def add(command: Add) -> Sum:
        return Sum(total=0)

    route = serve(Add, add, queue="scheduler")
    assert (route.name, route.subject, route.queue, route.is_async) == (
        "Add",
        "rpc.sched.add",
        "scheduler",
        True,
    )
    plain = on(Greeted, lambda _m, _d: None)
    assert (plain.subject, plain.queue, plain.is_async) == ("hb.gw.*", None, False)


def test_a_wildcard_route_is_not_named_after_an_id() -> None:
    route: Route = listen("gw.01abc.>", lambda _: None)
    assert route.name == "gw"
    assert listen("gw.01abc.>", lambda _: None, name="Inbound").name == "Inbound"
