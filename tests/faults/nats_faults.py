"""Faults of NATS: restarted, its data wiped, messages that come twice, late and out of order."""

import asyncio
import random
import shutil
from collections.abc import Awaitable, Callable
from contextlib import suppress

import nats
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from spaces_stack.ports import LOOPBACK
from spaces_stack.state_dir import StateDir
from tests.faults.kinds import Kind
from tests.faults.rig import Rig
from tests.support.observed_nats import OBSERVER

_COPIES_HOLD_S = (2.0, 4.0)
_LATEST_S = 1.5
_MARK = "Fault-Copy"
# Inboxes and the server's own subjects are no messages of ours.
_NOT_OURS = ("_INBOX.", "$", "_R_.", "_GR_.")


def kinds() -> list[Kind]:
    """All of this family."""
    return [
        Kind("nats restart", "nats", _restart(wipe=False)),
        Kind("nats data wiped", "nats", _restart(wipe=True)),
        Kind("messages duplicated and reordered", "nats", _copies),
    ]


def _restart(*, wipe: bool) -> Callable[[Rig, random.Random], Awaitable[None]]:
    async def inflict(rig: Rig, _dice: random.Random) -> None:
        rig.inflicted.stream_losses += 1
        supervisor = rig.platform.processes.supervisor
        if wipe:
            await asyncio.to_thread(rig.platform.kill, "nats")
            await asyncio.to_thread(_wipe, rig)
        else:
            await asyncio.to_thread(supervisor.stop, "nats")
        await asyncio.to_thread(rig.platform.revive, "nats")

    return inflict


def _wipe(rig: Rig) -> None:
    for path in StateDir(rig.platform.folder).nats_store.iterdir():
        shutil.rmtree(path)


async def _copies(rig: Rig, dice: random.Random) -> None:
    """Every second message of the services comes again, up to 1.5 s later and in any order."""
    client = await _as_service(rig)
    later: set[asyncio.Task[None]] = set()

    async def again(message: Msg, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        headers = {**(message.headers or {}), _MARK: "1"}
        with suppress(nats.errors.Error):  # the fault is over, or the server is busy
            await client.publish(message.subject, message.data, message.reply, headers=headers)

    async def copy(message: Msg) -> None:
        ours = not message.subject.startswith(_NOT_OURS)
        if ours and _MARK not in (message.headers or {}) and dice.random() < 0.5:
            task = asyncio.create_task(again(message, dice.uniform(0.0, _LATEST_S)))
            later.add(task)
            task.add_done_callback(later.discard)

    try:
        everything = await client.subscribe(">", cb=copy)
        await asyncio.sleep(dice.uniform(*_COPIES_HOLD_S))
        await everything.unsubscribe()
        if later:
            await asyncio.wait(later, timeout=2 * _LATEST_S)
    finally:
        await client.close()


async def _as_service(rig: Rig) -> Client:
    port = rig.platform.processes.ports[1]
    password = StateDir(rig.platform.folder).secrets.get(f"nats-{OBSERVER}")
    return await nats.connect(
        f"nats://{LOOPBACK}:{port}", user=OBSERVER, password=password, name="fault copies"
    )
