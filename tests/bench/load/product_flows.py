"""Clients of the product: HTTP with wait, the socket, streams, and submits at a given rate."""

import json
from collections.abc import Generator
from typing import Any

from tests.bench.load.flow import IDLE, Load, Steps, Wrong, clock, prompt
from tests.bench.load.http_answers import Answer, request
from tests.bench.load.recorder import Recorder
from tests.bench.load.socket_frames import frame, upgrade

_PROTOCOL = "spaces.v1.json"


def http_wait(load: Load, client: int, recorder: Recorder) -> Steps:
    """`POST …/requests?wait=30`: the answer holds the result."""
    head = _submit_head(load, client, "?wait=30")
    number = 0
    while True:
        number += 1
        text = prompt(client, number)
        body = b'{"prompt":"%b"}' % text.encode()
        started = clock()
        answer: Answer = yield head % len(body) + body
        if answer.status != 200 or text.encode() not in answer.body:
            raise Wrong(f"{answer.status}: {answer.body[:200]!r}")
        recorder.record(clock() - started)


def http_paced(load: Load, client: int, recorder: Recorder) -> Steps:
    """Open loop: `?wait=30` when due. The latency is counted from when the request was due."""
    head = _submit_head(load, client, "?wait=30")
    number = 0
    while True:
        due: float = yield IDLE
        number += 1
        text = prompt(client, number)
        body = b'{"prompt":"%b"}' % text.encode()
        answer: Answer = yield head % len(body) + body
        if answer.status != 200 or text.encode() not in answer.body:
            raise Wrong(f"{answer.status}: {answer.body[:200]!r}")
        recorder.record(clock() - due)


def http_submit(load: Load, client: int, recorder: Recorder) -> Steps:
    """Open loop: submits when due, accepted is enough; then looks when each began to run.

    The latency is that of the acceptance, counted from when the request was due. `dispatch` is acceptance until the
    handler began, which may be before the client has heard of it: 0 then.
    """
    head = _submit_head(load, client, "")
    number = 0
    while True:
        due: float = yield IDLE
        number += 1
        text = prompt(client, number)
        body = b'{"prompt":"%b"}' % text.encode()
        answer: Answer = yield head % len(body) + body
        heard = clock()
        if answer.status != 202:
            raise Wrong(f"{answer.status}: {answer.body[:200]!r}")
        recorder.record(heard - due)
        if recorder.measuring:
            recorder.accepted.append((_request_id(answer.body), due, heard))


def http_starts(load: Load, _client: int, recorder: Recorder) -> Steps:
    """After `http_submit`: reads the accepted requests, whose outputs tell when their handlers began."""
    headers = _headers(load)
    while recorder.accepted:
        request_id, due, heard = recorder.accepted.pop()
        answer: Answer = yield request("GET", f"/api/requests/{request_id}?wait=30", headers)
        if answer.status != 200:
            raise Wrong(f"{answer.status}: {answer.body[:200]!r}")
        ended = json.loads(answer.body)
        if ended.get("state") != "succeeded":
            raise Wrong(f"{request_id} did not succeed: {answer.body[:200]!r}")
        started = float(ended["output"]["started"])
        recorder.note_later("dispatch", max(0.0, started - heard))
        recorder.note_later("due_to_start", started - due)


def socket_echo(load: Load, client: int, recorder: Recorder) -> Steps:
    """`submit` on `/ws`, one socket a client, until `finished`."""
    yield from _sign_in(load)
    space = load.spaces[client % len(load.spaces)]
    number = 0
    while True:
        number += 1
        text = prompt(client, number)
        submit = '{"type":"submit","ref":"%d","space":"%s","prompt":"%s"}' % (number, space, text)  # noqa: UP031 - fastest
        started = clock()
        got: bytes = yield frame(submit.encode())
        while b'"finished"' not in got:
            if b'"error"' in got:
                raise Wrong(got[:200].decode())
            got = yield None
        if text.encode() not in got:
            raise Wrong(f"not the echo: {got[:200]!r}")
        recorder.record(clock() - started)


def socket_idle(load: Load, _client: int, _recorder: Recorder) -> Steps:
    """Signs in on `/ws`, and then only listens."""
    yield from _sign_in(load)
    while True:
        yield None


def socket_tokens(load: Load, client: int, recorder: Recorder) -> Steps:
    """A stream on `/ws`: every chunk in order, none missing, none twice."""
    yield from _sign_in(load)
    space = load.spaces[client % len(load.spaces)]
    wanted = int(load.options.get("tokens", "100"))
    number = 0
    while True:
        number += 1
        submit = {"type": "submit", "ref": str(number), "space": space, "prompt": "go"}
        submit["parameters"] = {"tokens": wanted}  # type: ignore[assignment]  # mixed on purpose
        started = clock()
        first, seen = 0.0, 0
        got: bytes = yield frame(json.dumps(submit).encode())
        while True:
            fact = json.loads(got)
            if fact["type"] == "chunk":
                first = first or clock()
                seen = _in_order(fact, seen)
            elif fact["type"] == "finished":
                break
            elif fact["type"] in ("error", "reset"):
                raise Wrong(got[:200].decode())
            got = yield None
        if seen != wanted or fact["state"] != "succeeded" or not fact["recovered"]:
            raise Wrong(f"{seen} tokens of {wanted}: {got[:200]!r}")
        recorder.note("first_token", first - started)
        recorder.record(clock() - started, tokens=seen)


def sse_tokens(load: Load, client: int, recorder: Recorder) -> Steps:
    """The same stream for those without sockets: submit, then the request's events."""
    head = _submit_head(load, client, "")
    wanted = int(load.options.get("tokens", "100"))
    body = json.dumps({"prompt": "go", "parameters": {"tokens": wanted}}).encode()
    while True:
        started, first, seen = clock(), 0.0, 0
        answer: Answer = yield head % len(body) + body
        if answer.status != 202:
            raise Wrong(f"{answer.status}: {answer.body[:200]!r}")
        events = f"/api/requests/{_request_id(answer.body)}/events"
        answer = yield request("GET", events, _headers(load))
        rest, last = b"", b""
        while True:
            *whole, rest = (rest + answer.body.replace(b"\r\n", b"\n")).split(b"\n\n")
            for event in whole:
                if b"event: chunk" in event:
                    first = first or clock()
                    seen = _in_order(_data(event), seen)
                elif b"event: finished" in event:
                    last = event
            if answer.done:
                break
            answer = yield None
        if seen != wanted or b'"succeeded"' not in last:
            raise Wrong(f"{seen} tokens of {wanted}: {last[:200]!r}")
        recorder.note("first_token", first - started)
        recorder.record(clock() - started, tokens=seen)


def _data(event: bytes) -> dict[str, Any]:
    line = next(line for line in event.split(b"\n") if line.startswith(b"data: "))
    fact: dict[str, Any] = json.loads(line[6:])
    return fact


def _in_order(chunk: dict[str, Any], seen: int) -> int:
    if chunk["n"] != seen + 1:
        raise Wrong(f"chunk {chunk['n']} after {seen}")
    for token in chunk["data"]:
        if token != f"token {seen} ":
            raise Wrong(f"token {token!r} at place {seen}")
        seen += 1
    return seen


def _sign_in(load: Load) -> Generator[bytes | None, Any, None]:
    yield upgrade("/ws", _PROTOCOL)
    got: bytes = yield frame(json.dumps({"type": "auth", "token": load.token}).encode())
    if b'"ready"' not in got:
        raise Wrong(f"not signed in: {got[:200]!r}")


def _submit_head(load: Load, client: int, query: str) -> bytes:
    """Everything before the body, with a place for its length."""
    space = load.spaces[client % len(load.spaces)]
    head = request("POST", f"/api/spaces/{space}/requests{query}", _headers(load))
    return head.replace(b"content-length: 0", b"content-length: %d")


def _headers(load: Load) -> dict[str, str]:
    return {"authorization": f"Bearer {load.token}", "content-type": "application/json"}


def _request_id(body: bytes) -> str:
    return str(json.loads(body)["request_id"])
