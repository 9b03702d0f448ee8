"""Handlers that fail, die, block or ignore: the agent lives on and says what happened."""

import contextlib
import os
import signal
from pathlib import Path

import pytest

from spaces_worker_agent import engine
from tests.support.agents import StartAgent
from tests.support.eventually import eventually
from tests.support.fake_gateway import FakeGateway, Visit


def lives(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def how_far(path: Path) -> int:
    return int(path.read_text() or 0)  # empty while it is being written


def there(path: str) -> bool:
    return Path(path).exists()


async def ended(visit: Visit, deed: str) -> dict[str, object]:
    await visit.job(payload={"prompt": deed})
    result = await visit.result()
    return {"status": result["status"], **result.get("error", {}), "output": result.get("output")}


async def test_a_handler_that_raises_fails_its_request_only(
    gateway: FakeGateway, start_agent: StartAgent
) -> None:
    agent = await start_agent("raising")
    visit = await gateway.admitted()
    pids = agent.engine.pool.pids
    failed = await ended(visit, "")
    assert (failed["status"], failed["code"]) == ("failed", "handler_failed")
    assert failed["message"] == "ValueError: no such voice: 'bob'"
    assert agent.engine.pool.pids == pids


async def test_a_handler_that_exits_fails_its_request_only(
    gateway: FakeGateway, start_agent: StartAgent
) -> None:
    agent = await start_agent("exiting")
    visit = await gateway.admitted()
    pids = agent.engine.pool.pids
    failed = await ended(visit, "")
    assert (failed["code"], failed["message"]) == ("handler_failed", "SystemExit: 3")
    assert agent.engine.pool.pids == pids


@pytest.mark.parametrize(
    ("deed", "words"),
    [
        ("segfault", "died of SIGSEGV (a memory fault in native code)"),
        ("kill", "SIGKILL"),
        ("exit", "exited with status 7"),
    ],
)
async def test_a_handler_process_that_dies_is_reported_and_replaced(
    gateway: FakeGateway, start_agent: StartAgent, deed: str, words: str
) -> None:
    agent = await start_agent("misbehaving")
    visit = await gateway.admitted()
    before = agent.engine.pool.pids
    crashed = await ended(visit, deed)
    assert (crashed["status"], crashed["code"]) == ("failed", "handler_crashed")
    assert words in str(crashed["message"])
    fine = await ended(visit, "nothing")
    assert fine["status"] == "succeeded"
    assert agent.engine.pool.pids != before


async def test_running_out_of_memory_in_python_is_a_failure(
    gateway: FakeGateway, start_agent: StartAgent
) -> None:
    await start_agent("misbehaving")
    visit = await gateway.admitted()
    failed = await ended(visit, "memory")
    assert (failed["code"], failed["message"]) == ("handler_failed", "MemoryError")
    assert (await ended(visit, "nothing"))["status"] == "succeeded"


@pytest.mark.parametrize(
    ("deed", "code", "words"),
    [
        ("set", "handler_failed", "The handler's output is not JSON: Object of type set"),
        ("nan", "handler_failed", "The handler's output is not JSON: Out of range float"),
        ("surrogate", "handler_failed", "The handler's output is not JSON:"),
        ("large", "output_too_large", "The output has 1100002 bytes and may have 1040384"),
    ],
)
async def test_output_that_cannot_be_sent_is_a_clear_failure(
    gateway: FakeGateway, start_agent: StartAgent, deed: str, code: str, words: str
) -> None:
    await start_agent("misbehaving")
    visit = await gateway.admitted()
    failed = await ended(visit, deed)
    assert failed["code"] == code
    assert str(failed["message"]).startswith(words)


async def test_a_blocking_handler_does_not_stop_the_heartbeat(
    gateway: FakeGateway, start_agent: StartAgent, tmp_path: Path
) -> None:
    await start_agent("blocking")
    visit = await gateway.admitted()
    began = tmp_path / "began"
    rid = await visit.job(payload={"parameters": {"began": str(began)}})
    await eventually(began.exists)
    pings = visit.pings
    await visit.until(lambda: visit.pings > pings + 5)
    await visit.cancel(rid)
    assert (await visit.result())["status"] == "cancelled"


async def test_a_handler_that_heeds_the_cancel_keeps_its_process(
    gateway: FakeGateway, start_agent: StartAgent, tmp_path: Path
) -> None:
    agent = await start_agent("cooperative", grace_s=30)
    visit = await gateway.admitted()
    places = {"began": str(tmp_path / "began"), "stopped": str(tmp_path / "stopped")}
    rid = await visit.job(payload={"parameters": places})
    await eventually(lambda: there(places["began"]))
    pids = agent.engine.pool.pids
    await visit.cancel(rid, code="run_timeout", message="Too long.")
    result = await visit.result()
    assert result["status"] == "cancelled"
    assert result["error"]["code"] == "run_timeout"
    assert there(places["stopped"])
    assert agent.engine.pool.pids == pids


async def test_an_async_handler_is_cancelled_at_its_await(
    gateway: FakeGateway, start_agent: StartAgent, tmp_path: Path
) -> None:
    await start_agent("cooperative_async", grace_s=30)
    visit = await gateway.admitted()
    places = {"began": str(tmp_path / "began"), "stopped": str(tmp_path / "stopped")}
    rid = await visit.job(payload={"parameters": places})
    await eventually(lambda: there(places["began"]))
    await visit.cancel(rid)
    assert (await visit.result())["status"] == "cancelled"
    assert there(places["stopped"])


async def test_a_handler_that_ignores_everything_is_killed_before_the_slot_is_free(
    gateway: FakeGateway, start_agent: StartAgent, tmp_path: Path
) -> None:
    agent = await start_agent("deaf", grace_s=0.1)
    visit = await gateway.admitted()
    began = tmp_path / "began"
    rid = await visit.job(payload={"parameters": {"began": str(began)}})
    await eventually(began.exists)
    (pid,) = agent.engine.pool.pids
    await visit.cancel(rid)
    assert (await visit.result())["status"] == "cancelled"
    assert not lives(pid)
    await eventually(lambda: agent.engine.pool.pids not in ([], [pid]))


async def test_the_deadline_ends_a_handler_that_the_server_forgot(
    gateway: FakeGateway,
    start_agent: StartAgent,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine, "DEADLINE_SLACK_S", 0.2)
    await start_agent("blocking")
    visit = await gateway.admitted()
    began = tmp_path / "began"
    await visit.job(payload={"parameters": {"began": str(began)}}, remaining_ms=1)
    result = await visit.result()
    assert (result["status"], result["error"]["code"]) == ("failed", "timeout")


async def test_a_reader_that_does_not_acknowledge_slows_the_handler(
    gateway: FakeGateway, start_agent: StartAgent, tmp_path: Path
) -> None:
    agent = await start_agent("flooding")
    visit = await gateway.admitted()
    far = tmp_path / "far"
    rid = await visit.job(payload={"parameters": {"far": str(far)}})

    def sent() -> int:
        return sum(len(frame["data"]) for frame in visit.all("inference_chunk"))

    await visit.until(lambda: sent() >= 1024)
    pings = visit.pings
    await visit.until(lambda: visit.pings > pings + 3)
    assert sent() == 1024
    assert how_far(far) < 4900
    await visit.ack_chunks(rid, 1024)
    await visit.until(lambda: sent() >= 2048)
    await visit.cancel(rid)
    assert (await visit.result())["status"] == "cancelled"
    assert agent.engine.pool.pids


async def test_chunks_are_sent_together(gateway: FakeGateway, start_agent: StartAgent) -> None:
    await start_agent("streaming")
    visit = await gateway.admitted()
    rid = await visit.job(payload={"parameters": {"count": 1000}})
    await visit.until(lambda: sum(len(f["data"]) for f in visit.all("inference_chunk")) == 1000)
    frames = visit.all("inference_chunk")
    assert len(frames) < 500
    assert [f["n"] for f in frames] == [
        1 + sum(len(g["data"]) for g in frames[:place]) for place in range(len(frames))
    ]
    await visit.ack_chunks(rid, 1000)
    assert (await visit.result())["last_n"] == 1000


async def test_progress_is_throttled(gateway: FakeGateway, start_agent: StartAgent) -> None:
    await start_agent("chatty_progress")
    visit = await gateway.admitted()
    await visit.job()
    await visit.result()
    assert len(visit.all("inference_progress")) < 50


async def test_slots_run_side_by_side_in_processes_of_their_own(
    gateway: FakeGateway, start_agent: StartAgent, tmp_path: Path
) -> None:
    agent = await start_agent("cooperative", slots=2, grace_s=30)
    visit = await gateway.admitted()
    rids = []
    for number in range(3):
        places = {"began": str(tmp_path / f"began{number}"), "stopped": str(tmp_path / "stopped")}
        rids.append(await visit.job(payload={"parameters": places}))
    await eventually(lambda: there(f"{tmp_path}/began0") and there(f"{tmp_path}/began1"))
    assert not there(f"{tmp_path}/began2")
    await visit.cancel(rids[2])  # one that waits for a handler
    assert (await visit.result())["request_id"] == rids[2]
    for rid in rids[:2]:
        await visit.cancel(rid)
        await visit.result()
    assert len(set(agent.engine.pool.pids)) == 2


async def test_handlers_die_with_the_agent(gateway: FakeGateway, start_agent: StartAgent) -> None:
    agent = await start_agent()
    await gateway.admitted()
    (pid,) = agent.engine.pool.pids
    assert os.getpgid(pid) == pid
    agent.supervisor.drain()
    await agent.leave()
    assert not lives(pid)


async def test_load_is_called_once(gateway: FakeGateway, start_agent: StartAgent) -> None:
    await start_agent("Model")
    visit = await gateway.admitted()
    for handled in (1, 2):
        await visit.job()
        assert (await visit.result())["output"] == {"loads": 1, "handled": handled}


async def test_an_async_load_shares_the_loop_with_handle(
    gateway: FakeGateway, start_agent: StartAgent
) -> None:
    await start_agent("AsyncModel")
    visit = await gateway.admitted()
    await visit.job()
    assert (await visit.result())["output"] is True


async def test_a_child_that_a_handler_leaves_behind_hides_no_death(
    gateway: FakeGateway, start_agent: StartAgent, tmp_path: Path
) -> None:
    await start_agent("forking")
    visit = await gateway.admitted()
    note = tmp_path / "child"
    await visit.job(payload={"parameters": {"child": str(note)}})
    crashed = await visit.result()
    assert crashed["error"]["message"] == "The handler process exited with status 9."
    child = how_far(note)
    await eventually(lambda: not lives(child) or "zombie" in state_of(child))


def state_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return "zombie"


async def test_threads_of_a_handler_may_tell_progress(
    gateway: FakeGateway, start_agent: StartAgent
) -> None:
    await start_agent("threaded")
    visit = await gateway.admitted()
    rid = await visit.job()
    await visit.until(lambda: len(visit.chunks()) == 500)
    await visit.ack_chunks(rid, 500)
    assert (await visit.result())["last_n"] == 500


async def test_jobs_fail_clearly_when_the_handler_cannot_be_loaded_again(
    gateway: FakeGateway,
    start_agent: StartAgent,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LOADED_FLAG", str(tmp_path / "loaded"))
    await start_agent("LoadsOnce")
    visit = await gateway.admitted()
    await visit.job()
    await visit.job()
    first, second = await visit.result(), await visit.result()
    assert first["error"]["message"] == "The handler process exited with status 1."
    assert second["error"]["code"] == "handler_crashed"
    expected = "The handler could not be started again: RuntimeError: the GPU is taken"
    assert second["error"]["message"] == expected


async def test_frames_of_wide_characters_stay_below_their_limit(
    gateway: FakeGateway, start_agent: StartAgent
) -> None:
    await start_agent("wide")
    visit = await gateway.admitted()
    rid = await visit.job()
    await visit.until(lambda: len(visit.chunks()) == 40)
    await visit.ack_chunks(rid, 40)
    assert (await visit.result())["error"]["code"] == "output_too_large"


async def test_a_full_disk_refuses_new_jobs_until_it_has_room(
    gateway: FakeGateway, start_agent: StartAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = await start_agent()
    visit = await gateway.admitted()
    write = os.write

    def full(fd: int, data: bytes) -> int:
        if fd == agent.engine.spool._fd or b"result" in data:
            raise OSError(28, "No space left on device")
        return write(fd, data)

    monkeypatch.setattr(os, "write", full)
    await visit.job()
    result = await visit.result(outcome=None)
    assert result["status"] == "succeeded"
    late = await visit.job()
    refused = await visit.next("refused")
    assert (refused["request_id"], refused["code"]) == (late, "unavailable")
    monkeypatch.setattr(os, "write", write)
    await visit.ack(result)
    await eventually(lambda: not agent.engine.spool.problem)
    await visit.job()
    assert (await visit.result())["status"] == "succeeded"


async def test_a_handler_that_dies_while_idle_is_replaced_unnoticed(
    gateway: FakeGateway, start_agent: StartAgent
) -> None:
    agent = await start_agent()
    visit = await gateway.admitted()
    (pid,) = agent.engine.pool.pids
    os.kill(pid, signal.SIGKILL)
    await eventually(lambda: pid not in agent.engine.pool.pids)
    await visit.job()
    result = await visit.result()
    assert result["status"] == "succeeded"
    assert result["output"]["pid"] != pid


async def test_jobs_that_meet_dying_handlers_end_one_way_or_the_other(
    gateway: FakeGateway, start_agent: StartAgent
) -> None:
    agent = await start_agent(slots=2)
    visit = await gateway.admitted()
    for _ in range(6):
        for pid in agent.engine.pool.pids:
            with contextlib.suppress(ProcessLookupError):  # it is dying of the last round
                os.kill(pid, signal.SIGKILL)
        await visit.job()
        result = await visit.result()
        assert result["status"] == "succeeded" or result["error"]["code"] == "handler_crashed"
    assert not agent.left.done()
