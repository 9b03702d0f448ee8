"""Headers and bodies of a worker that lies about who it is, or asks the broker for more than delivery."""

import json
from collections.abc import Mapping
from typing import Any

from spaces_contracts.identifiers import new_id
from tests.security.hostile_subjects import Names

# What an answer to a lie must hold one of; None: nothing is answered.
_REFUSALS: Mapping[str, tuple[bytes, ...]] = {
    "result": (b'"unknown"', b"invalid_request"),
    "attach": (
        b"token_invalid",
        b"token_scope",
        b"space_not_found",
        b"forbidden",
        b"invalid_request",
    ),
}


def headers(names: Names) -> list[dict[str, str]]:
    """Each with what it is aimed at as the first value."""
    victim = names.victim
    events = f"evt.{victim.space}.{victim.request}"
    down = f"wk.{victim.space}.{victim.connection}.d.job"
    return [
        *[{"Nats-Trace-Dest": to} for to in (events, down, "rpc.sched.submit", "$JS.API.INFO")],
        *[{"Nats-Trace-Dest": to, "Nats-Trace-Only": "true"} for to in (events, down, "fin.x.y")],
        {"traceparent": f"00-{'1' * 32}-{'2' * 16}-01"},
        *[{"Nats-Rollup": what} for what in ("all", "sub")],
        {"Nats-Schedule-Target": events, "Nats-Schedule": "@every 1s"},
        {"Nats-Schedule-Target": events, "Nats-Schedule": "@at 2020-01-01T00:00:00Z"},
        {
            "Nats-Schedule-Source": events,
            "Nats-Schedule-Target": events,
            "Nats-Schedule": "@every 1s",
        },
        {"Nats-Stream-Source": f"EVT 1 > > {events}"},
        {"Nats-Expected-Stream": "OTHER"},
        {"Nats-Expected-Last-Sequence": "0"},
        {
            "Nats-Expected-Last-Subject-Sequence-Subject": events,
            "Nats-Expected-Last-Subject-Sequence": "0",
        },
        {"Nats-TTL": "1s"},
        {"Nats-Incr": "+1"},
        {"Nats-Batch-Id": "x", "Nats-Batch-Sequence": "1", "Nats-Batch-Commit": "1"},
        {"Nats-Msg-Id": f"{victim.request}:1:1:1"},
        {"Nats-Request-Info": json.dumps({"acc": "CORE", "user": "gateway"})},
        {"Nats-Subject": events, "Nats-Sequence": "1"},
        {"Status": "503"},
        {"Spaces-Deadline-Ms": "9" * 18},
        {"Spaces-Deadline-Ms": "-1"},
        {"Spaces-Deadline-Ms": "x"},
    ]


def lies(names: Names) -> list[tuple[str, bytes]]:
    """Last part of the subject, and the body."""
    victim = names.victim
    ids = {"space_id": victim.space, "connection_id": victim.connection}
    result = {**ids, "request_id": victim.request, "attempt": 1, "state": "succeeded"}
    answer = {**ids, "request_id": victim.request, "attempt": 1, "accepted": False}
    event = {**ids, "request_id": victim.request, "attempt": 1, "kind": "chunk", "n": 1, "count": 1}
    attach: dict[str, Any] = {
        "connection_id": victim.connection,
        "token_sha256": "0" * 64,
        "ref": victim.space,
        "instance_id": new_id(),
        "instance_secret_sha256": "0" * 64,
        "agent": {"version": "1"},
        "takeover": True,
    }
    said = json.dumps(result)
    return [
        ("result", said.encode()),
        *(
            ("result", json.dumps(result | {"state": state}).encode())
            for state in ("failed", "cancelled")
        ),
        ("result", json.dumps(result | {"attempt": 0}).encode()),
        ("result", json.dumps(result | {"attempt": 2**31 - 1}).encode()),
        # Several in one, keys twice, and ends that would swallow what the reader adds.
        ("result", f"\x1e{said}\n\x1e{said}\n".encode()),
        ("result", f"{said[:-1]}, {said[1:]}".encode()),
        ("result", f'{said[:-1]}, "x": "}}'.encode()),
        ("result", f'{said[:-1]}, "x": {{"y": 1}}'.encode()),
        ("result", f"{said}}}".encode()),
        ("result", f'{said[:-1]}, "x": "\\}}'.encode()),
        ("started", json.dumps(answer).encode()),
        ("started", json.dumps(answer | {"accepted": True}).encode()),
        ("hb", json.dumps(ids).encode()),
        ("draining", json.dumps(ids).encode()),
        (f"chunk.{victim.request}", json.dumps(event).encode()),
        ("attach", json.dumps(attach).encode()),
        ("attach", json.dumps(attach | {"ref": "victim"}).encode()),
        ("attach", json.dumps(attach | {"ref": "victim/victim"}).encode()),
    ]


def expected_ack(what: str) -> tuple[bytes, ...] | None:
    """What is answered to it."""
    return _REFUSALS.get(what)
