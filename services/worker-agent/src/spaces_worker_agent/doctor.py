"""Looks at everything between this host and its spaces, and says what to do. Takes nobody's seat."""

import asyncio
import os
import shutil
import socket
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal
from urllib.parse import urlsplit

import httpx2
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidHandshake
from websockets.typing import Subprotocol

from spaces_contracts.frames import PROTOCOL
from spaces_contracts.problems import KINDS, Code, Problem
from spaces_worker_agent.addresses import (
    AddressError,
    origin_url,
    proxy_for,
    socket_url,
    without_password,
)
from spaces_worker_agent.app import host_line, trusted
from spaces_worker_agent.exits import Leave
from spaces_worker_agent.gpus import list_gpus
from spaces_worker_agent.settings import AgentSettings
from spaces_worker_agent.spool import Spool, SpoolLocked, SpoolUnusable, default_spool_dir
from spaces_worker_agent.tokens import read_join_token, read_token
from spaces_worker_agent.version import VERSION
from spaces_worker_agent.worker_check import CheckAnswer, SpaceAnswer, ask_gateway

WAIT_S = 10.0
SKEW_WARN_S = 5.0
LOW_DISK_BYTES = 256 * 1_048_576

Level = Literal["ok", "warn", "fail", "skip"]


@dataclass(frozen=True)
class Check:
    """One line of the report."""

    name: str
    level: Level
    text: str
    advice: str = ""


async def examine(settings: AgentSettings, environ: Mapping[str, str]) -> list[Check]:
    """All checks, in the order in which one needs the other."""
    checks = [_host()]
    token = _token(settings, environ, checks)
    checks.append(_spool(settings, environ))
    try:
        origin, address = origin_url(settings.gateway), socket_url(settings.gateway)
    except AddressError as error:
        checks.append(Check("gateway address", "fail", str(error), "Correct --gateway."))
        return checks
    proxy = proxy_for(address, environ)
    checks.append(_proxy_line(proxy))
    reached = await _reach(proxy or address, checks)
    try:
        trust = trusted(settings.ca_file)
    except Leave as leave:
        checks.append(Check("ca-file", "fail", str(leave), "Give a PEM file."))
        return checks
    if reached and proxy is None and address.startswith("wss:"):
        reached = await _tls(address, trust, checks)
    if not reached:
        checks.append(Check("gateway", "skip", "not reached, so not asked"))
        return checks
    await _ask(settings, origin, token, trust, proxy_for(origin, environ), checks)
    checks.append(await _socket(address, trust, proxy))
    if settings.link == "nats":
        await _reach(settings.nats_url or "nats://", checks, name="nats")
    return checks


def _host() -> Check:
    gpus = ", ".join(gpu.name for gpu in list_gpus()) or "no NVIDIA GPU found"
    return Check("host", "ok", f"agent {VERSION}, {host_line()}, {gpus}")


def _token(settings: AgentSettings, environ: Mapping[str, str], checks: list[Check]) -> str | None:
    try:
        if read_join_token(settings) is not None:
            said = "a join token is used by `run` only: it is good for one use"
            checks.append(Check("token file", "skip", said))
            return None
        token = read_token(settings, environ)
    except Leave as leave:
        checks.append(Check("token file", "fail", str(leave), "Save the worker token in a file."))
        return None
    path = settings.token_file
    if path is not None and str(path) != "-" and path.stat().st_mode & 0o077:
        advice = f"chmod 600 {path}"
        checks.append(Check("token file", "warn", f"{path} can be read by others", advice))
    else:
        checks.append(Check("token file", "ok", "there is a token"))
    return token


def _spool(settings: AgentSettings, environ: Mapping[str, str]) -> Check:
    place = settings.spool_dir
    if place is None:
        place = default_spool_dir(settings.gateway, settings.space or ("space",), environ)
    try:
        spool = Spool.open(place)
    except SpoolLocked:
        return Check("spool", "ok", f"{place} is in use by an agent that runs now")
    except SpoolUnusable as error:
        return Check("spool", "fail", str(error), "Give a directory with --spool-dir.")
    try:
        with tempfile.NamedTemporaryFile(dir=place) as probe:
            probe.write(b"x" * 65_536)
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        return Check("spool", "fail", f"{place} cannot be written: {error}", "Free space there.")
    finally:
        spool.close()
    free = shutil.disk_usage(place).free
    if free < LOW_DISK_BYTES:
        return Check(
            "spool", "warn", f"{place} has {free >> 20} MiB left", "Free space on this disk."
        )
    return Check("spool", "ok", f"{place} can be written, {free >> 20} MiB free")


def _proxy_line(proxy: str | None) -> Check:
    if proxy is None:
        return Check("proxy", "ok", "none (HTTPS_PROXY, HTTP_PROXY and ALL_PROXY do not apply)")
    return Check("proxy", "ok", f"through {without_password(proxy)}")


async def _reach(url: str, checks: list[Check], name: str = "") -> bool:
    """DNS and TCP to the host of an address; the proxy's when there is one."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = parts.port or {"wss": 443, "https": 443, "nats": 4222}.get(parts.scheme, 80)
    prefix = f"{name} " if name else ""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(WAIT_S):
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError, UnicodeError) as error:
        advice = "Check the spelling of the host name and this host's DNS."
        checks.append(Check(f"{prefix}dns", "fail", f"{host}: {_text(error)}", advice))
        return False
    addresses = ", ".join(dict.fromkeys(str(entry[4][0]) for entry in found))
    checks.append(Check(f"{prefix}dns", "ok", f"{host} is {addresses}"))
    try:
        async with asyncio.timeout(WAIT_S):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError) as error:
        advice = "Check that the gateway runs there, the port, and firewalls in between."
        checks.append(Check(f"{prefix}tcp", "fail", f"{host}:{port}: {_text(error)}", advice))
        return False
    writer.close()
    checks.append(Check(f"{prefix}tcp", "ok", f"{host}:{port} accepts connections"))
    return True


async def _tls(url: str, trust: ssl.SSLContext, checks: list[Check]) -> bool:
    parts = urlsplit(url)
    try:
        async with asyncio.timeout(WAIT_S):
            _, writer = await asyncio.open_connection(
                parts.hostname, parts.port or 443, ssl=trust, server_hostname=parts.hostname
            )
    except ssl.SSLCertVerificationError as error:
        advice = "Give the certificate authority with --ca-file, or correct the host name."
        checks.append(Check("tls", "fail", error.verify_message, advice))
        return False
    except (OSError, TimeoutError) as error:
        checks.append(Check("tls", "fail", _text(error), "Does the gateway speak TLS here?"))
        return False
    certificate = writer.get_extra_info("peercert") or {}
    version = writer.get_extra_info("ssl_object").version()
    writer.close()
    days = _days_left(str(certificate.get("notAfter", "")))
    if days is not None and days < 14:
        text = f"{version}; the certificate ends in {days:.0f} days"
        checks.append(Check("tls", "warn", text, "Renew the gateway's certificate."))
    else:
        checks.append(Check("tls", "ok", f"{version}, certificate trusted"))
    return True


async def _ask(
    settings: AgentSettings,
    origin: str,
    token: str | None,
    trust: ssl.SSLContext,
    proxy: str | None,
    checks: list[Check],
) -> None:
    if token is None:
        checks.append(Check("token", "skip", "there is no token to ask about"))
        return
    try:
        async with httpx2.AsyncClient(
            verify=trust, proxy=proxy, trust_env=False, timeout=WAIT_S
        ) as client:
            answer = await ask_gateway(client, origin, token, settings.space)
    except (httpx2.HTTPError, OSError) as error:
        advice = "Is it the gateway that answers there?"
        checks.append(Check("gateway", "fail", f"{origin}: {_text(error)}", advice))
        return
    checks.extend(judge(settings, answer, datetime.now(UTC)))


def judge(settings: AgentSettings, answer: CheckAnswer, now: datetime) -> list[Check]:
    """The lines for what the gateway answered. Pure."""
    checks = []
    if answer.now is not None:
        checks.append(_clock((now - answer.now).total_seconds()))
    if not answer.found:
        advice = "Check --gateway; a gateway older than this agent cannot tell."
        checks.append(Check("token", "warn", "the gateway does not answer this question", advice))
        return checks
    checks.append(_protocol(answer))
    if answer.token_problem is not None:
        checks.append(_failed("token", answer.token_problem))
        return checks
    checks.append(Check("token", "ok", "known and valid"))
    if not settings.space:
        checks.append(Check("space", "fail", "no space was named", "Say which: --space NAME."))
    checks.extend(_space(space, settings) for space in answer.spaces)
    return checks


def _clock(skew_s: float) -> Check:
    text = f"{abs(skew_s):.1f} s {'ahead of' if skew_s > 0 else 'behind'} the gateway"
    if abs(skew_s) > SKEW_WARN_S:
        return Check("clock", "warn", text, "Set this host's clock (NTP): its times look wrong.")
    return Check("clock", "ok", text)


def _protocol(answer: CheckAnswer) -> Check:
    gateway = f"gateway {answer.version or '?'}"
    if answer.protocol not in (None, PROTOCOL):
        text = f"{gateway} speaks {answer.protocol}, this agent {PROTOCOL}"
        return Check("protocol", "fail", text, KINDS[Code.UNSUPPORTED_PROTOCOL].what_to_do)
    return Check("protocol", "ok", f"{gateway} speaks {PROTOCOL}")


def _space(space: SpaceAnswer, settings: AgentSettings) -> Check:
    name = f"space {space.ref}"
    if space.problem is None:
        return Check(name, "ok", f"{space.name}, id {space.space_id}")
    if space.problem.code is Code.ALREADY_CONNECTED:
        if settings.takeover:
            return Check(name, "ok", "is served now; --takeover takes the place")
        text = f"is served now by {space.connections} of at most {space.max_connections} workers"
        return Check(name, "warn", text, KINDS[Code.ALREADY_CONNECTED].what_to_do)
    return _failed(name, space.problem)


def _failed(name: str, problem: Problem) -> Check:
    kind = KINDS[problem.code]
    return Check(name, "fail", f"{problem.message or kind.title} ({problem.code})", kind.what_to_do)


async def _socket(address: str, trust: ssl.SSLContext, proxy: str | None) -> Check:
    """A WebSocket that says nothing: it shows whether proxies let one through."""
    try:
        async with connect(
            address,
            subprotocols=[Subprotocol(PROTOCOL)],
            ssl=trust if address.startswith("wss:") else None,
            proxy=proxy,
            compression=None,
            open_timeout=WAIT_S,
            close_timeout=1,
        ) as opened:
            if opened.subprotocol != PROTOCOL:
                advice = KINDS[Code.UNSUPPORTED_PROTOCOL].what_to_do
                return Check("websocket", "fail", f"no {PROTOCOL} there", advice)
    except (InvalidHandshake, OSError, TimeoutError, ValueError, EOFError) as error:
        advice = "Check --gateway, and that proxies in between let WebSockets through."
        return Check("websocket", "fail", f"{address}: {_text(error)}", advice)
    return Check("websocket", "ok", f"{address} opens")


def _days_left(not_after: str) -> float | None:
    try:
        return (ssl.cert_time_to_seconds(not_after) - datetime.now(UTC).timestamp()) / 86_400
    except ValueError:
        return None


def _text(error: BaseException) -> str:
    return str(error) or type(error).__name__


def report(checks: list[Check], *, colour: bool) -> str:
    """Lines for people."""
    shades = {"ok": "32", "warn": "33", "fail": "31", "skip": "2"}
    width = max(len(check.name) for check in checks)
    lines = []
    for check in checks:
        level = check.level.ljust(4)
        if colour:
            level = f"\x1b[{shades[check.level]}m{level}\x1b[0m"
        lines.append(f"{level}  {check.name.ljust(width)}  {check.text}")
        if check.advice and check.level in ("warn", "fail"):
            lines.append(f"{'':4}  {'':{width}}  -> {check.advice}")
    return "\n".join(lines)
