"""A worker that can only dial out serves requests, and a cut of its link costs no work.

The worker runs in a network namespace of its own; nftables there drops whatever was not started
from inside. The gateway is reached through a relay on the other end of the pair of interfaces.
"""

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from tests.support.eventually import eventually
from tests.support.platform import Platform

HANDLERS = Path(__file__).parents[1] / "support/handlers/echo.py"
NAMESPACE = f"spaces-{os.getpid()}"
OUTSIDE, INSIDE = f"vo{os.getpid()}", f"vi{os.getpid()}"
GATEWAY_SIDE, WORKER_SIDE = "10.213.77.1", "10.213.77.2"
CUT_S = 10.0
JOB_S = 30.0

needs_namespaces = [
    pytest.mark.netns,
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root"),
    pytest.mark.skipif(
        not (shutil.which("ip") and shutil.which("nft")), reason="ip and nft are not installed"
    ),
]
pytestmark = needs_namespaces

RULES = """
table inet spaces {
  chain input {
    type filter hook input priority 0; policy drop;
    iif lo accept
    ct state established,related accept
  }
}
"""


def _run(*command: str, text: str | None = None) -> None:
    subprocess.run(command, check=True, input=text, text=True, capture_output=True)


@asynccontextmanager
async def _dial_out_only(gateway_url: str) -> AsyncIterator[str]:
    """The namespace, its rules and the relay; yields the gateway's address as seen from inside."""
    host, port = gateway_url.removeprefix("http://").split(":")

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream_writer = await asyncio.open_connection(host, int(port))
        await asyncio.gather(_pump(reader, upstream_writer), _pump(upstream_reader, writer))

    _run("ip", "netns", "add", NAMESPACE)
    try:
        _run("ip", "link", "add", OUTSIDE, "type", "veth", "peer", "name", INSIDE)
        _run("ip", "link", "set", INSIDE, "netns", NAMESPACE)
        _run("ip", "addr", "add", f"{GATEWAY_SIDE}/30", "dev", OUTSIDE)
        _run("ip", "link", "set", OUTSIDE, "up")
        inside = ("ip", "netns", "exec", NAMESPACE)
        _run(*inside, "ip", "addr", "add", f"{WORKER_SIDE}/30", "dev", INSIDE)
        _run(*inside, "ip", "link", "set", INSIDE, "up")
        _run(*inside, "ip", "link", "set", "lo", "up")
        _run(*inside, "nft", "-f", "-", text=RULES)
        server = await asyncio.start_server(relay, GATEWAY_SIDE, 0)
        try:
            yield f"http://{GATEWAY_SIDE}:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()
    finally:
        _run("ip", "netns", "del", NAMESPACE)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while part := await reader.read(65536):
            writer.write(part)
            await writer.drain()
    except OSError:
        pass  # the other side was cut off: that is what the test does
    finally:
        writer.close()


@pytest.mark.timeout(180)
async def test_a_worker_behind_a_closed_firewall_serves_and_survives_a_cut(
    platform: Platform, tmp_path: Path
) -> None:
    headers = {"Authorization": f"Bearer {platform.admin_key}"}
    space = platform.create_space("behind nat", policy={"run_timeout_s": 120, "timeout_s": 120})
    executions = tmp_path / "executions"
    api = f"{platform.gateway_url}/api/spaces/{space['space_id']}/requests"
    async with (
        _dial_out_only(platform.gateway_url) as address,
        httpx2.AsyncClient(trust_env=False, timeout=120, headers=headers) as http,
    ):
        with pytest.raises(TimeoutError):
            await _reachable_from_outside()
        await asyncio.to_thread(
            lambda: platform.start_worker(
                "nat",
                spaces=[space["space_id"]],
                handler=str(HANDLERS),
                gateway_url=address,
                prefix=["ip", "netns", "exec", NAMESPACE],
                env={"EXECUTIONS": str(executions)},
            )
        )
        quick = await http.post(api, params={"wait": "20"}, json={"prompt": "hello"})
        assert quick.json()["output"]["echo"] == "hello", quick.text

        submitted = await http.post(api, json={"prompt": "long", "parameters": {"run_s": JOB_S}})
        request_id = submitted.json()["request_id"]
        await eventually(lambda: request_id in executions.read_text(encoding="utf-8"), timeout_s=15)
        _run("ip", "link", "set", OUTSIDE, "down")
        await asyncio.wait([asyncio.create_task(asyncio.Event().wait())], timeout=CUT_S)
        _run("ip", "link", "set", OUTSIDE, "up")

        done = await http.get(
            f"{platform.gateway_url}/api/requests/{request_id}", params={"wait": "60"}
        )
        assert done.json()["state"] == "succeeded", done.text
        assert done.json()["attempt"] == 1
        runs = [line for line in executions.read_text().splitlines() if request_id in line]
        assert runs == [f"{request_id} 1"]
        await asyncio.to_thread(platform.stop_worker, "nat")


async def _reachable_from_outside() -> None:
    async with asyncio.timeout(0.5):
        await asyncio.open_connection(WORKER_SIDE, 22)
