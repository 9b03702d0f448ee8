"""Builds one agent from its settings and runs it to its exit code. All wiring is here."""

import asyncio
import os
import platform
import shutil
import signal
import socket
import ssl
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx2
import structlog

from spaces_chassis.lifecycle import tune_garbage_collection
from spaces_contracts.connections import AgentInfo
from spaces_contracts.problems import Code
from spaces_worker_agent.addresses import AddressError, origin_url, proxy_for, socket_url
from spaces_worker_agent.engine import Engine
from spaces_worker_agent.exits import Exit, Leave, worth_a_retry
from spaces_worker_agent.files import Bearer, Transfers
from spaces_worker_agent.gpus import list_gpus
from spaces_worker_agent.handler_target import TargetError, check_target
from spaces_worker_agent.joining import joined
from spaces_worker_agent.link import Introduction, Link
from spaces_worker_agent.nats_link import NatsAddress, NatsLink, Resolve
from spaces_worker_agent.pool import HandlerBroken
from spaces_worker_agent.process import HandlerCommand
from spaces_worker_agent.settings import AgentSettings
from spaces_worker_agent.spool import Spool, SpoolLocked, SpoolUnusable, default_spool_dir
from spaces_worker_agent.supervisor import Supervisor
from spaces_worker_agent.tokens import read_join_token, read_token
from spaces_worker_agent.version import VERSION
from spaces_worker_agent.watching import Quiet, Watcher
from spaces_worker_agent.websocket_link import NO_SOCKS, WebSocketLink
from spaces_worker_agent.worker_check import ask_gateway

log = structlog.get_logger()


@dataclass(frozen=True)
class Plan:
    """What to run: settings, the handler and what its process may see."""

    settings: AgentSettings
    target: str
    handler_environment: Mapping[str, str]


async def run_agent(plan: Plan, watcher: Watcher | None = None) -> Leave:
    """Runs until there is a reason to leave; everything that was started is gone then."""
    settings = plan.settings
    try:
        join_token = read_join_token(settings)
        token = read_token(settings, os.environ) if join_token is None else ""
        spool = _open_spool(settings)
        check_target(plan.target)
    except Leave as leave:
        return leave
    except TargetError as error:
        return Leave(Exit.HANDLER_NOT_FOUND, str(error))
    # In the locked directory, so that what a killed agent left behind is found and removed.
    work_root = spool.directory / "work"
    await asyncio.to_thread(shutil.rmtree, work_root, ignore_errors=True)
    transfers: Transfers | None = None
    try:
        if join_token is not None:
            token = await _join(settings, join_token, spool)
        bearer = Bearer(token, spool.identity.instance_id)
        transfers, link = _connections(settings, bearer)
        engine = Engine(
            spool,
            HandlerCommand(
                plan.target,
                plan.handler_environment,
                settings.cancel_grace_s,
                settings.processes,
            ),
            slots=settings.slots,
            transfers=transfers,
            work_root=work_root,
            watcher=watcher or Quiet(),
        )
        engine.redact = lambda text: text.replace(token, "***")
        return await _serve(settings, token, engine, link)
    except Leave as leave:
        spool.close()
        return leave
    finally:
        if transfers is not None:
            await transfers.close()
        await asyncio.to_thread(shutil.rmtree, work_root, ignore_errors=True)


async def _serve(settings: AgentSettings, token: str, engine: Engine, link: Link) -> Leave:
    info = AgentInfo(version=VERSION, hostname=socket.gethostname(), gpu=list_gpus())

    def introduce(spaces: tuple[str, ...]) -> Introduction:
        return Introduction(
            token=token,
            spaces=spaces,
            slots=settings.slots_per_space or settings.slots,
            instance_id=engine.spool.identity.instance_id,
            secret=engine.spool.identity.secret,
            agent=info,
            in_flight=tuple(engine.session.in_flight()),
            takeover=settings.takeover,
        )

    supervisor = Supervisor(
        link, engine, introduce, settings.space, drain_s=settings.drain_timeout_s
    )
    log.info("loading_handlers", slots=settings.slots)
    loop = asyncio.get_running_loop()
    starting = asyncio.ensure_future(engine.start())
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, starting.cancel)
    try:
        await starting
    except asyncio.CancelledError:
        return Leave(Exit.OK, "Stopped before the handler was loaded.")
    except HandlerBroken as error:
        return _broken(error)
    except SpoolUnusable as error:
        return Leave(Exit.SPOOL_UNUSABLE, str(error))
    tune_garbage_collection()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, supervisor.drain)
    try:
        return await supervisor.run()
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


def _broken(error: HandlerBroken) -> Leave:
    broken = error.broken
    if broken.target_error:
        return Leave(Exit.HANDLER_NOT_FOUND, broken.message)
    what = "could not be imported" if broken.stage == "find" else "could not be loaded"
    text = f"The handler {what}: {broken.message}. The traceback is in the log above."
    return Leave(Exit.HANDLER_LOAD_FAILED, text)


def _open_spool(settings: AgentSettings) -> Spool:
    try:
        if settings.spool_dir is not None:
            return Spool.open(settings.spool_dir)
        place = default_spool_dir(settings.gateway, settings.space, os.environ)
        return Spool.open_default(place)
    except SpoolLocked as error:
        raise Leave(Exit.SPOOL_LOCKED, f"{error} Stop it, or give another --spool-dir.") from None
    except SpoolUnusable as error:
        raise Leave(Exit.SPOOL_UNUSABLE, f"{error} Give another --spool-dir.") from None


async def _join(settings: AgentSettings, join_token: str, spool: Spool) -> str:
    origin = _origin(settings)
    async with _http(origin, trusted(settings.ca_file)) as client:
        return await joined(client, origin, join_token, spool.directory)


def _origin(settings: AgentSettings) -> str:
    try:
        return origin_url(settings.gateway)
    except AddressError as error:
        raise Leave(Exit.SETTINGS, f"--gateway: {error}") from None


def _http(origin: str, trust: ssl.SSLContext) -> httpx2.AsyncClient:
    try:
        return httpx2.AsyncClient(
            verify=trust,
            proxy=proxy_for(origin, os.environ),
            trust_env=False,
            timeout=httpx2.Timeout(30.0, pool=None),
        )
    except (ImportError, ValueError) as error:
        hint = NO_SOCKS if isinstance(error, ImportError) else "The proxy's address is wrong."
        raise Leave(Exit.SETTINGS, f"{hint} ({error})") from None


def _connections(settings: AgentSettings, bearer: Bearer) -> tuple[Transfers, Link]:
    trust = trusted(settings.ca_file)
    origin, socket_address = _origin(settings), socket_url(settings.gateway)
    client = _http(origin, trust)
    link: Link
    if settings.link == "nats":
        if settings.nats_url is None:
            raise Leave(Exit.SETTINGS, "--link nats needs --nats-url nats://HOST:PORT.")
        address = NatsAddress(settings.nats_url, settings.ca_file)
        link = NatsLink(address, resolver(client, origin, bearer.token))
    else:
        proxy = proxy_for(socket_address, os.environ)
        link = WebSocketLink(socket_address, trust=trust, proxy=proxy)
    return Transfers(origin, client, bearer), link


def resolver(client: httpx2.AsyncClient, origin: str, token: str) -> Resolve:
    """Asks the gateway for a space's id, because NATS itself only says yes or no."""

    async def resolve(space: str) -> str | None:
        try:
            answer = await ask_gateway(client, origin, token, [space])
        except (httpx2.HTTPError, OSError):
            return None  # a host that reaches NATS only: the broker's yes or no has to do
        if answer.token_problem is not None:
            raise Leave.because(answer.token_problem)
        for found in answer.spaces:
            final = found.problem is not None and not worth_a_retry(found.problem.code, retry=False)
            # Whether a seat is free is for the registry to say: it knows a ghost from a live worker.
            if (
                found.problem is not None
                and final
                and found.problem.code is not Code.ALREADY_CONNECTED
            ):
                raise Leave.because(found.problem, space)
            return found.space_id
        return None

    return resolve


def trusted(ca_file: Path | None) -> ssl.SSLContext:
    """The system's certificate authorities and the given one. Raises Leave."""
    trust = ssl.create_default_context()
    if ca_file is not None:
        try:
            trust.load_verify_locations(cafile=ca_file)
        except (OSError, ssl.SSLError) as error:
            raise Leave(Exit.SETTINGS, f"--ca-file {ca_file} cannot be used: {error}") from None
    return trust


def host_line() -> str:
    """What this host is, for the log and doctor."""
    return f"Python {platform.python_version()} on {sys.platform} {platform.machine()}"
