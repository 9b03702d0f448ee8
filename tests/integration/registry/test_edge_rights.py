"""What a direct worker reaches at the broker, and what it does not: the account EDGE."""

import pytest
from nats.aio.msg import Msg

from spaces_chassis.bus import listen
from spaces_contracts.identifiers import new_id
from tests.integration.registry.conftest import World
from tests.integration.registry.direct_worker import Direct, settled
from tests.support.eventually import eventually

SPACE, OTHER, REQUEST = "{space}", new_id(), new_id()
MINE = "{connection}"
PUBLISHES = [
    f"wk.{SPACE}.{OTHER}.u.result",
    f"wk.{SPACE}.{OTHER}.u.hb",
    f"wk.{SPACE}.{OTHER}.u.bye",
    f"wk.{SPACE}.{OTHER}.u.chunk.{REQUEST}",
    f"wk.{OTHER}.{MINE}.u.result",
    f"wk.{OTHER}.{MINE}.u.chunk.{REQUEST}",
    f"wk.{OTHER}.{OTHER}.u.started",
    f"wk.{SPACE}.{MINE}.d.job",
    f"wk.{SPACE}.{OTHER}.d.kick",
    f"wk.{SPACE}.{MINE}",
    f"evt.{SPACE}.{REQUEST}",
    f"fin.{SPACE}.{REQUEST}",
    f"sev.{SPACE}",
    "rpc.reg.authenticate",
    "rpc.reg.space_list",
    "rpc.reg.attach",
    "rpc.reg.credential_create",
    "rpc.reg.connection_suspected",
    "rpc.sched.submit",
    "rpc.sched.cancel",
    "rpc.sched.announce",
    f"hb.gw.{OTHER}",
    f"hb.sched.{OTHER}",
    f"gw.{OTHER}.ctl",
    f"gw.{OTHER}.wk.{OTHER}.kick",
    f"reg.changed.space.{OTHER}",
    f"edge.{OTHER}.attach",
    f"edge.{MINE}.detach",
    f"_INBOX.{OTHER}.x",
    "$JS.API.INFO",
    "$JS.API.STREAM.LIST",
    "$JS.API.STREAM.DELETE.EVT",
    "$JS.API.STREAM.PURGE.EVT",
    "$JS.API.DIRECT.GET.EVT",
    "$SYS.REQ.USER.AUTH",
    "$SYS.REQ.SERVER.PING",
    "$SYS.REQ.ACCOUNT.CORE.CONNZ",
]
SUBSCRIPTIONS = [
    ">",
    "*.>",
    "wk.>",
    f"wk.{SPACE}.>",
    f"wk.{SPACE}.*.d.>",
    f"wk.{SPACE}.{OTHER}.d.>",
    f"wk.{OTHER}.{MINE}.d.>",
    f"wk.{SPACE}.{MINE}.u.>",
    "evt.>",
    f"evt.{SPACE}.{REQUEST}",
    f"fin.{SPACE}.*",
    "rpc.>",
    f"gw.{OTHER}.>",
    "_INBOX.>",
    f"_INBOX.{OTHER}.>",
    "$SYS.>",
    "$JS.>",
    "reg.changed.>",
]


def filled(template: str, direct: Direct) -> str:
    return template.format(space=direct.space.space_id, connection=direct.connection_id)


async def test_a_direct_worker_speaks_for_nobody_else(direct: Direct, world: World) -> None:
    """37 subjects in one go: what one of them let through would be heard."""
    heard: list[str] = []
    subscriptions = [
        await world.bus.subscribe(listen(pattern, lambda delivery: heard.append(delivery.subject)))
        for pattern in (
            "wk.>",
            "evt.>",
            "fin.>",
            "sev.>",
            "rpc.>",
            "hb.>",
            "gw.>",
            "reg.>",
            "edge.>",
        )
    ]
    for template in PUBLISHES:
        await direct.client.publish(
            filled(template, direct), b"{}", reply=f"_INBOX.{direct.connection_id}.r"
        )
    # The same session's allowed beat comes last: when it is heard, all before it was judged.
    beat = f"wk.{direct.space.space_id}.{direct.connection_id}.u.hb"
    await direct.client.publish(beat, b"{}")
    await eventually(lambda: beat in heard)
    assert [one for one in heard if one != beat and not one.endswith(".kick")] == []
    for subscription in subscriptions:
        await subscription.stop()


@pytest.mark.parametrize("template", SUBSCRIPTIONS)
async def test_a_direct_worker_listens_to_nobody_else(
    template: str, direct: Direct, world: World
) -> None:
    heard: list[str] = []

    async def hear(message: Msg) -> None:
        heard.append(message.subject)

    await direct.client.subscribe(filled(template, direct), cb=hear)
    await settled(direct.client)
    space_id = direct.space.space_id
    for subject in (
        f"evt.{space_id}.{REQUEST}",
        f"fin.{space_id}.{REQUEST}",
        f"wk.{space_id}.{OTHER}.d.job",
        f"wk.{OTHER}.{direct.connection_id}.d.job",
        f"wk.{space_id}.{direct.connection_id}.u.result",
        f"gw.{OTHER}.ctl",
        f"reg.changed.space.{OTHER}",
    ):
        world.bus.publish_bytes(subject, b"{}")
    await world.bus.flush()
    await settled(direct.client)
    assert heard == []
