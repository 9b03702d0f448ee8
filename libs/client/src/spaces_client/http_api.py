"""Calls of the HTTP API: one attempt is httpx2's, the rest (retry, problems, what an error means) is here."""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import httpx2

from spaces_client.endpoint import Endpoint
from spaces_client.errors import Refused, SpacesError, Unreachable
from spaces_client.retry import Patience, Repeat, next_delay

_NOT_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError)


@dataclass(frozen=True)
class Call:
    """One call. `content` makes the body anew for each try; `answer_s` is time on top of the usual timeout."""

    method: str
    path: str
    body: Mapping[str, Any] | None = None
    query: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    content: Callable[[], AsyncIterator[bytes]] | None = None
    repeat: Repeat = Repeat.HARMLESS
    answer_s: float = 0.0


class HttpApi:
    """A pool of connections to one gateway."""

    def __init__(self, endpoint: Endpoint, patience: Patience) -> None:
        self._endpoint = endpoint
        self._patience = patience
        headers = {"accept": "application/json", "user-agent": "spaces-client"}
        if endpoint.api_key:
            headers["authorization"] = f"Bearer {endpoint.api_key}"
        self._client = httpx2.AsyncClient(
            base_url=endpoint.http_url,
            headers=headers,
            verify=endpoint.tls or True,
            timeout=endpoint.timeout_s,
            # Waiting for results holds connections: a limit would make waiters wait for each other.
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=64),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    async def send(self, call: Call) -> Any:
        """The parsed JSON of the answer, None without content. Raises SpacesError."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        tries = 0
        while True:
            tries += 1
            try:
                return await self._once(call)
            except SpacesError as error:
                if tries > 1 and call.method == "DELETE" and _not_there(error):
                    return None  # the try before did it and only its answer was lost
                delay = next_delay(
                    self._patience,
                    error,
                    call.repeat,
                    tries=tries,
                    elapsed_s=loop.time() - started,
                    chance=random.random(),
                )
                if delay is None:
                    raise
            await asyncio.sleep(delay)

    async def read(self, path: str) -> AsyncGenerator[bytes, None]:
        """The body of an answer in pieces. Raises SpacesError; one try, its caller knows where to begin again."""
        try:
            async with self._client.stream("GET", path) as response:
                if not response.is_success:
                    await response.aread()
                    raise read_problem(response)
                async for piece in response.aiter_bytes():
                    yield piece
        except httpx2.TransportError as error:
            raise unreachable(self._endpoint.http_url, error) from error

    async def _once(self, call: Call) -> Any:
        read_s = self._endpoint.timeout_s + call.answer_s
        try:
            response = await self._client.request(
                call.method,
                call.path,
                params={name: value for name, value in call.query.items() if value is not None},
                headers=dict(call.headers),
                json=call.body,
                content=call.content() if call.content else None,
                timeout=httpx2.Timeout(self._endpoint.timeout_s, read=read_s),
            )
        except httpx2.TransportError as error:
            raise unreachable(self._endpoint.http_url, error) from error
        except httpx2.RequestError as error:
            raise Unreachable(
                f"{self._endpoint.http_url} answered with something unreadable: {error}.",
                sent=True,
                code="not_a_gateway",
            ) from error
        return read_answer(response)


def unreachable(url: str, error: Exception) -> Unreachable:
    """What a failed attempt to speak to the gateway means."""
    text = str(error) or type(error).__name__
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return Unreachable(
            f"{url} has a certificate that is not trusted here.", sent=False, code="tls_failed"
        )
    if isinstance(error, httpx2.TimeoutException | TimeoutError):
        return Unreachable(f"{url} did not answer in time.", sent=not isinstance(error, _NOT_SENT))
    return Unreachable(
        f"{url} cannot be reached: {text.rstrip('.')}.", sent=not isinstance(error, _NOT_SENT)
    )


def read_answer(response: httpx2.Response) -> Any:
    """The JSON of a good answer; a problem raises Refused."""
    if response.is_success:
        if not response.content:
            return None
        try:
            return response.json()
        except ValueError:
            raise Unreachable(
                f"{response.url} did not answer with JSON.", sent=True, code="not_a_gateway"
            ) from None
    raise read_problem(response)


def read_problem(response: httpx2.Response) -> SpacesError:
    """The error that an answer carries (RFC 9457), or what its status alone says."""
    try:
        problem = response.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict) or not isinstance(problem.get("code"), str):
        return Refused(
            "http_error",
            f"The gateway answered {response.status_code} {response.reason_phrase}.".replace(
                " .", "."
            ),
            status=response.status_code,
            retry_after_s=_seconds(response.headers.get("retry-after")),
        )
    facts = dict(problem.get("facts") or {})
    if problem.get("errors"):
        facts["errors"] = problem["errors"]
    return Refused(
        problem["code"],
        str(problem.get("detail") or problem.get("message") or problem.get("title") or ""),
        status=response.status_code,
        retry_after_s=_seconds(problem.get("retry_after_s") or response.headers.get("retry-after")),
        facts=facts,
    )


def _not_there(error: SpacesError) -> bool:
    return isinstance(error, Refused) and error.status == 404


def _seconds(value: Any) -> float | None:
    try:
        return max(0.0, float(value))
    except (TypeError, ValueError):
        return None
