"""Serves an OpenAI-compatible server that runs on this host (vLLM, Ollama, llama.cpp), without any Python by its owner.

Runs in handler processes like any other handler. The operator chose the upstream, and nothing in a request leads to
another server: addresses in it are refused, or fetched here from the public internet only (`--upstream-urls fetch`).
"""

import base64
import json
import os
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2

from spaces_chassis.destinations import DestinationRefused, Reach, read_destination
from spaces_chassis.guarded_http import AnswerTooLarge, fetch_small, guarded_client
from spaces_worker_agent.sdk import Request
from spaces_worker_agent.upstream_references import Reference, TooDeep, references

URLS = "SPACES_UPSTREAM_URLS"
MAX_REFERENCES = 16
URL, MODEL, KEY_FILE = "SPACES_UPSTREAM_URL", "SPACES_UPSTREAM_MODEL", "SPACES_UPSTREAM_KEY_FILE"
CONNECT_S = 10.0
# Ours, not the upstream's: everything else in `parameters` is passed on as it is.
OWN_PARAMETERS = frozenset({"stream"})


class UpstreamError(Exception):
    """The upstream server refused, failed or cannot be reached."""


class UpstreamAddressError(ValueError):
    """An address that cannot be an OpenAI-compatible server."""


def check_url(url: str) -> str:
    """The base address: with `/v1` unless it has a path. Raises UpstreamAddressError."""
    try:
        read_destination(url, Reach.OPERATOR)
    except DestinationRefused as error:
        text = f"{url!r} is not an http:// or https:// address of a model server: {error}"
        raise UpstreamAddressError(text) from None
    if urlsplit(url).query or urlsplit(url).fragment:
        raise UpstreamAddressError(f"{url!r} has more than a path; give the base address")
    base = url.rstrip("/").removesuffix("/chat/completions")
    return base if urlsplit(base).path.strip("/") else f"{base}/v1"


class Model:
    """Turns a request into a chat completion; text comes back as chunks."""

    concurrent = True  # whatever `handle` returns is awaited

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._base = check_url(environ[URL])
        self._model = environ.get(MODEL) or ""
        key_file = environ.get(KEY_FILE)
        key = Path(key_file).read_text().strip() if key_file else ""
        # It runs on this host or near it: no proxy in between. The slots are the limit of connections.
        self._client = guarded_client(
            Reach.OPERATOR,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx2.Timeout(None, connect=CONNECT_S),  # the request's own deadline rules
        )
        fetches = environ.get(URLS, "refuse") == "fetch"
        self._strangers = guarded_client(timeout=CONNECT_S) if fetches else None

    async def load(self) -> None:
        """Asks what models there are, so that a wrong address or key shows at the start."""
        try:
            answer = await self._client.get(f"{self._base}/models")
        except (httpx2.TransportError, DestinationRefused) as error:
            raise UpstreamError(f"{self._base} cannot be reached: {_text(error)}") from None
        if answer.status_code in (401, 403):
            raise UpstreamError(f"{self._base} refuses the key; see --upstream-key-file")
        names = _model_names(answer)
        if not self._model:
            if not names:
                raise UpstreamError(f"{self._base} lists no models; name one: --upstream-model")
            self._model = names[0]
        elif names and self._model not in names and f"{self._model}:latest" not in names:
            known = ", ".join(names[:20])
            raise UpstreamError(f"{self._base} has no model {self._model!r}; it has: {known}")

    def handle(self, request: Request) -> Any:
        """Streams unless `parameters.stream` is false."""
        if request.parameters.get("stream", True) is False:
            return self._whole(request)
        return self._stream(request)

    async def _whole(self, request: Request) -> dict[str, Any]:
        body = await self._with_content(chat_body(request, self._model, stream=False))
        try:
            answer = await self._client.post(f"{self._base}/chat/completions", json=body)
        except (httpx2.TransportError, DestinationRefused) as error:
            raise UpstreamError(f"{self._base} broke off: {_text(error)}") from None
        if answer.status_code != 200:
            raise UpstreamError(refusal(answer.status_code, answer.content))
        try:
            document = answer.json()
            choice = document["choices"][0]
            text = choice["message"].get("content") or ""
        except (ValueError, LookupError, TypeError, AttributeError):
            raise UpstreamError("the upstream's answer is no chat completion") from None
        return output(text, choice, document)

    async def _stream(self, request: Request) -> AsyncIterator[str]:
        body = await self._with_content(chat_body(request, self._model, stream=True))
        url = f"{self._base}/chat/completions"
        try:
            async with self._client.stream("POST", url, json=body) as answer:
                if answer.status_code != 200:
                    raise UpstreamError(refusal(answer.status_code, await answer.aread()))
                async for line in answer.aiter_lines():
                    text, ended = read_event(line)
                    if text:
                        yield text
                    if ended:
                        return
        except (httpx2.TransportError, DestinationRefused) as error:
            raise UpstreamError(f"{self._base} broke off: {_text(error)}") from None
        raise UpstreamError("the upstream broke off in the middle of its answer")

    async def _with_content(self, body: dict[str, Any]) -> dict[str, Any]:
        """The request without addresses: content in their place, or UpstreamError."""
        try:
            found = references(body)
        except TooDeep as error:
            raise UpstreamError(str(error)) from None
        if not found:
            return body
        if self._strangers is None:
            raise UpstreamError(
                f"{found[0].place} is an address; this worker takes content: send a data: URL"
            )
        if len(found) > MAX_REFERENCES:
            raise UpstreamError(f"the request has more than {MAX_REFERENCES} addresses")
        for reference in found:
            reference.put(await self._fetched(self._strangers, reference))
        return body

    async def _fetched(self, client: httpx2.AsyncClient, reference: Reference) -> str:
        try:
            read_destination(reference.url)
            answer = await fetch_small(client, reference.url)
        except (DestinationRefused, AnswerTooLarge) as error:
            raise UpstreamError(f"{reference.place} is not fetched: {error}") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError):
            # Not what went wrong: that would tell a client about the network here.
            raise UpstreamError(f"{reference.place} cannot be fetched") from None
        if answer.status_code != 200:
            raise UpstreamError(f"{reference.place} cannot be fetched")
        media_type = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type.partition("/")[0] not in ("image", "audio", "video"):
            raise UpstreamError(f"{reference.place} is no picture, sound or video")
        return f"data:{media_type};base64,{base64.b64encode(answer.content).decode()}"


def chat_body(request: Request, model: str, *, stream: bool) -> dict[str, Any]:
    """The upstream's request: messages from the payload or from the prompt, parameters as they are."""
    parameters = {k: v for k, v in request.parameters.items() if k not in OWN_PARAMETERS}
    messages = request.payload.get("messages") or parameters.pop("messages", None)
    if not messages:
        messages = []
        system = parameters.pop("system", None)
        if system:
            messages.append({"role": "system", "content": system})
        messages.append({"role": "user", "content": request.prompt or ""})
    # A client may not choose another model than the one that the host offers.
    return parameters | {"model": model, "messages": messages, "stream": stream}


def read_event(line: str) -> tuple[str, bool]:
    """The text in one line of the event stream, and whether it was the last. Raises UpstreamError."""
    if not line.startswith("data:"):
        return "", False
    data = line[5:].strip()
    if data == "[DONE]":
        return "", True
    try:
        document = json.loads(data)
    except ValueError:
        raise UpstreamError(f"the upstream's stream is not JSON: {data[:200]}") from None
    if isinstance(document, dict) and document.get("error"):
        raise UpstreamError(f"the upstream failed: {_message(document)}")
    choices = document.get("choices") if isinstance(document, dict) else None
    if not choices:
        return "", False  # usage figures come without choices
    delta = choices[0].get("delta") or {}
    return delta.get("content") or "", False


def output(text: str, choice: Mapping[str, Any], document: Mapping[str, Any]) -> dict[str, Any]:
    """The result of a request that did not stream."""
    result: dict[str, Any] = {"text": text}
    if choice["message"].get("tool_calls"):
        result["tool_calls"] = choice["message"]["tool_calls"]
    if choice.get("finish_reason"):
        result["finish_reason"] = choice["finish_reason"]
    if document.get("usage"):
        result["usage"] = document["usage"]
    return result


def refusal(status: int, body: bytes) -> str:
    """What the upstream said when it refused."""
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    detail = (
        _message(document) if isinstance(document, dict) else body[:300].decode(errors="replace")
    )
    return f"the upstream answers with HTTP {status}: {detail}"


def _message(document: Mapping[str, Any]) -> str:
    error = document.get("error", document)
    if isinstance(error, dict):
        return str(error.get("message") or error.get("detail") or error)[:500]
    return str(error)[:500]


def _model_names(answer: httpx2.Response) -> list[str]:
    """Empty when the server does not list models: not all do."""
    try:
        return [str(model["id"]) for model in answer.json()["data"]]
    except (ValueError, LookupError, TypeError):
        return []


def _text(error: Exception) -> str:
    return str(error) or type(error).__name__
