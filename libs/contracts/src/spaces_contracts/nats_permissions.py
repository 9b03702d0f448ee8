"""What each NATS user may do, from the message catalogue: deploy/nats/permissions.conf and a direct worker's rights.

Nothing is denied by name: what is not listed here, the broker refuses.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from spaces_contracts.catalog import CATALOG, Entry, Party
from spaces_contracts.message import Command, Message
from spaces_contracts.requests import JOB_ANSWERS, JobEvent, RequestEvent
from spaces_contracts.streams import EVT
from spaces_contracts.subject import ROUTE, answers_under

# Under which a connection is reached: on a gateway's socket, or directly.
ROUTES = {Party.GATEWAY: "gw.*.wk.*", Party.DIRECT_WORKER: "wk.*.*.d"}
# What the broker turns into another message on its way (`mappings` in server.conf).
MAPPED: dict[type[Message], type[Message]] = {JobEvent: RequestEvent}
# The broker's own addresses for answers that go to another account.
_ACROSS = "_R_.>"
# The submitter's gateway hears the end of a request on the address that it named.
_ENDS = "gw.*.cl.*"


@dataclass(frozen=True)
class Rights:
    """Subjects that a user may publish on and subscribe to; `answers` to what it got, when it may answer."""

    publish: tuple[str, ...] = ()
    subscribe: tuple[str, ...] = ()
    answers: int = 0


# What is no message of ours: the stream, the broker itself, and answers that no command has.
_BESIDES = {
    Party.GATEWAY: Rights(
        publish=(
            f"$JS.API.STREAM.INFO.{EVT.name}",
            f"$JS.API.STREAM.CREATE.{EVT.name}",
            f"$JS.API.STREAM.UPDATE.{EVT.name}",
            f"$JS.API.DIRECT.GET.{EVT.name}",
            f"_INBOX.*.*.{JOB_ANSWERS}.>",
        ),
        subscribe=(_ENDS,),
    ),
    Party.REGISTRY: Rights(publish=(_ACROSS,)),
    Party.SCHEDULER: Rights(publish=(_ACROSS, _ENDS)),
}
_OTHER_ACCOUNTS = {
    "registry-sys": Rights(
        publish=("$SYS.REQ.SERVER.*.KICK",), subscribe=("$SYS.ACCOUNT.*.DISCONNECT",)
    ),
    "registry-callout": Rights(subscribe=("$SYS.REQ.USER.AUTH",), answers=1),
}


def service_rights() -> dict[str, Rights]:
    """Of each user in server.conf, by name."""
    services = {
        party.value: _of_party(party) for party in (Party.GATEWAY, Party.REGISTRY, Party.SCHEDULER)
    }
    return {
        user: _with_inbox(user, rights) for user, rights in (services | _OTHER_ACCOUNTS).items()
    }


def worker_rights(space_id: str, connection_id: str) -> Rights:
    """Of a direct worker: it speaks for one connection of one space, and hears what is for it."""
    known = {"space_id": space_id, "connection_id": connection_id}
    told = [one.message for one in CATALOG if Party.DIRECT_WORKER in one.senders]
    return Rights(
        publish=tuple(
            sorted(message.subject.listen(**_fitting(message, known)) for message in told)
        ),
        # Answers to what it says come under `d` as well, on addresses of its own choice.
        subscribe=(f"wk.{space_id}.{connection_id}.d.>", f"_INBOX.{connection_id}.>"),
    )


def permissions_conf() -> str:
    """The file that server.conf includes: one variable a user."""
    lines = [
        "# Made by `make generate` from the message catalogue (libs/contracts); do not edit.",
        "# What is not allowed here is refused.",
    ]
    for user, rights in service_rights().items():
        lines += ["", f"{variable(user)} {{", *_publish(rights)]
        lines += ["  subscribe {", *_allow(rights.subscribe), "  }"]
        if rights.answers:
            lines.append(f'  allow_responses {{ max: {rights.answers}, expires: "5s" }}')
        lines.append("}")
    return "\n".join(lines) + "\n"


def variable(user: str) -> str:
    """What server.conf calls a user's rights."""
    return f"{user.replace('-', '_')}_may"


def _of_party(party: Party) -> Rights:
    besides = _BESIDES[party]
    publish, subscribe = set(besides.publish), set(besides.subscribe)
    for entry in CATALOG:
        if party in entry.senders:
            publish.update(_addresses(entry))
        if party in entry.receivers:
            subscribe.add(heard_on(entry, party))
            publish.update(_answers(entry))
    return Rights(tuple(sorted(publish)), tuple(sorted(subscribe)))


def _addresses(entry: Entry) -> list[str]:
    """Where a message is sent."""
    subject = entry.message.subject
    if ROUTE not in subject.fields:
        return [subject.pattern]
    return [subject.template.replace("{route}", ROUTES[party]) for party in entry.receivers]


def heard_on(entry: Entry, party: Party) -> str:
    """What a receiver listens to."""
    subject = MAPPED.get(entry.message, entry.message).subject
    # One subscription for everything that is for a connection.
    return f"{ROUTES[party]}.*" if ROUTE in subject.fields else subject.pattern


def _answers(entry: Entry) -> list[str]:
    """Where a command is answered, when who asked is in the same account.

    By address, not by the broker's allow_responses: for that it would have to remember each question.
    """
    if not issubclass(entry.message, Command) or entry.senders == {Party.DIRECT_WORKER}:
        return []
    return [f"_INBOX.*.*.{answers_under(entry.message.subject.pattern)}.>"]


def _with_inbox(user: str, rights: Rights) -> Rights:
    return Rights(rights.publish, (f"_INBOX.{user}.>", *rights.subscribe), rights.answers)


def _fitting(message: type[Message], known: dict[str, str]) -> dict[str, str]:
    return {field: known[field] for field in message.subject.fields if field in known}


def _publish(rights: Rights) -> list[str]:
    if not rights.publish:
        return ['  publish { deny: [">"] }']
    return ["  publish {", *_allow(rights.publish), "  }"]


def _allow(subjects: Iterable[str]) -> list[str]:
    return ["    allow: [", *[f'      "{subject}"' for subject in subjects], "    ]"]
