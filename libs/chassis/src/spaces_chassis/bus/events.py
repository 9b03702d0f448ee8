"""Stream EVT: the replay buffer for progress and chunks.

Spoken to with plain requests instead of a JetStream client: no consumers, no state, and one way to fail.
"""

import json
from typing import TYPE_CHECKING, Any

from spaces_chassis.bus.transport import STATUS_HEADER
from spaces_chassis.errors import NoResponders, ProblemError, UnavailableError
from spaces_contracts.problems import Code
from spaces_contracts.streams import EVT

if TYPE_CHECKING:
    from spaces_chassis.bus.bus import Bus

MAX_BYTES = 1024**3
_API = "$JS.API"
_NOT_FOUND = 10059
_S = 1_000_000_000


def stream_config(*, replicas: int, max_bytes: int) -> dict[str, Any]:
    """The stream's settings as the server takes them."""
    return {
        "name": EVT.name,
        "subjects": list(EVT.subjects),
        "retention": "limits",
        "discard": "old",
        "storage": "file",
        "num_replicas": replicas,
        "max_age": EVT.max_age_s * _S,
        "max_msgs_per_subject": EVT.max_msgs_per_subject,
        "max_msg_size": EVT.max_msg_size_bytes,
        "max_bytes": max_bytes,
        "max_msgs": -1,
        "max_consumers": -1,
        "duplicate_window": EVT.duplicate_window_s * _S,
        "allow_direct": True,
        "compression": "s2",
    }


async def ensure_stream(bus: "Bus", *, replicas: int, max_bytes: int) -> None:
    """Makes the stream, or updates its settings. Safe when several processes do it at once."""
    config = stream_config(replicas=replicas, max_bytes=max_bytes)
    info = await _api(bus, f"STREAM.INFO.{EVT.name}", None)
    if error := info.get("error"):
        if error.get("err_code") != _NOT_FOUND:
            raise _refused(error)
        # The server answers a second create with the same settings like the first.
        answer = await _api(bus, f"STREAM.CREATE.{EVT.name}", config)
    elif any(info["config"].get(key) != value for key, value in config.items()):
        answer = await _api(bus, f"STREAM.UPDATE.{EVT.name}", {**info["config"], **config})
    else:
        return
    if error := answer.get("error"):
        raise _refused(error)


async def publish(
    bus: "Bus", subject: str, body: bytes, dedupe: str | None, timeout_s: float
) -> int:
    """Stores one event and returns its sequence number."""
    headers = {"Nats-Msg-Id": dedupe} if dedupe else None
    packet = await bus.request_bytes(subject, body, headers=headers, timeout_s=timeout_s)
    return stored_seq(packet.body)


def stored_seq(body: bytes) -> int:
    """The sequence number in the stream's answer to a stored event. Raises UnavailableError."""
    answer = json.loads(body)
    if "error" in answer:
        raise _refused(answer["error"])
    return int(answer["seq"])


async def replay(
    bus: "Bus", subject: str, after_seq: int, limit: int, timeout_s: float
) -> list[tuple[int, bytes]]:
    """Reads stored events in batches, straight from the stream."""
    found: list[tuple[int, bytes]] = []
    while len(found) < limit:
        batch, more = await _batch(bus, subject, after_seq, limit - len(found), timeout_s)
        found.extend(batch)
        if not more or not batch:
            break
        after_seq = batch[-1][0]
    return found


async def _batch(
    bus: "Bus", subject: str, after_seq: int, limit: int, timeout_s: float
) -> tuple[list[tuple[int, bytes]], bool]:
    api = f"{_API}.DIRECT.GET.{EVT.name}"
    ask = {"batch": limit, "seq": after_seq + 1, "next_by_subj": subject}
    with bus.collect(api, timeout_s) as answers:
        bus.publish_bytes(api, json.dumps(ask).encode(), reply_to=answers.address)
        await answers.complete
    *events, last = answers.packets
    status = last.headers[STATUS_HEADER]
    if status not in ("204", "404"):
        raise UnavailableError(f"the event stream refused a read: {status} {dict(last.headers)}")
    batch = [(int(packet.headers["Nats-Sequence"]), packet.body) for packet in events]
    return batch, int(last.headers.get("Nats-Num-Pending", "0")) > 0


async def _api(bus: "Bus", method: str, body: dict[str, Any] | None) -> dict[str, Any]:
    try:
        packet = await bus.request_bytes(
            f"{_API}.{method}", json.dumps(body).encode() if body else b"", timeout_s=10.0
        )
    except NoResponders as error:
        raise UnavailableError("the NATS server does not offer JetStream to this user") from error
    answer: dict[str, Any] = json.loads(packet.body)
    return answer


def _refused(error: dict[str, Any]) -> ProblemError:
    text = f"the event stream refused: {error.get('description')} ({error.get('err_code')})"
    return ProblemError.of(Code.UNAVAILABLE, text)
