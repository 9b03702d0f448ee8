"""The spool: what was written is found again, whatever happened to the file; a full disk is said and survived."""

import asyncio
import errno
import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces_contracts.files import FileRef, InputKind
from spaces_contracts.problems import Code, Problem
from spaces_worker_agent.attempts import Key, Result
from spaces_worker_agent.finished import FinishedMemory
from spaces_worker_agent.journal import over_line, read_journal, result_line
from spaces_worker_agent.spool import Spool, SpoolLocked, SpoolUnusable, default_spool_dir

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def result(number: int = 1, output: str = '"é\\u0000"') -> Result:
    file = FileRef(
        file_id="f" * 26, name="é", kind=InputKind.IMAGE, media_type="a/b", size_bytes=1, sha256="0"
    )
    return Result(
        key=Key(f"{number:026}", 2),
        space_id="s" * 26,
        status="failed",
        timestamp=NOW,
        output_json=output,
        output_files=(file,),
        error=Problem(code=Code.HANDLER_FAILED, message="é\n", facts={"a": 1}),
        last_n=4,
        processing_time_seconds=0.25,
    )


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[list[Spool]]:
    spools: list[Spool] = []
    yield spools
    for spool in spools:
        spool.close()


def reopen(place: Path, opened: list[Spool]) -> tuple[Spool, FinishedMemory, list[Result]]:
    for spool in opened:
        spool.close()
    spool = Spool.open(place)
    opened.append(spool)
    memory = FinishedMemory()
    return spool, memory, spool.load(memory, 1000.0)


def test_a_result_is_found_after_a_restart(tmp_path: Path, opened: list[Spool]) -> None:
    spool, _, found = reopen(tmp_path, opened)
    assert found == []
    spool.keep(result(1))
    spool.write()
    spool.keep(result(2))
    spool.write()
    spool.settle([(result(1).key, "settled"), (Key("c" * 26, 1), "cancelled")])
    again, memory, found = reopen(tmp_path, opened)
    assert found == [result(2)]
    assert memory.knows(result(1).key, 1000.0)
    assert memory.cancelled(Key("c" * 26, 1), 1000.0)
    assert again.identity == spool.identity
    assert len(again.identity.instance_id) == 26


def test_the_identity_is_for_its_owner_only(tmp_path: Path, opened: list[Spool]) -> None:
    reopen(tmp_path / "spool", opened)
    assert (tmp_path / "spool").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "spool" / "identity.json").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "spool" / "journal").stat().st_mode & 0o777 == 0o600


def test_one_agent_at_a_time(tmp_path: Path, opened: list[Spool]) -> None:
    reopen(tmp_path, opened)
    with pytest.raises(SpoolLocked, match=f"process {os.getpid()}"):
        Spool.open(tmp_path)


def test_a_second_agent_gets_the_directory_beside(tmp_path: Path, opened: list[Spool]) -> None:
    opened.append(Spool.open_default(tmp_path / "spool"))
    opened.append(Spool.open_default(tmp_path / "spool"))
    assert [spool.directory.name for spool in opened] == ["spool", "spool.2"]


def test_a_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SpoolUnusable, match="cannot be used"):
        Spool.open(tmp_path / "file" / "spool")


@given(st.binary(max_size=60), st.integers(0, 2000), st.booleans())
def test_damage_loses_only_what_it_hits(damage: bytes, place: int, cut: bool) -> None:
    lines = [
        result_line(result(1)),
        over_line(Key("o" * 26, 1), 5.0, "settled"),
        result_line(result(2)),
    ]
    whole = b"".join(lines)
    place = min(place, len(whole))
    damaged = whole[:place] + damage + (b"" if cut else whole[place:])
    journal = read_journal(damaged)
    for key, found in journal.results.items():
        assert found == result(int(key.request_id))
    if len(lines[0]) <= place:
        assert result(1).key in journal.results


def test_a_damaged_journal_is_set_aside(tmp_path: Path, opened: list[Spool]) -> None:
    spool, _, _ = reopen(tmp_path, opened)
    spool.keep(result(1))
    spool.write()
    spool.close()
    journal = tmp_path / "journal"
    journal.write_bytes(journal.read_bytes() + b"half a li")
    _, _, found = reopen(tmp_path, opened)
    assert found == [result(1)]
    (aside,) = tmp_path.glob("journal.damaged-*")
    assert aside.read_bytes().endswith(b"half a li")


@pytest.mark.parametrize("text", ["", "{", '{"instance_id": "x", "secret": "y"}', "[]"])
def test_a_damaged_identity_is_set_aside(tmp_path: Path, opened: list[Spool], text: str) -> None:
    (tmp_path / "identity.json").write_text(text)
    spool, _, _ = reopen(tmp_path, opened)
    assert len(spool.identity.secret) >= 32
    assert len(list(tmp_path.glob("identity.damaged-*"))) == 1


def test_a_full_disk_is_said_and_survived(
    tmp_path: Path, opened: list[Spool], monkeypatch: pytest.MonkeyPatch
) -> None:
    spool, memory, _ = reopen(tmp_path, opened)
    write = os.write

    def full(_fd: int, _data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    spool.keep(result(1))
    spool.write()
    assert "No space left" in str(spool.problem)
    spool.retry(memory, 1000.0)
    assert "No space left" in str(spool.problem)
    monkeypatch.setattr(os, "write", write)
    spool.retry(memory, 1000.0)
    assert not spool.problem
    assert reopen(tmp_path, opened)[2] == [result(1)]


def test_half_a_write_is_taken_back(
    tmp_path: Path, opened: list[Spool], monkeypatch: pytest.MonkeyPatch
) -> None:
    spool, _, _ = reopen(tmp_path, opened)
    spool.keep(result(1))
    spool.write()
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[: len(data) // 2]))
    spool.keep(result(2))
    spool.write()
    assert spool.problem is not None
    monkeypatch.setattr(os, "write", write)
    assert reopen(tmp_path, opened)[2] == [result(1)]
    assert not list(tmp_path.glob("journal.damaged-*"))


def test_a_grown_journal_is_written_anew(
    tmp_path: Path, opened: list[Spool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spaces_worker_agent.spool.COMPACT_BYTES", 2000)
    spool, memory, _ = reopen(tmp_path, opened)
    for number in range(20):
        spool.keep(result(number))
        spool.settle([(result(number).key, "settled")])
    spool.keep(result(99))
    spool.write()
    grown = (tmp_path / "journal").stat().st_size
    spool.retry(memory, 1000.0)
    assert (tmp_path / "journal").stat().st_size < grown / 5
    assert reopen(tmp_path, opened)[2] == [result(99)]


async def test_what_is_written_reaches_the_disk(
    tmp_path: Path, opened: list[Spool], monkeypatch: pytest.MonkeyPatch
) -> None:
    spool, _, _ = reopen(tmp_path, opened)
    loop = asyncio.get_running_loop()
    synced = asyncio.Event()

    def noticed(fd: int) -> None:
        os.fsync(fd)
        loop.call_soon_threadsafe(synced.set)

    monkeypatch.setattr("spaces_worker_agent.spool.SYNC", noticed)
    flushing = asyncio.create_task(spool.flush_forever())
    spool.keep(result(1))
    spool.write()
    await asyncio.wait_for(synced.wait(), 5)
    flushing.cancel()
    await asyncio.gather(flushing, return_exceptions=True)


async def test_a_journal_that_is_replaced_while_it_is_synced_is_no_error(
    tmp_path: Path, opened: list[Spool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spaces_worker_agent.spool.COMPACT_BYTES", 0)
    spool, memory, _ = reopen(tmp_path, opened)
    loop = asyncio.get_running_loop()
    began, replaced, synced = asyncio.Event(), threading.Event(), asyncio.Event()

    def slow(fd: int) -> None:
        loop.call_soon_threadsafe(began.set)
        replaced.wait(5)
        os.fsync(fd)
        loop.call_soon_threadsafe(synced.set)

    monkeypatch.setattr("spaces_worker_agent.spool.SYNC", slow)
    flushing = asyncio.create_task(spool.flush_forever())
    spool.keep(result(1))
    spool.write()
    await asyncio.wait_for(began.wait(), 5)
    spool.retry(memory, 1000.0)
    replaced.set()
    await asyncio.wait_for(synced.wait(), 5)
    flushing.cancel()
    await asyncio.gather(flushing, return_exceptions=True)
    assert spool.problem is None


def test_the_default_directory_depends_on_gateway_and_spaces() -> None:
    environ = {"XDG_STATE_HOME": "/state"}
    place = default_spool_dir("https://a", ["team/demo"], environ)
    assert place.parent == Path("/state/spaces-worker")
    assert place.name.startswith("team-demo-")
    assert place != default_spool_dir("https://b", ["team/demo"], environ)
    assert place != default_spool_dir("https://a", ["team/other"], environ)
    both = default_spool_dir("https://a", ["x", "y"], environ)
    assert both.name[-12:] == default_spool_dir("https://a", ["y", "x"], environ).name[-12:]
    assert default_spool_dir("https://a", ["x"], {"STATE_DIRECTORY": "/var/lib/w"}).parts[3] == "w"
