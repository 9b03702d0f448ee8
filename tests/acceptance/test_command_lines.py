"""The commands as people type them: a space is made, its printed worker command is run as it is, and serves."""

import asyncio
import json
import os
import shlex
import signal
import stat
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from spaces_worker_agent.exits import Exit
from tests.support.eventually import eventually
from tests.support.platform import Platform

# What a person would save as handler.py, the name in the printed command.
HANDLER = """
import time


def handler(request):
    for n in range(int(request.parameters.get("words", 3))):
        request.check_cancelled()
        time.sleep(float(request.parameters.get("pace_s", 0)))
        yield f"{request.prompt} {n} "
"""
ENDS_WITHIN_S = 40


class Terminal:
    """Somebody's home directory, with the commands on the PATH and a handler at hand."""

    def __init__(self, platform: Platform, home: Path) -> None:
        self.platform = platform
        self.home = home
        self._left: list[Process] = []
        (home / "handler.py").write_text(HANDLER)
        self.environ = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(home),
            "SPACES_URL": platform.gateway_url,
            "SPACES_API_KEY": platform.admin_key,
        }

    async def start(self, command: str) -> Process:
        """Runs a command line as it is and leaves it running."""
        process = await asyncio.create_subprocess_shell(
            f"exec {command}", cwd=self.home, env=self.environ, stdout=PIPE, stderr=PIPE
        )
        self._left.append(process)
        return process

    async def run(self, command: str) -> tuple[int | None, str, str]:
        """Exit code, what came on stdout and what came on stderr."""
        process = await self.start(command)
        async with asyncio.timeout(ENDS_WITHIN_S):
            out, err = await process.communicate()
        return process.returncode, out.decode(), err.decode()

    async def documents(self, command: str) -> list[dict[str, Any]]:
        """What a command with --json prints, one document a line; nothing else may be there."""
        code, out, err = await self.run(command)
        assert code == 0, err
        return [json.loads(line) for line in out.splitlines()]

    async def document(self, command: str) -> dict[str, Any]:
        """The one document that a command prints."""
        (document,) = await self.documents(command)
        return document

    async def serve(self, command: str, space: str) -> Process:
        """Starts a worker and returns when the space shows it."""
        worker = await self.start(command)
        await eventually(lambda: self.platform.space(space)["connected"], timeout_s=ENDS_WITHIN_S)
        return worker

    async def close(self) -> None:
        """Stops what still runs, the orderly way."""
        for process in self._left:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
                async with asyncio.timeout(ENDS_WITHIN_S):
                    await process.communicate()


@pytest.fixture
async def terminal(platform: Platform, tmp_path: Path) -> AsyncIterator[Terminal]:
    """A fresh home directory."""
    terminal = Terminal(platform, tmp_path)
    yield terminal
    await terminal.close()


def keeps_the_secret(token_file: Path, shown: str) -> None:
    """The token is in a file of its owner's, and nowhere on the screen."""
    assert stat.S_IMODE(token_file.stat().st_mode) == 0o600
    assert token_file.read_text().strip() not in shown


async def test_the_printed_worker_command_serves_and_every_client_command_works(
    terminal: Terminal,
) -> None:
    code, out, told = await terminal.run("spaces spaces create 'my words'")
    assert code == 0, told
    (command,) = out.splitlines()
    keeps_the_secret(Path(shlex.split(command)[-1]), out + told)
    worker = await terminal.serve(command, "my words")

    code, out, told = await terminal.run("spaces submit 'my words' hello -p words=2")
    assert (code, out) == (0, "hello 0 hello 1 \n"), told

    done = await terminal.documents("spaces submit 'my words' hello -p words=2 --json")
    assert done[-1]["state"] == "succeeded"
    assert done[-1]["output"] == {"text": "hello 0 hello 1 "}

    long = "spaces submit 'my words' on -p words=1000 -p pace_s=0.05 --no-wait --json"
    running = (await terminal.document(long))["request_id"]
    queued = (await terminal.document(long))["request_id"]
    await _state(terminal, running, "running")
    status = await terminal.document(f"spaces status {queued} --json")
    assert (status["state"], status["position"], status["queue_size"]) == ("queued", 1, 1)
    listed = await terminal.documents("spaces requests --space 'my words' --json")
    assert [each["request_id"] for each in listed[:2]] == [queued, running]
    (waiting,) = await terminal.documents("spaces requests --state queued --json")
    assert waiting["request_id"] == queued

    watching = asyncio.create_task(terminal.run(f"spaces watch {running} --json"))
    cancelled = await terminal.documents(f"spaces cancel {queued} {running} --json")
    assert cancelled[0]["state"] == "cancelled"
    code, out, told = await watching
    events = [json.loads(line) for line in out.splitlines()]
    assert events[-1]["type"] == "finished"
    assert events[-1]["state"] == "cancelled"
    assert code != 0, "a request that did not succeed is no success of the command"
    await _state(terminal, running, "cancelled")

    worker.send_signal(signal.SIGTERM)
    async with asyncio.timeout(ENDS_WITHIN_S):
        _, said = await worker.communicate()
    assert worker.returncode == Exit.OK, said.decode()
    code, out, told = await terminal.run("spaces submit 'my words' hello")
    assert code != 0
    assert "Remote app not connected" in told
    assert "Start a worker for this space" in told


async def _state(terminal: Terminal, request_id: str, state: str) -> None:
    async def reached() -> bool:
        told = await terminal.document(f"spaces status {request_id} --json")
        return bool(told["state"] == state)

    await eventually(reached, timeout_s=ENDS_WITHIN_S)


async def test_the_command_of_the_json_answer_serves_a_mock(terminal: Terminal) -> None:
    made = await terminal.document("spaces spaces create stand-in --json")
    command = made["worker_command"]
    assert command[:3] == ["spaces-worker", "run", "handler.py"]
    flags = shlex.join(command[3:])

    code, out, _ = await terminal.run(f"spaces-worker doctor {flags} --json")
    report = json.loads(out)
    assert (code, report["ok"]) == (Exit.OK, True), report

    await terminal.serve(f"spaces-worker mock {flags}", "stand-in")
    code, out, told = await terminal.run("spaces submit stand-in hi -p seconds=0.4 --json")
    assert code == 0, told
    events = [json.loads(line) for line in out.splitlines()]
    output = events[-1]["output"]
    assert output["text"] == "Mock result for: hi"
    assert output["processing_time_seconds"] >= 0.4
    assert output["timestamp"]
    # Progress is a state: at most five of them a second are told.
    code, out, told = await terminal.run("spaces submit stand-in hi -p seconds=1.2")
    assert "Mock result for: hi" in out
    for percent in (25, 50, 75):
        assert f"{percent} %" in told

    code, out, _ = await terminal.run(f"spaces-worker doctor {flags}")
    assert code == Exit.OK
    assert "warn  space stand-in" in out, "doctor sees the taken seat"
    assert "Stop the other worker, or start with --takeover." in out


async def test_doctor_names_what_is_wrong_and_what_to_do(terminal: Terminal) -> None:
    made = await terminal.document("spaces spaces create patient --json")
    flags = made["worker_command"][3:]
    token_file = Path(flags[flags.index("--token-file") + 1])
    other = await terminal.document("spaces spaces create neighbour --json")
    wrong = terminal.home / "wrong"
    wrong.write_text("spw_nobody\n")
    wrong.chmod(0o600)
    url = terminal.platform.gateway_url
    for space, token, address, said in (
        ("patient", wrong, url, "(token_invalid)"),
        ("nowhere", token_file, url, "No space 'nowhere' found"),
        ("patient", other["token_file"], url, "The token does not cover space 'default/patient'"),
        ("patient", token_file, "http://127.0.0.1:1", "127.0.0.1:1"),
    ):
        code, out, _ = await terminal.run(
            f"spaces-worker doctor --space {space} --token-file {token} --gateway {address}"
        )
        assert code == Exit.CHECK_FAILED, out
        assert said in out


async def test_what_is_wrong_has_its_code_in_json_and_no_traceback(terminal: Terminal) -> None:
    unknown = "0" * 26
    for command, said in (
        ("spaces submit nowhere hi --json", "space_not_found"),
        (f"spaces status {unknown} --json", "request_not_found"),
        (f"spaces watch {unknown} --json", "request_not_found"),
        (f"spaces cancel {unknown} --json", "request_not_found"),
        ("spaces requests --space nowhere --json", "space_not_found"),
    ):
        code, out, told = await terminal.run(command)
        assert code not in (0, 1), (command, told)
        assert out == ""
        assert json.loads(told)["error"]["code"] == said
        assert json.loads(told)["error"]["what_to_do"]
