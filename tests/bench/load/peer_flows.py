"""Clients of the peers: each as its own documentation shows it."""

import json
from collections.abc import Generator
from typing import Any

from tests.bench.load.flow import Load, Steps, Wrong, clock, prompt
from tests.bench.load.http_answers import Answer, request
from tests.bench.load.recorder import Recorder

_POLL_S = 0.05  # how often the source documents' clients ask for the status
_JSON = {"content-type": "application/json"}
_LONGEST_EVENT = 65_536
Ask = Generator[bytes, Any, str]


def post_echo(load: Load, client: int, recorder: Recorder) -> Steps:
    """One call that waits for the result; `path` has a place for the space."""
    target = load.options["path"].format(space=load.spaces[client % len(load.spaces)])
    head = request("POST", target, _JSON).replace(b"content-length: 0", b"content-length: %d")
    number = 0
    while True:
        number += 1
        text = prompt(client, number).encode()
        body = b'{"prompt":"%b"}' % text
        started = clock()
        answer: Answer = yield head % len(body) + body
        if answer.status != 200 or text not in answer.body:
            raise Wrong(f"{answer.status}: {answer.body[:200]!r}")
        recorder.record(clock() - started)


def submit_and_poll(load: Load, client: int, recorder: Recorder) -> Steps:
    """The source documents' client: submit, then ask for the status each 50 ms."""
    space = load.spaces[client % len(load.spaces)]
    number = 0
    while True:
        number += 1
        text = prompt(client, number)
        started = clock()
        target = yield from _submit(space, {"prompt": text})
        while True:
            yield _POLL_S
            answer: Answer = yield request("GET", target, {})
            if answer.status != 200:
                raise Wrong(f"{answer.status}: {answer.body[:200]!r}")
            if b'"completed"' in answer.body:
                break
        if text.encode() not in answer.body:
            raise Wrong(f"not the echo: {answer.body[:200]!r}")
        recorder.record(clock() - started)


def submit_and_wait(load: Load, client: int, recorder: Recorder) -> Steps:
    """The source documents' client with a status call that waits until there is something to tell."""
    space = load.spaces[client % len(load.spaces)]
    number = 0
    while True:
        number += 1
        text = prompt(client, number)
        started = clock()
        target = yield from _submit(space, {"prompt": text})
        answer: Answer = yield request("GET", f"{target}&wait=30", {})
        if answer.status != 200 or text.encode() not in answer.body:
            raise Wrong(f"{answer.status}: {answer.body[:200]!r}")
        recorder.record(clock() - started)


def submit_and_poll_tokens(load: Load, client: int, recorder: Recorder) -> Steps:
    """The same client reading a stream: each status brings the tokens since the last."""
    space = load.spaces[client % len(load.spaces)]
    wanted = int(load.options.get("tokens", "100"))
    while True:
        started, first, seen = clock(), 0.0, 0
        target = yield from _submit(space, {"parameters": {"tokens": wanted}})
        ended = False
        while not ended:
            yield _POLL_S
            answer: Answer = yield request("GET", f"{target}&after={seen}", {})
            status = json.loads(answer.body)
            for token in status["chunks"]:
                if token != f"token {seen} ":
                    raise Wrong(f"token {token!r} at place {seen}")
                first = first or clock()
                seen += 1
            ended = status["status"] == "completed"
        if seen != wanted:
            raise Wrong(f"{seen} tokens of {wanted}")
        recorder.note("first_token", first - started)
        recorder.record(clock() - started, tokens=seen)


def _submit(space: str, body: dict[str, object]) -> Ask:
    answer: Answer = yield request(
        "POST", f"/websockets/submit/{space}", _JSON, json.dumps(body).encode()
    )
    if answer.status != 200:
        raise Wrong(f"{answer.status}: {answer.body[:200]!r}")
    return f"/websockets/status?request_id={json.loads(answer.body)['request_id']}"


def gradio_echo(_load: Load, client: int, recorder: Recorder) -> Steps:
    """Gradio's API: post the call, read its events until `complete`."""
    number = 0
    while True:
        number += 1
        text = prompt(client, number)
        started = clock()
        target = yield from _gradio_call("echo", {"prompt": text})
        answer: Answer = yield request("GET", target, {})
        events = answer.body
        while not answer.done:
            answer = yield None
            events += answer.body
        if b"event: complete" not in events or text.encode() not in events:
            raise Wrong(f"{events[-300:]!r}")
        recorder.record(clock() - started)


def gradio_tokens(load: Load, _client: int, recorder: Recorder) -> Steps:
    """A generator behind Gradio: each event carries the text so far."""
    wanted = int(load.options.get("tokens", "100"))
    last = f"token {wanted - 1} ".encode()
    while True:
        started = clock()
        target = yield from _gradio_call("tokens", wanted)
        answer: Answer = yield request("GET", target, {})
        first, events = clock(), answer.body
        while not answer.done:
            answer = yield None
            events = events[-_LONGEST_EVENT:] + answer.body
        if b"event: complete" not in events or last not in events:
            raise Wrong(f"{events[-300:]!r}")
        recorder.note("first_token", first - started)
        recorder.record(clock() - started, tokens=wanted)


def _gradio_call(name: str, value: object) -> Ask:
    """Posts a call; gives where its events are."""
    path = f"/gradio_api/call/{name}"
    answer: Answer = yield request("POST", path, _JSON, json.dumps({"data": [value]}).encode())
    if answer.status != 200:
        raise Wrong(f"{answer.status}: {answer.body[:200]!r}")
    return f"{path}/{json.loads(answer.body)['event_id']}"
