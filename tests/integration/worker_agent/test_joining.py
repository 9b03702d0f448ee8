"""A machine that has nothing but a join token joins the real platform and serves."""

import shlex
import subprocess
import sys
from pathlib import Path

import httpx2

from spaces_worker_agent.exits import Exit
from spaces_worker_agent.joining import FILE
from tests.support.agents import HANDLERS
from tests.support.eventually import eventually
from tests.support.platform import Platform

COMMAND = Path(sys.executable).with_name("spaces-worker")


async def test_one_machine_joins_comes_back_and_the_next_one_is_refused(
    platform: Platform, tmp_path: Path
) -> None:
    platform.create_space("joined")
    headers = {"Authorization": f"Bearer {platform.admin_key}"}
    async with httpx2.AsyncClient(
        base_url=platform.gateway_url, headers=headers, trust_env=False, timeout=40
    ) as http:
        body = {"name": "rented gpu", "spaces": ["joined"]}
        made = (await http.post("/api/join-tokens", json=body)).raise_for_status().json()
        variable, _, said = made["command"].partition(" ")
        name, _, secret = variable.partition("=")
        assert (name, secret) == ("SPACES_WORKER_JOIN_TOKEN", made["secret"])
        words = shlex.split(said)
        words[0], words[2] = str(COMMAND), f"{HANDLERS}:handler"
        spool = tmp_path / "spool"

        def start(spool: Path) -> "subprocess.Popen[str]":
            return subprocess.Popen(
                [*words, "--spool-dir", str(spool)],
                env={name: secret, "HOME": str(tmp_path)},
                stderr=subprocess.PIPE,
                text=True,
            )

        for _ in range(2):
            agent = start(spool)
            path = "/api/spaces/joined/requests?wait=20"
            answer = await http.post(path, json={"prompt": "hi"}) if await _serves(http) else None
            assert answer is not None
            assert answer.json()["state"] == "succeeded", answer.text
            agent.terminate()
            _, log = agent.communicate(timeout=30)
            assert agent.returncode == Exit.OK, log
            assert secret not in log
        listed = (await http.get("/api/worker-tokens")).json()["credentials"]
        assert [one["principal"]["name"] for one in listed] == ["rented gpu"]
        stranger = start(tmp_path / "another")
        _, log = stranger.communicate(timeout=30)
        assert stranger.returncode == Exit.JOIN_TOKEN, log
        assert "join_token_used" in log
        assert (spool / FILE).stat().st_mode & 0o777 == 0o600


async def _serves(http: httpx2.AsyncClient) -> bool:
    async def connected() -> bool:
        return bool((await http.get("/api/spaces/joined")).json()["connected"])

    return await eventually(connected, timeout_s=20)
