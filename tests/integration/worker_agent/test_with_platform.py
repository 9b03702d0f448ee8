"""The command against the real gateway, registry and scheduler, over both links; used over HTTP only."""

import asyncio
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx2
import pytest

from spaces_worker_agent.exits import Exit
from tests.support.agents import HANDLERS
from tests.support.eventually import eventually
from tests.support.metrics import metric
from tests.support.platform import Platform

COMMAND = Path(sys.executable).with_name("spaces-worker")


@pytest.fixture(scope="module")
def http(platform: Platform) -> Iterator[httpx2.Client]:
    headers = {"Authorization": f"Bearer {platform.admin_key}"}
    with httpx2.Client(
        base_url=platform.gateway_url, headers=headers, trust_env=False, timeout=40
    ) as client:
        yield client


@pytest.fixture(params=["ws", "nats"])
def link(request: pytest.FixtureRequest, platform: Platform) -> list[str]:
    """The flags of a link."""
    if request.param == "ws":
        return []
    nats_url = platform.processes.describe().nats_url
    assert nats_url is not None
    return ["--link", "nats", "--nats-url", nats_url]


def name_of(request: pytest.FixtureRequest) -> str:
    """A space name that no other test has."""
    return hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:12]


@pytest.fixture
def space(request: pytest.FixtureRequest, platform: Platform) -> str:
    name = name_of(request)
    platform.create_space(
        name, inputs=["prompt", "image", "audio", "video", "file"], policy={"when_offline": "queue"}
    )
    return name


@pytest.fixture
def serve(request: pytest.FixtureRequest, platform: Platform, link: list[str]) -> Iterator[Any]:
    """Starts the agent of a test and stops it."""
    started: list[str] = []

    def start(
        space: str, handler: str, *arguments: str, also: Sequence[str] = (), **more: Any
    ) -> str:
        name = f"worker-{space}-{len(started)}"
        started.append(name)
        target = f"{HANDLERS}:{handler}"
        flags = [*link, "--verbose", *arguments]
        spaces = [space, *also]
        return platform.start_worker(name, spaces=spaces, handler=target, arguments=flags, **more)

    yield start
    for name in started:
        platform.stop_worker(name)


def submit(http: httpx2.Client, space: str, wait: int = 20, **body: Any) -> dict[str, Any]:
    answer = http.post(f"/api/spaces/{space}/requests?wait={wait}", json={"prompt": "hi"} | body)
    assert answer.status_code in (200, 202), answer.text
    document: dict[str, Any] = answer.json()
    return document


def finished(http: httpx2.Client, request_id: str) -> dict[str, Any]:
    document: dict[str, Any] = http.get(f"/api/requests/{request_id}?wait=30").json()
    return document


def test_a_request_is_served(http: httpx2.Client, space: str, serve: Any) -> None:
    serve(space, "handler")
    done = submit(http, space, parameters={"a": 1})
    assert done["state"] == "succeeded"
    assert done["output"]["text"] == "hi!"
    assert done["output"]["parameters"] == {"a": 1}
    assert done["attempt"] == 1


def test_many_requests_are_served_in_order(http: httpx2.Client, space: str, serve: Any) -> None:
    serve(space, "Model")
    ids = [submit(http, space, wait=0)["request_id"] for _ in range(20)]
    assert [finished(http, rid)["output"]["handled"] for rid in ids] == list(range(1, 21))


def test_chunks_are_streamed_and_replayed(http: httpx2.Client, space: str, serve: Any) -> None:
    serve(space, "streaming")
    done = submit(http, space, parameters={"count": 500})
    assert done["output"]["text"] == "".join(f"{n} " for n in range(500))
    assert done["last_n"] == 500
    chunks: list[str] = []
    with http.stream("GET", f"/api/requests/{done['request_id']}/events") as events:
        for line in events.iter_lines():
            if line.startswith("data:"):
                frame = json.loads(line[5:])
                chunks += frame.get("data", []) if frame["type"] == "chunk" else []
                if frame["type"] == "finished":
                    break
    assert chunks == [f"{n} " for n in range(500)]


def test_a_failure_reaches_the_client(http: httpx2.Client, space: str, serve: Any) -> None:
    serve(space, "raising")
    done = submit(http, space)
    assert (done["state"], done["error"]["code"]) == ("failed", "handler_failed")
    assert done["error"]["message"] == "ValueError: no such voice: 'bob'"


def test_files_go_in_and_out(http: httpx2.Client, space: str, serve: Any) -> None:
    serve(space, "with_files")
    headers = {"Content-Type": "text/plain", "X-File-Name": "in.txt"}
    content = b"0123456789\n" * 50_000
    file = http.post("/api/files", content=content, headers=headers).raise_for_status().json()
    done = submit(http, space, files=[file["file_id"]])
    assert done["state"] == "succeeded", done
    (given,) = done["output_files"]
    back = http.get(f"/api/files/{given['file_id']}")
    assert back.content == content + b" copied"


def test_a_cancel_stops_the_handler(
    http: httpx2.Client, space: str, serve: Any, tmp_path: Path
) -> None:
    serve(space, "cooperative")
    places = {"began": str(tmp_path / "began"), "stopped": str(tmp_path / "stopped")}
    rid = submit(http, space, wait=0, parameters=places)["request_id"]
    wait_for(tmp_path / "began")
    http.post(f"/api/requests/{rid}/cancel").raise_for_status()
    assert finished(http, rid)["state"] == "cancelled"
    wait_for(tmp_path / "stopped")


def test_a_deadline_expires_the_request_and_frees_the_slot(
    http: httpx2.Client, space: str, serve: Any, tmp_path: Path
) -> None:
    serve(space, "blocking", "--cancel-grace-s", "0.2")
    places = {"began": str(tmp_path / "began")}
    done = submit(http, space, parameters=places, run_timeout_s=1)
    assert (done["state"], done["error"]["code"]) == ("expired", "run_timeout")
    again = submit(http, space, parameters=places | {"seconds": 0})
    assert again["state"] == "succeeded"


def test_work_survives_the_death_of_the_gateway(
    http: httpx2.Client, platform: Platform, space: str, serve: Any, tmp_path: Path
) -> None:
    worker = serve(space, "gated")
    gate = tmp_path / "gate"
    rid = submit(http, space, wait=0, parameters={"gate": str(gate), "count": 5})["request_id"]
    until(lambda: "request_started" in platform.log(worker))
    platform.kill("gateway")
    platform.revive("gateway")
    gate.touch()
    done = finished(http, rid)
    assert (done["state"], done["attempt"]) == ("succeeded", 1)
    assert done["output"]["text"] == "first 0 1 2 3 4 last"


def test_a_draining_worker_is_given_nothing_new(
    http: httpx2.Client, platform: Platform, space: str, serve: Any, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    first = held_by_a_draining_worker(http, platform, space, serve, gate)
    refused_before = refusals(platform)
    second = submit(http, space, wait=0, parameters={"gate": str(gate)})["request_id"]
    gate.touch()
    assert finished(http, first)["state"] == "succeeded"
    until(lambda: states_of_workers(http, space) == [])
    assert state(http, second) == "queued"
    assert refusals(platform) == refused_before
    serve(space, "gated")
    assert finished(http, second)["state"] == "succeeded"


def test_spaces_share_the_slots_and_each_has_no_more_than_its_part(
    http: httpx2.Client, platform: Platform, space: str, serve: Any, tmp_path: Path
) -> None:
    other = f"{space}-2"
    platform.create_space(other, policy={"when_offline": "queue"})
    serve(space, "gated", "--slots-per-space", "1", also=[other], slots=2)
    gate = tmp_path / "gate"

    def submitted(where: str) -> str:
        request_id: str = submit(http, where, wait=0, parameters={"gate": str(gate)})["request_id"]
        return request_id

    first, second, beside = submitted(space), submitted(space), submitted(other)
    until(lambda: [state(http, one) for one in (first, beside)] == ["running", "running"])
    assert state(http, second) == "queued"
    gate.touch()
    assert {finished(http, one)["state"] for one in (first, second, beside)} == {"succeeded"}


def test_who_replaces_a_draining_worker_waits_for_its_seat(
    http: httpx2.Client, platform: Platform, space: str, serve: Any, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    first = held_by_a_draining_worker(http, platform, space, serve, gate)
    successor = serve(space, "handler")
    until(lambda: "already has a worker" in platform.log(successor))
    gate.touch()
    assert finished(http, first)["state"] == "succeeded"
    assert submit(http, space)["state"] == "succeeded"


def held_by_a_draining_worker(
    http: httpx2.Client, platform: Platform, space: str, serve: Any, gate: Path
) -> str:
    """The request that a worker still has, which was told to stop; it ends when the gate is there."""
    worker = serve(space, "gated")
    request_id: str = submit(http, space, wait=0, parameters={"gate": str(gate)})["request_id"]
    until(lambda: "request_started" in platform.log(worker))
    platform.signal(worker, 15)
    until(lambda: states_of_workers(http, space) == ["draining"])
    return request_id


def state(http: httpx2.Client, request_id: str) -> str:
    found: str = http.get(f"/api/requests/{request_id}").json()["state"]
    return found


def refusals(platform: Platform) -> float:
    return metric(platform.metrics("scheduler"), "spaces_job_refusals_total")


def states_of_workers(http: httpx2.Client, space: str) -> list[str]:
    listed = http.get(f"/api/spaces/{space}/connections").json()["connections"]
    return [one["state"] for one in listed]


def until(condition: Callable[[], Any]) -> None:
    """This module is synchronous: the processes it watches are not its own."""
    asyncio.run(eventually(condition, timeout_s=20))


def wait_for(path: Path) -> None:
    until(path.exists)


class Started:
    """Agents run by hand, for those that are to end by themselves."""

    def __init__(self, platform: Platform, space: str, link: list[str], folder: Path) -> None:
        self._arguments = ["--space", space, "--gateway", platform.gateway_url, *link]
        self._folder = folder
        self.token = platform.worker_token([space])

    def command(self, *words: str, token: Path | None = None) -> list[str]:
        file = ["--token-file", str(token or self.token)]
        return [str(COMMAND), *words, *self._arguments, *file]

    def run(self, *words: str, token: Path | None = None) -> subprocess.CompletedProcess[str]:
        environ = {"PATH": "/usr/bin:/bin", "HOME": str(self._folder)}
        return subprocess.run(
            self.command(*words, token=token),
            env=environ,
            capture_output=True,
            text=True,
            timeout=60,
        )


@pytest.fixture
def by_hand(platform: Platform, space: str, link: list[str], tmp_path: Path) -> Started:
    return Started(platform, space, link, tmp_path)


def test_a_second_worker_is_told(space: str, serve: Any, by_hand: Started) -> None:
    serve(space, "handler")
    ended = by_hand.run("run", str(HANDLERS))
    assert ended.returncode == Exit.ALREADY_CONNECTED, ended.stderr
    assert "--takeover" in ended.stderr


def test_a_takeover_ends_the_first_worker(
    http: httpx2.Client, platform: Platform, space: str, serve: Any, by_hand: Started
) -> None:
    first = subprocess.Popen(
        by_hand.command("run", str(HANDLERS)), stderr=subprocess.PIPE, text=True
    )
    until(lambda: platform.space(space)["connected"])
    serve(space, "Model", "--takeover")
    _, said = first.communicate(timeout=20)
    assert first.returncode == Exit.SUPERSEDED, said
    assert submit(http, space)["output"]["handled"] == 1


def test_a_wrong_token_is_told(by_hand: Started, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("spw_of-nobody-at-all-0000000000000")
    ended = by_hand.run("run", str(HANDLERS), token=wrong)
    assert ended.returncode == Exit.TOKEN_INVALID, ended.stderr


def test_an_unknown_space_is_told(
    platform: Platform, link: list[str], space: str, tmp_path: Path
) -> None:
    started = Started(platform, space, link, tmp_path)
    started._arguments[1] = "no-such-space"
    ended = started.run("run", str(HANDLERS))
    assert ended.returncode == Exit.SPACE_NOT_FOUND, ended.stderr


def test_a_disabled_space_is_told(http: httpx2.Client, space: str, by_hand: Started) -> None:
    http.patch(f"/api/spaces/{space}", json={"enabled": False}).raise_for_status()
    ended = by_hand.run("run", str(HANDLERS))
    assert ended.returncode == Exit.SPACE_DISABLED, ended.stderr


def test_doctor_is_content(by_hand: Started, space: str) -> None:
    ended = by_hand.run("doctor", "--json")
    report = json.loads(ended.stdout)
    levels = {check["name"]: check["level"] for check in report["checks"]}
    assert ended.returncode == Exit.OK, ended.stdout
    assert report["ok"] is True
    expected = ["token file", "spool", "proxy", "dns", "tcp", "clock", "protocol", "token"]
    assert {
        name: levels[name] for name in [*expected, f"space {space}", "websocket"]
    } == dict.fromkeys([*expected, f"space {space}", "websocket"], "ok")


def test_doctor_sees_a_taken_seat_and_takes_none(
    space: str, serve: Any, by_hand: Started, platform: Platform
) -> None:
    serve(space, "handler")
    ended = by_hand.run("doctor")
    assert ended.returncode == Exit.OK, ended.stdout
    assert f"warn  space {space}" in ended.stdout
    assert platform.space(space)["connected"]


def test_doctor_names_a_wrong_token(by_hand: Started, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("spw_of-nobody-at-all-0000000000000")
    wrong.chmod(0o600)
    ended = by_hand.run("doctor", token=wrong)
    assert ended.returncode == Exit.CHECK_FAILED
    assert "(token_invalid)" in ended.stdout
