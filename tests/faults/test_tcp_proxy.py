"""The proxy does to bytes what its toxics say, and nothing else."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.faults.tcp_proxy import Proxy
from tests.support.eventually import eventually

LONG = bytes(range(256)) * 2048  # 512 KiB


@asynccontextmanager
async def echo_behind_proxy() -> AsyncIterator[Proxy]:
    """An echo server, and a proxy before it."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass  # the proxy reset it: that is what a test does
        finally:
            writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    proxy = Proxy("echo")
    proxy.target = server.sockets[0].getsockname()[:2]
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop()
        server.close()


@asynccontextmanager
async def connected(
    proxy: Proxy,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def silent(reader: asyncio.StreamReader, seconds: float = 0.15) -> bool:
    """Whether nothing comes for a while."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(seconds):
            await reader.read(1)
    return True


async def test_without_toxics_bytes_and_the_end_pass_through() -> None:
    async with echo_behind_proxy() as proxy, connected(proxy) as (reader, writer):
        writer.write(LONG)
        writer.write_eof()
        assert await reader.read(-1) == LONG


@pytest.mark.parametrize(("slice_bytes", "bytes_per_s"), [(700, 0.0), (0, 4e6)])
async def test_slices_and_a_slow_line_change_no_byte(slice_bytes: int, bytes_per_s: float) -> None:
    async with echo_behind_proxy() as proxy, connected(proxy) as (reader, writer):
        for toxics in (proxy.up, proxy.down):
            toxics.slice_bytes, toxics.bytes_per_s = slice_bytes, bytes_per_s
        writer.write(LONG)
        assert await reader.readexactly(len(LONG)) == LONG


async def test_a_slow_line_takes_its_time() -> None:
    async with echo_behind_proxy() as proxy, connected(proxy) as (reader, writer):
        proxy.up.bytes_per_s = 100_000.0
        began = time.monotonic()
        writer.write(LONG[:20_000])
        await reader.readexactly(20_000)
        assert time.monotonic() - began >= 0.15


async def test_latency_delays_and_keeps_the_order() -> None:
    async with echo_behind_proxy() as proxy, connected(proxy) as (reader, writer):
        proxy.down.latency_s, proxy.down.jitter_s = 0.1, 0.05
        began = time.monotonic()
        for n in range(50):
            writer.write(bytes([n]))
            await writer.drain()
        assert await reader.readexactly(50) == bytes(range(50))
        assert time.monotonic() - began >= 0.1


@pytest.mark.parametrize("direction", ["up", "down"])
async def test_a_hole_passes_nothing_one_way_and_everything_when_it_heals(direction: str) -> None:
    async with echo_behind_proxy() as proxy, connected(proxy) as (reader, writer):
        proxy.toxic("up" if direction == "up" else "down").hole = True
        writer.write(b"held")
        assert await silent(reader)
        proxy.heal()
        assert await reader.readexactly(4) == b"held"


async def test_a_hole_hides_the_end_of_the_other_side() -> None:
    async with echo_behind_proxy() as proxy, connected(proxy) as (reader, writer):
        proxy.down.hole = True
        writer.write_eof()
        assert await silent(reader)
        proxy.heal()
        assert await reader.read(1) == b""


async def test_reset_peer_breaks_open_connections_and_lets_new_ones_in() -> None:
    async with echo_behind_proxy() as proxy, connected(proxy) as (reader, writer):
        writer.write(b"x")
        assert await reader.readexactly(1) == b"x"
        proxy.reset_peer()
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(1)
        async with connected(proxy) as (again, sender):
            sender.write(b"y")
            assert await again.readexactly(1) == b"y"


async def test_a_link_that_is_down_refuses_until_it_heals() -> None:
    async with echo_behind_proxy() as proxy:
        proxy.refuse = True
        async with connected(proxy) as (reader, _):
            with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                await reader.readexactly(1)
        proxy.heal()
        async with connected(proxy) as (reader, writer):
            writer.write(b"z")
            assert await reader.readexactly(1) == b"z"


async def test_who_does_not_read_is_not_read_for_ever() -> None:
    async with echo_behind_proxy() as proxy, connected(proxy) as (_, writer):
        proxy.up.hole = True
        for _ in range(64):
            writer.write(LONG)
        await eventually(lambda: writer.transport.get_write_buffer_size() > 1_000_000)
        assert proxy.connections == 1
