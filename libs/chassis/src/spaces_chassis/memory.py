"""A bus in memory with NATS's rules: queue groups, no responders, and stream EVT. For tests."""

import asyncio
import contextlib
import itertools
import json
import random
import re
from collections.abc import Mapping
from typing import Any

from spaces_chassis.bus.transport import NO_HEADERS, STATUS_HEADER, Packet, Receive, Watcher
from spaces_chassis.errors import BusUnavailable
from spaces_contracts.streams import EVT

_CREATE = f"$JS.API.STREAM.CREATE.{EVT.name}"
_INFO = f"$JS.API.STREAM.INFO.{EVT.name}"
_UPDATE = f"$JS.API.STREAM.UPDATE.{EVT.name}"
_READ = f"$JS.API.DIRECT.GET.{EVT.name}"


def matches(pattern: str, subject: str) -> bool:
    """Whether a NATS subject pattern covers a subject."""
    return _expression(pattern).match(subject) is not None


def _expression(pattern: str) -> "re.Pattern[str]":
    tokens = [
        {"*": r"[^.]+", ">": r".+"}.get(token, re.escape(token)) for token in pattern.split(".")
    ]
    return re.compile("^" + r"\.".join(tokens) + "$")


class MemoryBroker:
    """What stands for the server; several buses may share one."""

    def __init__(self) -> None:
        self.handles: list[MemoryHandle] = []
        self.transports: list[MemoryTransport] = []
        self.up = True
        self._stream: dict[str, Any] | None = None
        self._events: list[tuple[int, str, bytes]] = []
        self._seen: dict[str, int] = {}
        self._next_seq = itertools.count(1)

    def go_down(self) -> None:
        """Every bus is disconnected until `come_up`; what was under way is lost."""
        self.up = False
        for transport in self.transports:
            transport.drop()

    def come_up(self) -> None:
        """Every bus is connected again, with its subscriptions."""
        self.up = True
        for transport in self.transports:
            transport.regain()

    def route(self, packet: Packet) -> None:
        """Gives a packet to all who listen, once for each queue group."""
        if self._serve_stream(packet):
            return
        stored = self._store(packet)
        groups: dict[str, list[MemoryHandle]] = {}
        found = False
        for handle in self.handles:
            if not handle.expression.match(packet.subject):
                continue
            found = True
            if handle.queue is None:
                handle.inbound.put_nowait(packet)
            else:
                groups.setdefault(handle.queue, []).append(handle)
        for members in groups.values():
            random.choice(members).inbound.put_nowait(packet)
        if not found and not stored and packet.reply_to:
            self._answer(packet, b"", {STATUS_HEADER: "503"})

    def _answer(self, packet: Packet, body: bytes, headers: Mapping[str, str] = NO_HEADERS) -> None:
        if packet.reply_to:
            self.route(Packet(packet.reply_to, None, body, headers))

    def _serve_stream(self, packet: Packet) -> bool:
        if packet.subject in (_INFO, _CREATE, _UPDATE):
            if packet.subject != _INFO:
                self._stream = json.loads(packet.body)
            missing = {"error": {"code": 404, "err_code": 10059, "description": "stream not found"}}
            answer = missing if self._stream is None else {"config": self._stream}
            self._answer(packet, json.dumps(answer).encode())
            return True
        if packet.subject == _READ and self._stream is not None:
            self._read(packet)
            return True
        return False

    def _read(self, packet: Packet) -> None:
        ask = json.loads(packet.body)
        wanted = _expression(ask["next_by_subj"])
        found = [e for e in self._events if e[0] >= ask["seq"] and wanted.match(e[1])]
        for seq, subject, body in found[: ask["batch"]]:
            self._answer(packet, body, {"Nats-Sequence": str(seq), "Nats-Subject": subject})
        left = str(max(0, len(found) - ask["batch"]))
        status = "204" if found else "404"
        self._answer(packet, b"", {STATUS_HEADER: status, "Nats-Num-Pending": left})

    def _store(self, packet: Packet) -> bool:
        if self._stream is None or not any(matches(p, packet.subject) for p in EVT.subjects):
            return False
        key = packet.headers.get("Nats-Msg-Id")
        seq = self._seen.get(key) if key else None
        if seq is None:
            seq = next(self._next_seq)
            self._events.append((seq, packet.subject, packet.body))
        if key:
            self._seen[key] = seq
        self._answer(packet, json.dumps({"stream": EVT.name, "seq": seq}).encode())
        return True


class MemoryTransport:
    """One bus's connection to a MemoryBroker."""

    unsent_bytes = 0

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker
        self._watcher: Watcher | None = None
        self.connected = False
        self._handles: list[MemoryHandle] = []

    def server_info(self) -> Mapping[str, Any]:
        return {"server_name": "memory"}

    async def connect(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self._broker.transports.append(self)
        if not self._broker.up:
            raise BusUnavailable("the memory broker is down")
        self.connected = True
        watcher.on_connected()

    def publish(
        self, subject: str, body: bytes, reply_to: str | None, headers: Mapping[str, str] | None
    ) -> None:
        if not self.connected:
            raise BusUnavailable("the bus is not connected")
        self._broker.route(
            Packet(subject, reply_to, body, dict(headers) if headers else NO_HEADERS)
        )

    async def subscribe(self, subject: str, queue: str | None, receive: Receive) -> "MemoryHandle":
        handle = MemoryHandle(self._broker, subject, queue, receive)
        self._handles.append(handle)
        return handle

    async def barrier(self, timeout_s: float) -> None:
        if not self.connected:
            raise BusUnavailable("the bus is not connected")
        await asyncio.sleep(0)

    async def close(self) -> None:
        self.connected = False
        if self in self._broker.transports:
            self._broker.transports.remove(self)
        for handle in self._handles:
            await handle.stop()

    def drop(self) -> None:
        """The connection is cut; what was received and not handled stays, as with NATS."""
        self.connected = False
        for handle in self._handles:
            handle.detach()
        if self._watcher is not None:
            self._watcher.on_disconnected()

    def regain(self) -> None:
        """The connection is back."""
        self.connected = True
        for handle in self._handles:
            handle.attach()
        if self._watcher is not None:
            self._watcher.on_connected()


class MemoryHandle:
    """One subscription: a queue and a task, so handlers never run inside the publisher."""

    def __init__(
        self, broker: MemoryBroker, subject: str, queue: str | None, receive: Receive
    ) -> None:
        self.expression = _expression(subject)
        self.queue = queue
        self.inbound: asyncio.Queue[Packet] = asyncio.Queue()
        self._broker = broker
        self._receive = receive
        self._ended = False
        self.attach()
        self._task = asyncio.get_running_loop().create_task(self._run())

    def attach(self) -> None:
        """Packets come from now on."""
        if not self._ended and self not in self._broker.handles:
            self._broker.handles.append(self)

    def detach(self) -> None:
        """No further packets come."""
        with contextlib.suppress(ValueError):
            self._broker.handles.remove(self)

    async def stop(self) -> None:
        self._ended = True
        self.detach()
        self._task.cancel()

    async def drain(self) -> None:
        self._ended = True
        self.detach()
        await self.inbound.join()
        self._task.cancel()

    async def _run(self) -> None:
        while True:
            packet = await self.inbound.get()
            try:
                result = self._receive(packet)
                if result is not None:
                    await result
            finally:
                self.inbound.task_done()
