"""A machine's first start: a join token is exchanged, once, for a worker token that stays in the spool directory.

The worker token is made here and is on the disk before the gateway hears of it: whenever the agent or the connection
dies, the same exchange is asked for again, and that is answered the same.
"""

import asyncio
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import structlog

from spaces_contracts.access import PrincipalKind
from spaces_contracts.keys import kind_of, new_key, sha256_of, shown_prefix
from spaces_contracts.problems import KINDS, Code, Problem
from spaces_worker_agent.backoff import Backoff
from spaces_worker_agent.exits import Exit, Leave

PATH = "/api/join-tokens/redeem"
FILE = "worker-token.json"

log = structlog.get_logger()


@dataclass(frozen=True)
class Kept:
    """A worker token, the join token that it is asked for with, and whether it was granted."""

    token: str
    join_sha256: str
    is_granted: bool


async def joined(
    client: httpx2.AsyncClient,
    origin: str,
    join_token: str,
    directory: Path,
    backoff: Backoff | None = None,
) -> str:
    """The worker token of this machine. Tries for ever while nobody can be reached. Raises Leave."""
    join_sha256 = sha256_of(join_token)
    kept = _read(directory / FILE)
    if kept is None or kept.join_sha256 != join_sha256:
        kept = Kept(new_key(PrincipalKind.WORKER_TOKEN), join_sha256, is_granted=False)
        _write(directory / FILE, kept)
    if not kept.is_granted:
        await _ask(client, origin, join_token, kept.token, backoff or Backoff())
        _write(directory / FILE, Kept(kept.token, join_sha256, is_granted=True))
        log.info("joined", worker_token=shown_prefix(kept.token))
    return kept.token


async def _ask(
    client: httpx2.AsyncClient, origin: str, join_token: str, token: str, backoff: Backoff
) -> None:
    body = {
        "join_token": join_token,
        "worker_token_sha256": sha256_of(token),
        "worker_token_prefix": shown_prefix(token),
    }
    while True:
        try:
            answer = await client.post(origin.rstrip("/") + PATH, json=body)
        except httpx2.TransportError as error:
            log.warning("gateway_not_reached", error=str(error))
        else:
            if answer.status_code == httpx2.codes.CREATED:
                return
            _require_retry(answer)
        await asyncio.sleep(backoff.next_s())


def _require_retry(answer: httpx2.Response) -> None:
    """Returns when asking again can help."""
    problem = _problem(answer)
    if problem is None:
        if answer.status_code < 500:
            text = f"What answers at the gateway's address is none, or is too old to join ({answer.status_code})."
            raise Leave(Exit.NOT_A_GATEWAY, text)
        log.warning("not_joined_yet", status=answer.status_code)
        return
    if not KINDS[problem.code].retry and answer.status_code < 500:
        raise Leave.because(problem)
    log.warning("not_joined_yet", code=problem.code.value)


def _problem(answer: httpx2.Response) -> Problem | None:
    try:
        document: Any = answer.json()
        return Problem(code=Code(document["code"]), message=str(document.get("detail") or ""))
    except (ValueError, KeyError, TypeError):
        return None


def _read(path: Path) -> Kept | None:
    """None for what is not there, or damaged: then the join token decides."""
    try:
        document = json.loads(path.read_text())
        kept = Kept(
            str(document["token"]), str(document["join_sha256"]), document["is_granted"] is True
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("worker_token_unreadable", path=str(path), error=str(error))
        return None
    return kept if kind_of(kept.token) is PrincipalKind.WORKER_TOKEN else None


def _write(path: Path, kept: Kept) -> None:
    """For nobody else to read. Raises Leave."""
    fresh = path.with_suffix(".new")
    document = {
        "token": kept.token,
        "join_sha256": kept.join_sha256,
        "is_granted": kept.is_granted,
    }
    try:
        fresh.unlink(missing_ok=True)
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w") as file:
            json.dump(document, file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        text = f"The worker token cannot be kept in {path.parent}: {error}"
        raise Leave(Exit.SPOOL_UNUSABLE, text) from None
