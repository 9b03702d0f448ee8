"""Subjects that a direct worker has no business with: everything that is not its own connection in its own space."""

from collections.abc import Iterable
from dataclasses import dataclass

from spaces_contracts.catalog import CATALOG, Party
from spaces_contracts.identifiers import new_id


@dataclass(frozen=True)
class Ids:
    """Whose space and connection, and one request there."""

    space: str
    connection: str
    request: str


@dataclass(frozen=True)
class Names:
    """What an attacker is given: its own ids, a victim's, and a gateway's."""

    own: Ids
    victim: Ids
    gateway: str


def publishes(names: Names) -> list[str]:
    """Subjects to publish on."""
    own, victim = names.own, names.victim
    mixed = [
        victim,
        Ids(own.space, victim.connection, own.request),
        Ids(victim.space, own.connection, victim.request),
        Ids(own.space, new_id(), own.request),
    ]
    catalog = [subject for ids in mixed for subject in _of_catalog(ids, names.gateway)]
    up, down = f"wk.{own.space}.{own.connection}.u", f"wk.{own.space}.{own.connection}.d"
    return _without_own(
        names,
        [
            *catalog,
            *_of_catalog(own, names.gateway),
            *[f"{down}.{what}" for what in ("job", "cancel", "drain", "kick", "ack", "stored.x")],
            *[f"gw.{names.gateway}.{rest}" for rest in ("ctl", f"cl.{new_id()}", "wk.x.job")],
            *_inboxes(victim),
            *_JETSTREAM,
            *_SYSTEM,
            *_tricks(own, victim, up),
        ],
    )


def subscriptions(names: Names) -> list[str]:
    """Patterns to subscribe to."""
    own, victim = names.own, names.victim
    return [
        *("*", ">", "*.>", "*.*", "*.*.*", "*.*.*.*.>", "*.*.*.*.*", "*.*.*.*.*.*"),
        *("wk.>", "wk.*.*.d.>", "wk.*.*.d.job", "wk.*.*.u.>", "wk.*.*.*.*", "wk.*.*.u.chunk.*"),
        f"wk.{own.space}.>",
        f"wk.{own.space}.*.d.>",
        f"wk.{own.space}.*.u.>",
        f"wk.{own.space}.{own.connection}.>",
        f"wk.{own.space}.{own.connection}.u.>",
        f"wk.{own.space}.{own.connection}.*.job",
        f"wk.*.{own.connection}.d.>",
        f"wk.{victim.space}.>",
        f"wk.{victim.space}.*.d.>",
        f"wk.{victim.space}.{victim.connection}.d.>",
        f"wk.{victim.space}.{victim.connection}.d.job",
        f"wk.{victim.space}.{victim.connection}.d.kick",
        f"wk.{victim.space}.{victim.connection}.u.>",
        f"wk.{victim.space}.{own.connection}.d.>",
        f"wk.{own.space}.{victim.connection}.d.>",
        *("evt.>", "evt.*.*", f"evt.{victim.space}.*", f"evt.{own.space}.{own.request}"),
        f"evt.{victim.space}.{victim.request}",
        *("fin.>", "fin.*.*", f"fin.{victim.space}.*", f"fin.{own.space}.*"),
        *("sev.>", "sev.*", f"sev.{victim.space}", f"sev.{own.space}"),
        *("rpc.>", "rpc.reg.>", "rpc.reg.*", "rpc.reg.authenticate", "rpc.reg.attach"),
        *("rpc.sched.>", "rpc.sched.*", "rpc.sched.submit", "rpc.sched.announce"),
        *("gw.>", "gw.*.>", "gw.*.wk.*.*", f"gw.{names.gateway}.>", f"gw.{names.gateway}.cl.*"),
        *("hb.>", "hb.gw.*", "hb.sched.*", "reg.>", "reg.changed.>", "task.>"),
        *("edge.>", "edge.*.attach", f"edge.{victim.connection}.attach"),
        f"edge.{own.connection}.attach",
        *("_INBOX.>", "_INBOX.*", "_INBOX.*.>", "_INBOX.*.*.*", f"_INBOX.{victim.connection}.>"),
        *(f"_INBOX.{user}.>" for user in ("gateway", "registry", "scheduler", "observer")),
        *("_R_.>", "_R_.*.*", "_GR_.>", "$G.>", "$JS.>", "$JS.API.>", "$JS.API.STREAM.>"),
        *("$JS.EVENT.>", "$JS.EVENT.ADVISORY.>", "$JS.ACK.>", "$JSC.>", "$KV.>", "$O.>", "$NRG.>"),
        *("$SYS.>", "$SYS.REQ.>", "$SYS.REQ.USER.AUTH", "$SYS.ACCOUNT.>", "$SYS.SERVER.>"),
        *("$SYS.ACCOUNT.*.CONNECT", "$SYS.ACCOUNT.EDGE.DISCONNECT", "$SYS._INBOX.>", "$SYS.*.>"),
        *("$SRV.>", "$MQTT.>", "$LDS.>", "EVT", "WK.>", "Rpc.>"),
    ]


def answer_addresses(names: Names) -> list[str]:
    """Where a service must not be made to publish, by naming it as the place for an answer.

    The victim's connection id is not among what an attacker knows: it is 80 random bits, shown to the victim's
    tenant only. What one could do who knew it: see test_forged_answers.py of the agent.
    """
    victim = names.victim
    guess = Ids(victim.space, new_id(), victim.request)
    return [
        *[one for one in _of_catalog(guess, names.gateway) if "{" not in one],
        f"wk.{victim.space}.*.d.job",
        f"wk.{victim.space}.*.d.>",
        f"wk.{victim.space}.>",
        "wk.>",
        ">",
        "_INBOX.>",
        "_INBOX.*.>",
        f"_INBOX.gateway.{new_id()}.rpc.reg.1",
        f"gw.{names.gateway}.cl.{new_id()}",
        "$JS.API.STREAM.DELETE.EVT",
        "$JS.API.STREAM.PURGE.EVT",
        "$SYS.REQ.SERVER.PING",
        "$SYS.REQ.USER.AUTH",
        "_R_.x.y",
    ]


def _of_catalog(ids: Ids, gateway: str) -> list[str]:
    """Every message of the catalogue, as somebody else would send it."""
    values = {"space_id": ids.space, "connection_id": ids.connection, "request_id": ids.request}
    values |= {"gateway_id": gateway, "scheduler_id": gateway, "what": "space"}
    values |= {"changed_id": ids.space}
    found: list[str] = []
    for entry in CATALOG:
        template = entry.message.subject.template
        for route in _routes(entry.receivers, ids, gateway):
            found.append(template.format(**values, route=route))
    return found


def _routes(receivers: Iterable[Party], ids: Ids, gateway: str) -> list[str]:
    routes = {
        Party.GATEWAY: f"gw.{gateway}.wk.{ids.connection}",
        Party.DIRECT_WORKER: f"wk.{ids.space}.{ids.connection}.d",
    }
    return [routes[party] for party in receivers if party in routes] or [""]


def _without_own(names: Names, subjects: Iterable[str]) -> list[str]:
    """Each once, and none that the attacker may well publish on."""
    up = f"wk.{names.own.space}.{names.own.connection}.u"
    allowed = {f"{up}.{what}" for what in ("hb", "draining", "bye", "started", "result")}
    allowed |= {f"edge.{names.own.connection}.attach", f"{up}.chunk.{names.own.request}"}
    return [one for one in dict.fromkeys(subjects) if one not in allowed]


def _inboxes(victim: Ids) -> list[str]:
    users = ("gateway", "registry", "scheduler", "registry-callout", "registry-sys")
    return [
        f"_INBOX.{victim.connection}.x.1",
        f"_INBOX.{new_id()}.1",
        *[f"_INBOX.{user}.{new_id()}.rpc.reg.1" for user in users],
        f"_INBOX.scheduler.{new_id()}.jobs.{victim.connection}",
    ]


def _tricks(own: Ids, victim: Ids, up: str) -> list[str]:
    """Wildcards, gaps, cases and lengths: what a careless matcher would take for one's own."""
    return [
        f"wk.{own.space}.*.u.result",
        f"wk.*.{own.connection}.u.result",
        "wk.*.*.u.result",
        "wk.*.*.u.bye",
        f"wk.{own.space}.>",
        f"{up}",
        f"{up}.>",
        f"{up}.*",
        f"{up}.unknown",
        f"{up}.result.more",
        f"{up}.chunk",
        f"{up}.chunk.{own.request}.more",
        f"{up}.chunk.{own.request}.{victim.space}.{victim.request}",
        f"{up}.chunk.{victim.space}.{victim.request}",
        f"{up}..result",
        f".{up}.result",
        f"{up}.result.",
        f"{up.upper()}.result",
        f"{up}.Result",
        f"WK.{own.space}.{own.connection}.u.result",
        f"wk.{victim.space}.{own.connection}.u.chunk.{victim.request}",
        f"wk.{own.space}{own.connection}.u.result",
        f"wk.{own.space}.{own.connection}u.result",
        f"wk.{own.space}.{own.connection}.u.result\u00a0",
        f"wk.{own.space}.{own.connection}.u.result\x00",
        f"wk.{own.space}.\u2024{own.connection}.u.result",
        f"edge.{own.connection}",
        f"edge.{own.connection}.attach.{victim.connection}",
        f"edge.{own.connection}.detach",
        "edge.*.attach",
        "edge.>",
        "x" * 3000,
        ".".join(["wk"] * 200),
    ]


_JETSTREAM = (
    *("$JS.API.INFO", "$JS.API.STREAM.LIST", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.INFO.EVT"),
    *("$JS.API.STREAM.CREATE.EVT", "$JS.API.STREAM.CREATE.X", "$JS.API.STREAM.UPDATE.EVT"),
    *("$JS.API.STREAM.DELETE.EVT", "$JS.API.STREAM.PURGE.EVT", "$JS.API.STREAM.MSG.GET.EVT"),
    *("$JS.API.STREAM.MSG.DELETE.EVT", "$JS.API.STREAM.SNAPSHOT.EVT", "$JS.API.STREAM.RESTORE.X"),
    *("$JS.API.DIRECT.GET.EVT", "$JS.API.CONSUMER.CREATE.EVT", "$JS.API.CONSUMER.CREATE.EVT.x"),
    *("$JS.API.CONSUMER.LIST.EVT", "$JS.API.CONSUMER.NAMES.EVT", "$JS.API.CONSUMER.INFO.EVT.x"),
    *("$JS.API.CONSUMER.DELETE.EVT.x", "$JS.API.CONSUMER.MSG.NEXT.EVT.x", "$JS.API.META.LEADER"),
    *(
        "$JS.API.CONSUMER.DURABLE.CREATE.EVT.x",
        "$JS.API.ACCOUNT.PURGE.CORE",
        "$JS.API.SERVER.REMOVE",
    ),
    *("$JS.CORE.API.STREAM.LIST", "$JS.ACK.EVT.x.1.1.1.1.1", "$JS.FC.EVT.x", "$KV.x.y", "$O.x.C.y"),
)
_SYSTEM = (
    *(
        "$SYS.REQ.USER.AUTH",
        "$SYS.REQ.USER.INFO",
        "$SYS.REQ.SERVER.PING",
        "$SYS.REQ.SERVER.PING.VARZ",
    ),
    *("$SYS.REQ.SERVER.PING.CONNZ", "$SYS.REQ.SERVER.X.KICK", "$SYS.REQ.SERVER.X.LDM"),
    *("$SYS.REQ.SERVER.X.RELOAD", "$SYS.REQ.ACCOUNT.CORE.CONNZ", "$SYS.REQ.ACCOUNT.CORE.SUBSZ"),
    *("$SYS.REQ.ACCOUNT.EDGE.CONNZ", "$SYS.REQ.ACCOUNT.CORE.JSZ", "$SYS.REQ.CLAIMS.UPDATE"),
    *("$SYS.REQ.CLAIMS.DELETE", "$SYS.REQ.CLAIMS.LIST", "$SYS.REQ.ACCOUNT.PING.STATZ"),
    *("$SYS.ACCOUNT.EDGE.DISCONNECT", "$SYS.ACCOUNT.CORE.DISCONNECT", "$SYS.DEBUG.SUBSCRIBERS"),
    *("_R_.x.y", "_GR_.x.y.z", "$GNR.x", "$NRG.V.x", "$MQTT.msgs.x", "$SRV.PING", "$LDS.x"),
)
