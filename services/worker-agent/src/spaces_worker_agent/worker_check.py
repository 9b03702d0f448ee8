"""Asks a gateway what an agent would meet, without taking anybody's seat."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2

from spaces_contracts.problems import Code, Problem

PATH = "/api/worker/check"


@dataclass(frozen=True)
class SpaceAnswer:
    """One space as the token sees it."""

    ref: str
    space_id: str | None
    name: str | None
    problem: Problem | None
    connections: int
    max_connections: int


@dataclass(frozen=True)
class CheckAnswer:
    """What the gateway said; `found` is False when it is older than this question."""

    found: bool
    protocol: str | None = None
    version: str | None = None
    now: datetime | None = None
    token_problem: Problem | None = None
    spaces: tuple[SpaceAnswer, ...] = ()


async def ask_gateway(
    client: httpx2.AsyncClient, origin: str, token: str, spaces: Sequence[str]
) -> CheckAnswer:
    """Raises httpx2.TransportError when nobody can be reached."""
    response = await client.get(
        origin.rstrip("/") + PATH,
        params=[("space", space) for space in spaces],
        headers={"Authorization": f"Bearer {token}"},
    )
    now = _date(response.headers.get("date"))
    try:
        document = response.json()
    except ValueError:
        return CheckAnswer(found=False, now=now)
    if response.status_code in (401, 403):  # 403: a good credential, but no worker token
        return CheckAnswer(found=True, now=now, token_problem=_problem(document))
    if response.status_code != 200 or not isinstance(document, dict):
        return CheckAnswer(found=False, now=now)
    return read_answer(document, now)


def read_answer(document: dict[str, Any], now: datetime | None = None) -> CheckAnswer:
    """The answer's document; what is missing or strange in it is left out."""
    spaces = [space for space in document.get("spaces") or [] if isinstance(space, dict)]
    token = document.get("token")
    return CheckAnswer(
        found=True,
        protocol=document.get("protocol"),
        version=document.get("version"),
        now=_moment(document.get("now")) or now,
        token_problem=_problem(token.get("problem")) if isinstance(token, dict) else None,
        spaces=tuple(
            SpaceAnswer(
                ref=str(space.get("ref", "")),
                space_id=space.get("space_id"),
                name=space.get("name"),
                problem=_problem(space.get("problem")),
                connections=int(space.get("connections") or 0),
                max_connections=int(space.get("max_connections") or 1),
            )
            for space in spaces
        ),
    )


def _problem(document: Any) -> Problem | None:
    if not isinstance(document, dict):
        return None
    try:
        code = Code(document["code"])
    except (KeyError, ValueError):
        code = Code.INTERNAL_ERROR  # a newer gateway's code
    message = document.get("message") or document.get("detail") or json.dumps(document)
    return Problem(code=code, message=str(message))


def _moment(text: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None


def _date(text: str | None) -> datetime | None:
    try:
        return None if text is None else parsedate_to_datetime(text)
    except ValueError:
        return None
