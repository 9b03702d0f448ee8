"""Hostile NATS subjects with a real worker token, through the real callout: nothing may leave the worker's own space.

`python -m tests.security.nats_subjects` prints what it found. A victim in another tenant's space and an observer of
the whole account CORE listen, and say what came.
"""

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

from nats.errors import Error as NatsError

from spaces_contracts.identifiers import new_id
from spaces_contracts.streams import event_key, event_keys
from tests.security.campaign import Campaign
from tests.security.hostile_bodies import (
    expected_ack,
    headers,
    lies,
)
from tests.security.hostile_subjects import answer_addresses, publishes, subscriptions
from tests.security.nats_scene import Scene, Tap, closed, scene_of, settled
from tests.support.observed_nats import observed_nats
from tests.support.platform import Platform, running_platform

# A worker's connection may have 20 subscriptions.
_AT_ONCE = 10


def run() -> Campaign:
    """Starts a platform, attacks it and says what got through."""
    with running_platform(nats=observed_nats) as platform:
        return asyncio.run(_run(platform))


async def _run(platform: Platform) -> Campaign:
    campaign = Campaign("nats_subjects")
    async with scene_of(platform, campaign) as scene:
        for attack in (_own, _publishes, _subscriptions, _answers, _headers, _lies, _others):
            await scene.beat()
            await attack(scene)
        await _chunk_of_the_victim(scene)
        if not await scene.intact():
            campaign.wrongly_allowed.append("the victim's request or events were changed")
    for name in ("gateway", "registry", "scheduler"):
        log = platform.log(name)
        for sign in ("Traceback", "handler_failed", "bus_refused"):
            if sign in log:
                campaign.errors.append(f"{sign} in the log of the {name}: {_line(log, sign)}")
    return campaign


async def _chunk_of_the_victim(scene: Scene) -> None:
    """Stored, whatever was tried with its request's id before."""
    victim, request_id = scene.victim, scene.names.victim.request
    subject = f"{victim.up}.chunk.{request_id}"
    headers = {"Nats-Msg-Id": event_key(event_keys("secret"), request_id, 1, 1, 1)}
    await victim.client.request(subject, scene.victim_chunk, timeout=5, headers=headers)


async def _own(scene: Scene) -> None:
    """What it may do works, and the taps hear: else silence would prove nothing."""
    mark = new_id()
    attacker, victim = scene.attacker, scene.victim
    await attacker.client.publish(f"{attacker.up}.chunk.{mark}", _body(mark))
    await scene.core.publish(f"{victim.down}.control", _body(mark))
    await scene.settle()
    heard = {message.subject for message in scene.core_tap.heard}
    if f"evt.{attacker.space}.{mark}" not in heard:
        scene.campaign.wrongly_refused.append("its own chunk")
    if [message.subject for message in victim.tap.heard] != [f"{victim.down}.control"]:
        scene.campaign.errors.append("the victim is deaf")
    scene.reached("")


async def _publishes(scene: Scene) -> None:
    attacker = scene.attacker
    for subject in publishes(scene.names):
        mark = new_id()
        attacker.refused.clear()
        await attacker.client.publish(subject, _body(mark, scene))
        await attacker.client.publish(subject, _body(mark, scene), reply=f"{attacker.down}.answer")
        await scene.settle()
        found = scene.reached(mark)
        if len(attacker.refused) < 2:
            found.append("not refused")
        scene.note(f"publish {subject[:80]!r}", found)
        await _still_in(scene)


async def _subscriptions(scene: Scene) -> None:
    attacker = scene.attacker
    patterns = [*subscriptions(scene.names)]
    asked = [(pattern, queue) for pattern in patterns for queue in ("", "registry")]
    for start in range(0, len(asked), _AT_ONCE):
        taps: dict[tuple[str, str], Tap] = {}
        attacker.refused.clear()
        made = []
        for pattern, queue in asked[start : start + _AT_ONCE]:
            tap = taps[pattern, queue] = Tap()
            made.append(await attacker.client.subscribe(pattern, queue, cb=tap.hear))
        await settled(attacker.client)
        await _traffic(scene)
        for (pattern, queue), tap in taps.items():
            found = [f"heard {message.subject}" for message in tap.heard]
            told = [error for error in attacker.refused if f'"{pattern.lower()}"' in error]
            if not told:
                found.append("not refused")
            scene.note(f"subscribe {pattern!r} {queue}", found)
        for subscription in made:
            await subscription.unsubscribe()
        scene.reached("")
        await _still_in(scene)


async def _traffic(scene: Scene) -> None:
    """What others say to each other, on every kind of subject."""
    victim = scene.names.victim
    for subject in (
        f"{scene.victim.down}.job",
        f"evt.{victim.space}.{victim.request}",
        f"fin.{victim.space}.{victim.request}",
        f"sev.{victim.space}",
        f"gw.{new_id()}.cl.{new_id()}",
        f"gw.{new_id()}.wk.{victim.connection}.job",
        f"_INBOX.gateway.{new_id()}.rpc.reg.1",
        f"_INBOX.{victim.connection}.x.1",
        "task.x",
    ):
        await scene.core.publish(subject, b"{}")
    await scene.victim.client.publish(f"{scene.victim.up}.hb", b"{}")
    await scene.settle()


async def _answers(scene: Scene) -> None:
    """A service, or the stream, is asked to answer to somebody else's address."""
    attacker = scene.attacker
    for address in answer_addresses(scene.names):
        mark = new_id()
        for subject in (f"{attacker.up}.result", f"{attacker.up}.chunk.{mark}", _edge(scene)):
            await attacker.client.publish(subject, _body(mark, scene), reply=address)
            await _answered(scene)
            # The stream's answer holds no mark: what comes out at the address itself is one, whatever it says.
            targets = () if address == f"hb.gw.{scene.names.gateway}" else (address,)
            found = scene.reached(mark, *targets)
            scene.note(f"answer to {address!r} of {subject.split('.')[-2:]}", found)
        await _still_in(scene)


async def _headers(scene: Scene) -> None:
    """Headers by which a broker does more than deliver."""
    attacker = scene.attacker
    for header in headers(scene.names):
        mark = new_id()
        target = next(iter(header.values()))
        for what in (f"chunk.{mark}", "result"):
            await attacker.client.publish(
                f"{attacker.up}.{what}", _body(mark, scene), headers=dict(header)
            )
            await _answered(scene)
            scene.note(f"header {header} on {what[:6]}", scene.reached(mark, target))
        await _still_in(scene)


async def _lies(scene: Scene) -> None:
    """Bodies that name the victim's connection, space and request: the subject says who speaks."""
    attacker = scene.attacker
    for what, body in lies(scene.names):
        subject = _edge(scene) if what == "attach" else f"{attacker.up}.{what}"
        answer: asyncio.Queue[bytes] = asyncio.Queue()
        address = f"_INBOX.{attacker.connection}.{new_id()}"

        async def note(message: object, answer: asyncio.Queue[bytes] = answer) -> None:
            answer.put_nowait(message.data)  # type: ignore[attr-defined]  # a nats Msg

        subscription = await attacker.client.subscribe(address, cb=note)
        await settled(attacker.client)
        await attacker.client.publish(subject, body, reply=address)
        await _answered(scene)
        found = scene.reached("no mark")
        if (wanted := expected_ack(what)) is not None:
            said = await asyncio.wait_for(answer.get(), 5)
            if not any(one in said for one in wanted):
                found.append(f"answered {said!r}")
        scene.note(f"lie in {what}: {body[:60]!r}", found)
        await subscription.unsubscribe()


async def _others(scene: Scene) -> None:
    """Who says to be somebody else."""
    own, victim = scene.names.own, scene.names.victim
    users = [
        f"{victim.connection}:{victim.space}",
        f"{own.connection}:{victim.space}",
        f"{victim.connection}:{own.space}",
        *(f"{name}:{own.space}" for name in ("*", ">", "x", "", f"{own.connection}.>", "_INBOX")),
        *(f"{own.connection}:{ref}" for ref in ("*", ">", "", "hostile.victim", "victim", "a/b/c")),
        own.connection,
        "",
        *("gateway", "registry", "scheduler", "registry-sys", "registry-callout", "observer"),
    ]
    await closed(scene.attacker.client)
    for user in users:
        let_in = await scene.attacker.connect(user)
        scene.note(f"user {user!r}", ["let in"] if let_in else [])
        await closed(scene.attacker.client)
    for password in ("", "wrong", scene.attacker.token + "x", scene.attacker.token[:-1], "\x00"):
        let_in = await scene.attacker.connect(password=password)
        scene.note(f"password {password[:8]!r}", ["let in"] if let_in else [])
        await closed(scene.attacker.client)
    if not await scene.attacker.connect():
        scene.campaign.wrongly_refused.append("its own token, afterwards")


async def _answered(scene: Scene) -> None:
    """Services have read what was sent: each answers a question of the observer after it."""
    await scene.settle()
    await scene.services_have_read()
    await scene.settle()


async def _still_in(scene: Scene) -> None:
    """A broker may end the connection of who misbehaves: the attacker comes back."""
    if not scene.attacker.client.is_connected:
        await closed(scene.attacker.client)
        if not await scene.attacker.connect():
            raise NatsError("the attacker is not let in any more")


def _edge(scene: Scene) -> str:
    return f"edge.{scene.attacker.connection}.attach"


def _body(mark: str, scene: Scene | None = None) -> bytes:
    """Something that every message's reader finds what it needs in; the mark is in the answers."""
    victim = scene.names.victim if scene else None
    return json.dumps(
        {
            "mark": mark,
            "request_id": mark,
            "ref": mark,
            "attempt": 1,
            "state": "succeeded",
            "kind": "chunk",
            "token_sha256": "0" * 64,
            "instance_id": mark,
            "instance_secret_sha256": "0" * 64,
            "agent": {"version": "1"},
            "connection_id": victim.connection if victim else mark,
            "space_id": victim.space if victim else mark,
        }
    ).encode()


def _line(log: str, sign: str) -> str:
    return next(line for line in log.splitlines() if sign in line)[:300]


def main() -> int:
    """The campaign as one JSON object; exit code 1 when something got through."""
    found = run()
    json.dump(asdict(found), sys.stdout, indent=1)
    problems: Sequence[str] = (*found.wrongly_allowed, *found.wrongly_refused, *found.errors)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
