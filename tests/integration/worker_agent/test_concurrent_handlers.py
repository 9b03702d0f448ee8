"""Async handlers: one process runs all slots side by side, and one request's trouble is not its neighbours'."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from spaces_contracts.identifiers import new_id
from spaces_worker_agent import process
from tests.support.agents import StartAgent
from tests.support.eventually import eventually
from tests.support.fake_gateway import FakeGateway, Visit


def lives(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def begun(visit: Visit, place: Path, deed: str, **more: str) -> str:
    """Starts a job of `deeds` and returns its id when it runs."""
    began = place / f"began-{deed}-{new_id()}"
    parameters = {"began": str(began), **more}
    rid = await visit.job(payload={"prompt": deed, "parameters": parameters})
    await eventually(began.exists)
    return rid


async def test_all_slots_run_side_by_side_in_one_process(
    gateway: FakeGateway, start_agent: StartAgent, tmp_path: Path
) -> None:
    agent = await start_agent("side_by_side", slots=8)
    visit = await gateway.admitted()
    (tmp_path / "meeting").mkdir()
    parameters = {"meeting": str(tmp_path / "meeting"), "count": 8}
    for _ in range(8):
        await visit.job(payload={"parameters": parameters})
    pids = {(await visit.result())["output"]["pid"] for _ in range(8)}
    assert list(pids) == agent.engine.pool.pids


async def test_slots_are_spread_over_processes(
    gateway: FakeGateway, start_agent: StartAgent, tmp_path: Path
) -> None:
    agent = await start_agent("side_by_side", slots=5, processes=2)
    visit = await gateway.admitted()
    (tmp_path / "meeting").mkdir()
    parameters = {"meeting": str(tmp_path / "meeting"), "count": 5}
    for _ in range(5):
        await visit.job(payload={"parameters": parameters})
    pids = [(await visit.result())["output"]["pid"] for _ in range(5)]
    assert sorted(pids.count(pid) for pid in set(pids)) == [2, 3]
    assert len(agent.engine.pool.pids) == 2


async def test_there_are_never_more_processes_than_slots(
    gateway: FakeGateway, start_agent: StartAgent
) -> None:
    agent = await start_agent("asynchronous", slots=2, processes=4)
    await gateway.admitted()
    assert len(agent.engine.pool.pids) == 2


async def test_what_does_not_fit_into_the_slots_waits(
    gateway: FakeGateway, start_agent: StartAgent, tmp_path: Path
) -> None:
    await start_agent("deeds", slots=2)
    visit = await gateway.admitted()
    gate = tmp_path / "gate"
    first = await begun(visit, tmp_path, "wait", gate=str(gate))
    second = await begun(visit, tmp_path, "wait", gate=str(gate))
    third = await visit.job(payload={"prompt": "nothing"})
    gate.touch()
    ended = [(await visit.result())["request_id"] for _ in range(3)]
    assert set(ended) == {first, second, third}
    assert ended[0] != third


async def test_a_model_is_loaded_once_for_all_slots(
    gateway: FakeGateway, start_agent: StartAgent
) -> None:
    await start_agent("Parallel", slots=4)
    visit = await gateway.admitted()
    for _ in range(4):
        await visit.job()
    outputs = [(await visit.result())["output"] for _ in range(4)]
    assert {output["loads"] for output in outputs} == {1}
    assert len({output["pid"] for output in outputs}) == 1


async def test_a_cancel_reaches_its_request_and_no_other(
    gateway: FakeGateway, start_agent: StartAgent, tmp_path: Path
) -> None:
    agent = await start_agent("deeds", slots=2, grace_s=30)
    visit = await gateway.admitted()
    gate = tmp_path / "gate"
    first = await begun(visit, tmp_path, "wait", gate=str(gate))
    second = await begun(visit, tmp_path, "wait", gate=str(gate))
    pids = agent.engine.pool.pids
    await visit.cancel(first)
    result = await visit.result()
    assert (result["request_id"], result["status"]) == (first, "cancelled")
    gate.touch()
    result = await visit.result()
    assert (result["request_id"], result["status"]) == (second, "succeeded")
    assert agent.engine.pool.pids == pids


async def test_a_cancel_that_comes_with_its_job_is_confirmed(
    gateway: FakeGateway, start_agent: StartAgent
) -> None:
    await start_agent("cooperative_async", grace_s=30)
    visit = await gateway.admitted()
    rid = await visit.job(payload={"parameters": {"began": "/dev/null", "stopped": "/dev/null"}})
    await visit.cancel(rid)
    assert (await visit.result())["status"] == "cancelled"


async def test_a_request_that_does_not_stop_leaves_its_neighbours_time(
    gateway: FakeGateway, start_agent: StartAgent, tmp_path: Path
) -> None:
    agent = await start_agent("deeds", slots=3, grace_s=0.1)
    visit = await gateway.admitted()
    gate = tmp_path / "gate"
    deaf = await begun(visit, tmp_path, "deaf")
    neighbour = await begun(visit, tmp_path, "wait", gate=str(gate))
    (old,) = agent.engine.pool.pids
    await visit.cancel(deaf)
    await eventually(lambda: len(agent.engine.pool.pids) == 2)
    fresh = await visit.job(payload={"prompt": "nothing"})
    result = await visit.result()
    assert result["request_id"] == fresh
    assert result["output"]["pid"] != old
    gate.touch()
    results = {frame["request_id"]: frame for frame in [await visit.result(), await visit.result()]}
    assert results[neighbour]["status"] == "succeeded"
    assert results[neighbour]["output"]["pid"] == old
    assert results[deaf]["status"] == "cancelled"
    await eventually(lambda: not lives(old))
    assert len(agent.engine.pool.pids) == 1


async def test_neighbours_of_a_request_that_does_not_stop_are_ended_in_the_end(
    gateway: FakeGateway,
    start_agent: StartAgent,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(process, "NEIGHBOURS_S", 0.2)
    await start_agent("deeds", slots=2, grace_s=0.1)
    visit = await gateway.admitted()
    deaf = await begun(visit, tmp_path, "deaf")
    neighbour = await begun(visit, tmp_path, "wait", gate=str(tmp_path / "gate"))
    await visit.cancel(deaf)
    results = {frame["request_id"]: frame for frame in [await visit.result(), await visit.result()]}
    assert results[deaf]["status"] == "cancelled"
    error = results[neighbour]["error"]
    assert error["code"] == "handler_crashed"
    assert error["message"] == (
        "The handler process was ended because another request in it did not stop."
    )


async def test_a_death_fails_every_request_in_the_process_with_a_result_of_its_own(
    gateway: FakeGateway, start_agent: StartAgent, tmp_path: Path
) -> None:
    await start_agent("deeds", slots=3)
    visit = await gateway.admitted()
    gate = str(tmp_path / "gate")
    running = {await begun(visit, tmp_path, "wait", gate=gate) for _ in range(2)}
    running.add(await visit.job(payload={"prompt": "die"}))
    results = [await visit.result() for _ in range(3)]
    assert {result["request_id"] for result in results} == running
    for result in results:
        assert result["error"]["code"] == "handler_crashed"
        assert result["error"]["message"] == "The handler process exited with status 5."
    await visit.job(payload={"prompt": "nothing"})
    assert (await visit.result())["status"] == "succeeded"


async def test_sys_exit_fails_its_request_only(
    gateway: FakeGateway, start_agent: StartAgent, tmp_path: Path
) -> None:
    agent = await start_agent("deeds", slots=2)
    visit = await gateway.admitted()
    gate = tmp_path / "gate"
    await begun(visit, tmp_path, "wait", gate=str(gate))
    pids = agent.engine.pool.pids
    await visit.job(payload={"prompt": "exit"})
    assert (await visit.result())["error"]["message"] == "SystemExit: 3"
    gate.touch()
    assert (await visit.result())["status"] == "succeeded"
    assert agent.engine.pool.pids == pids


async def test_one_slow_reader_does_not_hold_up_the_neighbours(
    gateway: FakeGateway, start_agent: StartAgent, tmp_path: Path
) -> None:
    await start_agent("flooding_async", slots=2)
    visit = await gateway.admitted()
    places = [tmp_path / "far0", tmp_path / "far1"]
    slow, fast = [await visit.job(payload={"parameters": {"far": str(place)}}) for place in places]

    def sent(rid: str) -> int:
        frames = visit.all("inference_chunk")
        return sum(len(frame["data"]) for frame in frames if frame["request_id"] == rid)

    await visit.until(lambda: sent(slow) >= 1024)
    acked = 0
    while acked < 5000:
        await visit.until(lambda: sent(fast) > acked)  # noqa: B023  # waited for in this round
        acked = sent(fast)
        await visit.ack_chunks(fast, acked)
    result = await visit.result()
    assert (result["request_id"], result["last_n"]) == (fast, 5000)
    assert sent(slow) == 1024
    assert int(places[0].read_text()) <= 1024
    await visit.cancel(slow)
    assert (await visit.result())["status"] == "cancelled"


async def test_progress_of_a_busy_handler_is_its_newest(
    gateway: FakeGateway, start_agent: StartAgent
) -> None:
    await start_agent("progressing")
    visit = await gateway.admitted()
    await visit.job()
    assert (await visit.result())["status"] == "succeeded"
    assert len(visit.all("inference_progress")) <= 3


async def test_files_of_an_async_handler_are_there_when_it_starts(
    gateway: FakeGateway, start_agent: StartAgent
) -> None:
    await start_agent("reads_file")
    visit = await gateway.admitted()
    file: dict[str, Any] = {
        "file_id": "f" * 26,
        "name": "a.txt",
        "kind": "file",
        "media_type": "text/plain",
        "size_bytes": 3,
        "sha256": "0" * 64,
    }
    await visit.job(files=[file])
    output = (await visit.result())["output"]
    assert output == {"error": "a.txt: the gateway gave no address for it"}


async def test_a_killed_process_of_many_slots_is_replaced(
    gateway: FakeGateway, start_agent: StartAgent
) -> None:
    agent = await start_agent("asynchronous", slots=16)
    visit = await gateway.admitted()
    (pid,) = agent.engine.pool.pids
    os.kill(pid, signal.SIGKILL)
    await eventually(lambda: pid not in agent.engine.pool.pids)
    for _ in range(16):
        await visit.job()
    for _ in range(16):
        assert (await visit.result())["status"] == "succeeded"
