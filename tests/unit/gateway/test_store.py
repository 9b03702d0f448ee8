"""The file store: whole or not at all, whatever lies under it."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import obstore
import pytest
from hypothesis import given
from hypothesis import strategies as st
from obstore.store import LocalStore, MemoryStore, ObjectStore

from spaces_chassis.errors import ProblemError
from spaces_chassis.testing import ManualClock
from spaces_contracts.identifiers import new_id
from spaces_contracts.problems import Code
from spaces_gateway.files.retention import RetentionSweep
from spaces_gateway.files.room import Uploader
from spaces_gateway.files.store import FileStore, StoredFile, Upload, _day, open_store
from tests.support.eventually import eventually

UPLOAD = Upload("a.bin", None, Uploader(new_id()))


@pytest.fixture(params=["memory", "directory"])
def under(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "memory":
        return MemoryStore()
    return LocalStore(tmp_path, automatic_cleanup=True)


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def whole(
    store: FileStore, file: StoredFile, start: int = 0, end: int | None = None
) -> bytes:
    chunks = await store.read(file, start, file.size_bytes if end is None else end)
    return b"".join([chunk async for chunk in chunks])


async def nothing_is_left(under: ObjectStore) -> bool:
    return [entry async for page in obstore.list(under) for entry in page] == []


@pytest.mark.parametrize("sizes", [[], [1], [8192, 1], [100, 9000, 70_000], [3_000_000] * 4])
async def test_what_went_in_comes_out(under: ObjectStore, sizes: list[int]) -> None:
    store = FileStore(under, 10**8)
    content = [bytes([n % 256]) * size for n, size in enumerate(sizes)]
    file = await store.save(UPLOAD, pieces(*content))
    joined = b"".join(content)
    assert (file.size_bytes, file.sha256) == (len(joined), hashlib.sha256(joined).hexdigest())
    assert await store.find(file.file_id) == file
    if joined:
        assert await whole(store, file) == joined
        assert await whole(store, file, len(joined) // 2) == joined[len(joined) // 2 :]


async def test_a_body_that_breaks_off_leaves_nothing(under: ObjectStore) -> None:
    async def breaks() -> AsyncIterator[bytes]:
        yield bytes(7_000_000)
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await FileStore(under, 10**8).save(UPLOAD, breaks())
    assert await nothing_is_left(under)


async def test_a_body_over_the_limit_is_cut_off_there(under: ObjectStore) -> None:
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        while True:
            taken += 1000
            yield bytes(1000)

    with pytest.raises(ProblemError) as raised:
        await FileStore(under, 50_000).save(UPLOAD, endless())
    assert raised.value.problem.code is Code.FILE_TOO_LARGE
    assert taken == 51_000
    assert await nothing_is_left(under)


async def test_a_cancelled_upload_leaves_nothing(under: ObjectStore) -> None:
    gate = asyncio.Event()
    waiting = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield bytes(6_000_000)
        waiting.set()
        await gate.wait()
        yield b"more"

    store = FileStore(under, 10**8)
    task = asyncio.create_task(store.save(UPLOAD, body()))
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gate.set()
    await eventually(lambda: nothing_is_left(under))


async def test_unknown_and_removed_files_are_not_found(under: ObjectStore) -> None:
    store = FileStore(under, 10**8)
    file = await store.save(UPLOAD, pieces(b"x"))
    await store.remove(file.file_id)
    await store.remove(file.file_id)
    for file_id in (file.file_id, new_id(), "../../etc/passwd", "", "l" * 26):
        with pytest.raises(ProblemError) as raised:
            await store.find(file_id)
        assert raised.value.problem.code is Code.FILE_NOT_FOUND
    with pytest.raises(ProblemError) as raised:
        await store.read(file, 0, 1)
    assert raised.value.problem.code is Code.FILE_NOT_FOUND


async def test_the_sweep_removes_days_that_are_over_and_no_other(under: ObjectStore) -> None:
    store = FileStore(under, 10**8)
    file = await store.save(UPLOAD, pieces(b"x"))
    clock = ManualClock(datetime.now(UTC))
    sweep = RetentionSweep(store, clock, keep_days=7)
    clock.forward(timedelta(days=7).total_seconds())
    assert await sweep.step() == 0
    assert await store.find(file.file_id) == file
    clock.forward(timedelta(days=1).total_seconds())
    assert await sweep.step() == 2
    assert await nothing_is_left(under)


async def test_the_sweep_removes_what_a_killed_process_left_half_written(tmp_path: Path) -> None:
    day = tmp_path / "2026-01-01"
    day.mkdir()
    (day / f"{new_id()}.data#1").write_bytes(b"half")
    store = FileStore(open_store(str(tmp_path)), 10**8)
    await RetentionSweep(store, ManualClock(datetime.now(UTC)), keep_days=7).step()
    assert await store.days() == []


@given(st.text("0123456789abcdefghijklmnopqrstuvwxyz", min_size=20, max_size=32))
def test_any_id_has_a_day(file_id: str) -> None:
    assert date.fromisoformat(_day(file_id)).isoformat() == _day(file_id)


def test_the_day_of_a_new_id_is_today() -> None:
    before = datetime.now(UTC).date().isoformat()
    assert _day(new_id()) in (before, datetime.now(UTC).date().isoformat())


def test_a_store_is_a_directory_or_an_address(tmp_path: Path) -> None:
    assert isinstance(open_store(str(tmp_path / "new")), LocalStore)
    assert isinstance(open_store("memory:///"), MemoryStore)
