"""How the broker and the event stream are, for people who look after them."""

import json
import time
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from spaces_chassis.errors import ProblemError
from spaces_contracts.streams import EVT

if TYPE_CHECKING:
    from spaces_chassis.bus.bus import Bus

_ASK_S = 2.0
# As the server writes a time that never was.
_NEVER = "0001-01-01"


@dataclass(frozen=True)
class BrokerFacts:
    """The broker as this process sees it."""

    connected: bool
    server: str = ""
    version: str = ""
    cluster: str = ""
    answer_ms: float | None = None  # None: it did not answer


@dataclass(frozen=True)
class StreamFacts:
    """The event stream; `problem` says why nothing is known of it."""

    name: str = EVT.name
    messages: int = 0
    size_bytes: int = 0
    first_at: datetime | None = None
    last_at: datetime | None = None
    replicas: int = 0
    lagging: int = 0  # replicas that are behind or away
    problem: str | None = None


async def broker_facts(bus: "Bus") -> BrokerFacts:
    """Never raises: that the broker is away is what it tells."""
    info = bus.server_info()
    known = BrokerFacts(
        connected=True,
        server=str(info.get("server_name", "")),
        version=str(info.get("version", "")),
        cluster=str(info.get("cluster", "")),
    )
    began = time.perf_counter()
    try:
        await bus.flush()
    except ProblemError:
        return replace(known, connected=False)
    return replace(known, answer_ms=round((time.perf_counter() - began) * 1000, 2))


async def stream_facts(bus: "Bus") -> StreamFacts:
    """Never raises."""
    try:
        packet = await bus.request_bytes(f"$JS.API.STREAM.INFO.{EVT.name}", b"", timeout_s=_ASK_S)
        answer: dict[str, Any] = json.loads(packet.body)
    except ProblemError as error:
        return StreamFacts(problem=error.problem.message or error.problem.code.value)
    if "error" in answer:
        return StreamFacts(problem=str(answer["error"].get("description", "refused")))
    state, config = answer.get("state", {}), answer.get("config", {})
    replicas = answer.get("cluster", {}).get("replicas") or []
    return StreamFacts(
        messages=int(state.get("messages", 0)),
        size_bytes=int(state.get("bytes", 0)),
        first_at=_moment(state.get("first_ts")),
        last_at=_moment(state.get("last_ts")),
        replicas=int(config.get("num_replicas", 1)),
        lagging=sum(1 for one in replicas if not one.get("current") or one.get("offline")),
    )


def _moment(text: str | None) -> datetime | None:
    if not text or text.startswith(_NEVER):
        return None
    # Nanoseconds are more than Python 3.11 reads.
    whole, _, rest = text.partition(".")
    zone = "+00:00" if text.endswith("Z") else text[-6:]
    return datetime.fromisoformat((whole if rest else whole.removesuffix("Z")) + zone)
