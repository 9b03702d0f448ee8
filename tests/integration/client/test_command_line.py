"""The command `spaces` as people and scripts run it: a process, its two outputs and its exit code."""

import asyncio
import json
import os
import pty
import shlex
import signal
import stat
import sys
from asyncio.subprocess import PIPE, Process
from dataclasses import dataclass
from pathlib import Path

import pytest

from spaces_client.commands.exits import Exit
from spaces_contracts.problems import Code, Problem
from spaces_contracts.requests import RequestState
from tests.integration.client.scripted_gateway import API_KEY, ScriptedGateway
from tests.integration.client.scripted_job import Job
from tests.support.eventually import eventually


@dataclass(frozen=True)
class Ran:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def documents(self) -> list[dict[str, object]]:
        """Its output as JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]


class CommandLine:
    """Runs `spaces`."""

    def __init__(self, environ: dict[str, str]) -> None:
        self.environ = environ

    async def start(self, *arguments: str, **options: int) -> Process:
        """A command that runs."""
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "spaces_client.main",
            *arguments,
            **({"stdin": PIPE, "stdout": PIPE, "stderr": PIPE} | options),  # type: ignore[arg-type]  # three streams
            env=self.environ,
        )

    async def run(self, *arguments: str, stdin: str = "") -> Ran:
        """A command that ended."""
        process = await self.start(*arguments)
        out, err = await process.communicate(stdin.encode())
        assert process.returncode is not None
        return Ran(process.returncode, out.decode(), err.decode())


@pytest.fixture
def spaces(gateway: ScriptedGateway, tmp_path: Path) -> CommandLine:
    """The command, set up for the scripted gateway."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return CommandLine(
        kept
        | {
            "SPACES_URL": gateway.url,
            "SPACES_API_KEY": API_KEY,
            "XDG_CONFIG_HOME": str(tmp_path / "config"),
            "TERM": "xterm",
        }
    )


async def shout(job: Job) -> None:
    """A worker that streams words."""
    await job.start()
    await job.progress(50, "half")
    words = job.body.get("prompt", "file").upper().split()
    await job.chunk(*(word + " " for word in words))
    await job.finish(output={"text": " ".join(words)})


async def fail(job: Job) -> None:
    """A worker that cannot."""
    await job.start()
    job.error = Problem(code=Code.HANDLER_FAILED, message="ValueError: no")
    await job.finish(RequestState.FAILED)


async def test_submit_prints_the_output_and_tells_how_it_went_on_the_other_stream(
    gateway: ScriptedGateway, spaces: CommandLine
) -> None:
    gateway.serve = shout
    ran = await spaces.run("submit", "echo", "hello you", "-p", "temperature=0.5")
    assert (ran.code, ran.out) == (Exit.OK, "HELLO YOU\n")
    [job] = gateway.jobs.values()
    assert job.body["parameters"] == {"temperature": 0.5}
    assert f"request {job.request_id}" in ran.err
    assert ran.err.rstrip().endswith("succeeded (queued 1 ms, ran 2 ms)")
    assert "\x1b" not in ran.out + ran.err


async def test_submit_as_json_is_one_document(
    gateway: ScriptedGateway, spaces: CommandLine
) -> None:
    gateway.serve = shout
    ran = await spaces.run("submit", "echo", "-", "--json", stdin="from stdin")
    assert ran.code == Exit.OK
    assert ran.err == ""
    [document] = ran.documents
    assert document["state"] == "succeeded"
    assert document["output"] == {"text": "FROM STDIN"}


async def test_where_no_socket_gets_through_a_submit_ends_all_the_same(
    gateway: ScriptedGateway, spaces: CommandLine
) -> None:
    gateway.serve = shout
    gateway.refuse_sockets = True
    ran = await spaces.run("submit", "echo", "hello")
    assert (ran.code, ran.out) == (Exit.OK, "HELLO\n")
    assert "no live view" in ran.err


async def test_watch_as_json_is_a_line_an_event(
    gateway: ScriptedGateway, spaces: CommandLine
) -> None:
    job, _ = gateway.accept("echo", {"prompt": "a b"}, None)
    process = await spaces.start("watch", job.request_id, "--json")
    await eventually(lambda: job.listeners)
    await shout(job)
    out, err = await process.communicate()
    kinds = [json.loads(line)["type"] for line in out.decode().splitlines()]
    assert kinds == ["status", "status", "progress", "chunk", "finished"]
    assert (process.returncode, err) == (Exit.OK, b"")


async def test_a_submit_on_a_terminal_streams_text_as_it_comes(
    gateway: ScriptedGateway, spaces: CommandLine
) -> None:
    job_seen = asyncio.Event()
    jobs: list[Job] = []

    async def hold(job: Job) -> None:
        jobs.append(job)
        job_seen.set()

    gateway.serve = hold
    shown = await on_a_terminal(spaces, jobs, job_seen, {})
    assert "\x1b[" in shown
    assert "first second" in shown
    assert shown.count("first second") == 1


async def test_no_colour_is_honoured_on_a_terminal(
    gateway: ScriptedGateway, spaces: CommandLine
) -> None:
    job_seen = asyncio.Event()
    jobs: list[Job] = []

    async def hold(job: Job) -> None:
        jobs.append(job)
        job_seen.set()

    gateway.serve = hold
    shown = await on_a_terminal(spaces, jobs, job_seen, {"NO_COLOR": "1"})
    assert not any(f"\x1b[{colour}m" in shown for colour in range(30, 38))


async def on_a_terminal(
    spaces: CommandLine, jobs: list[Job], job_seen: asyncio.Event, environ: dict[str, str]
) -> str:
    """What a person sees of a submit whose output comes in two parts."""
    spaces.environ |= environ
    ours, theirs = pty.openpty()
    process = await spaces.start("submit", "echo", "x", stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = bytearray()
    await job_seen.wait()
    reading = asyncio.create_task(asyncio.to_thread(read_terminal, ours, shown))
    [job] = jobs
    await eventually(lambda: job.listeners)
    await job.start()
    await job.chunk("first ")
    await eventually(lambda: b"first " in shown)
    await job.chunk("second")
    await job.finish(output={"text": "first second"})
    assert await process.wait() == Exit.OK
    await reading
    os.close(ours)
    return shown.decode()


def read_terminal(terminal: int, shown: bytearray) -> None:
    """Reads until the other side is closed, which Linux reports as an error."""
    while True:
        try:
            shown.extend(os.read(terminal, 4096))
        except OSError:
            return


async def test_a_failed_request_has_its_exit_code_and_says_why(
    gateway: ScriptedGateway, spaces: CommandLine
) -> None:
    gateway.serve = fail
    ran = await spaces.run("submit", "echo", "x")
    assert (ran.code, ran.out) == (Exit.FAILED, "")
    assert "error: ValueError: no [handler_failed]" in ran.err
    assert "what to do: " in ran.err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("submit", "nowhere", "x"), Exit.NOT_FOUND, "[space_not_found]"),
        (("submit", "echo", "x", "-p", "bad"), Exit.USAGE, "name=value"),
        (("submit",), Exit.USAGE, "Missing argument"),
        (("status", "z" * 26), Exit.NOT_FOUND, "[request_not_found]"),
        (("--url", "nonsense", "requests"), Exit.CONFIG, "[url_invalid]"),
        (("--api-key-file", "/nowhere", "requests"), Exit.CONFIG, "[api_key_file_invalid]"),
    ],
)
async def test_what_cannot_be_done_says_its_code_and_what_to_do(
    spaces: CommandLine, arguments: tuple[str, ...], code: Exit, said: str
) -> None:
    ran = await spaces.run(*arguments)
    assert (ran.code, ran.out) == (code, "")
    assert said in ran.err


async def test_an_offline_space_is_refused_with_not_now(
    gateway: ScriptedGateway, spaces: CommandLine
) -> None:
    gateway.problems = [Problem(code=Code.WORKER_NOT_CONNECTED, message="Remote app not connected")]
    ran = await spaces.run("submit", "echo", "x", "--json")
    assert (ran.code, ran.out) == (Exit.NOT_NOW, "")
    error = json.loads(ran.err)["error"]
    assert error["code"] == "worker_not_connected"
    assert error["message"] == "Remote app not connected"
    assert error["retry"] is True
    assert error["what_to_do"]


async def test_a_wrong_key_is_not_allowed(spaces: CommandLine) -> None:
    spaces.environ["SPACES_API_KEY"] = "wrong"
    assert (await spaces.run("requests")).code == Exit.NOT_ALLOWED


async def test_interrupting_a_watch_cancels_nothing_and_says_how_to(
    gateway: ScriptedGateway, spaces: CommandLine
) -> None:
    job, _ = gateway.accept("echo", {}, None)
    process = await spaces.start("watch", job.request_id)
    await eventually(lambda: job.listeners)
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()
    assert process.returncode == Exit.INTERRUPTED
    assert f"spaces cancel {job.request_id}" in err.decode()
    assert job.state is RequestState.QUEUED


async def test_cancel_status_and_requests_tell_the_state(
    gateway: ScriptedGateway, spaces: CommandLine
) -> None:
    ran = await spaces.run("submit", "echo", "x", "--no-wait")
    request_id = ran.out.strip()
    assert list(gateway.jobs) == [request_id]
    assert "place 1 of 1" in (await spaces.run("status", request_id)).out
    cancelled = await spaces.run("cancel", request_id)
    assert cancelled.out == f"{request_id} cancelled\n"
    lines = (await spaces.run("requests")).out.splitlines()
    assert lines[0].split("\t")[:2] == ["request", "state"]
    assert lines[1].split("\t")[:2] == [request_id, "cancelled"]
    [document] = (await spaces.run("requests", "--json")).documents
    assert document["request_id"] == request_id


async def test_creating_a_space_prints_the_complete_worker_command(
    gateway: ScriptedGateway, spaces: CommandLine
) -> None:
    ran = await spaces.run("spaces", "create", "my space", "--when-offline", "queue")
    assert ran.code == Exit.OK
    command = shlex.split(ran.out)
    assert command[:3] == ["spaces-worker", "run", "handler.py"]
    options = dict(zip(command[3::2], command[4::2], strict=True))
    token_file = Path(options["--token-file"])
    assert options["--space"] == "my space"
    assert options["--gateway"] == gateway.url
    assert await asyncio.to_thread(token_file.read_text) == "sp_abcdef\n"
    assert stat.S_IMODE((await asyncio.to_thread(token_file.stat)).st_mode) == 0o600
    assert "sp_abcdef" not in ran.out + ran.err
    assert gateway.admin.spaces["my space"]["policy"] == {"when_offline": "queue"}
    again = await spaces.run("spaces", "create", "my space")
    assert (again.code, "[space_name_taken]" in again.err) == (Exit.REFUSED, True)


async def test_spaces_are_shown_changed_and_deleted(
    gateway: ScriptedGateway, spaces: CommandLine
) -> None:
    assert "default/echo" in (await spaces.run("spaces", "list")).out
    shown = (await spaces.run("spaces", "show", "echo", "--json")).documents[0]
    assert set(shown) == {"space", "queue", "connections"}
    assert (await spaces.run("spaces", "disable", "echo")).code == Exit.OK
    assert gateway.admin.spaces["echo"]["enabled"] is False
    assert (await spaces.run("spaces", "update", "echo", "--max-queue", "7")).code == Exit.OK
    assert gateway.admin.spaces["echo"]["policy"] == {"max_queue": 7}
    hide = await spaces.run("spaces", "update", "echo", "--visibility", "private")
    assert ("visibility", "private") in [tuple(line.split()) for line in hide.out.splitlines()]
    assert gateway.admin.spaces["echo"]["visibility"] == "private"
    wrong = await spaces.run("spaces", "update", "echo", "--visibility", "secret")
    assert (wrong.code, "'tenant', 'private'" in wrong.err) == (Exit.USAGE, True)
    refused = await spaces.run("spaces", "delete", "echo", stdin="n\n")
    assert refused.code == Exit.INTERNAL
    assert "echo" in gateway.admin.spaces
    assert (await spaces.run("spaces", "delete", "echo", "--yes")).code == Exit.OK
    assert gateway.admin.spaces == {}


async def test_credentials_are_made_listed_and_revoked(spaces: CommandLine, tmp_path: Path) -> None:
    key = await spaces.run("keys", "create", "mine")
    assert key.out == "sp_abcdef\n"
    key_file = tmp_path / "my key"
    made = await spaces.run("keys", "create", "filed", "--file", str(key_file))
    assert made.out == f"export SPACES_API_KEY_FILE='{key_file}'\n"
    listed = (await spaces.run("keys", "list", "--json")).documents
    assert len(listed) == 2
    token = await spaces.run("tokens", "create", "--space", "echo", "--json")
    assert "worker_command" in token.documents[0]
    [listed_token] = (await spaces.run("tokens", "list")).out.splitlines()[1:]
    revoked = await spaces.run("tokens", "revoke", listed_token.split("\t")[0])
    assert revoked.code == Exit.OK
    assert (await spaces.run("tenants", "create", "acme")).code == Exit.OK
    assert "acme" in (await spaces.run("tenants", "list")).out


async def test_files_are_sent_by_kind(
    gateway: ScriptedGateway, spaces: CommandLine, tmp_path: Path
) -> None:
    gateway.serve = shout
    photo = tmp_path / "photo.png"
    await asyncio.to_thread(photo.write_bytes, b"png")
    sent = await spaces.run("submit", "echo", "--image", str(photo), "--json")
    assert sent.code == Exit.OK
    assert list(gateway.uploads.values()) == [b"png"]
    wrong = await spaces.run("submit", "echo", "--audio", str(photo))
    assert (wrong.code, "is not audio" in wrong.err) == (Exit.USAGE, True)


async def test_a_rehearsal_prints_a_table_of_timings(
    gateway: ScriptedGateway, spaces: CommandLine
) -> None:
    gateway.serve = shout
    ran = await spaces.run("rehearse", "echo", "hello", "-n", "5", "-c", "2")
    assert ran.code == Exit.OK
    rows = [line.split("\t") for line in ran.out.splitlines()]
    assert [row[0] for row in rows] == ["", "total", "queued", "ran"]
    assert rows[1][1] == "5"
    gateway.serve = fail
    ran = await spaces.run("rehearse", "echo", "hello", "-n", "2")
    assert ran.code == Exit.FAILED
    assert "2 x ValueError: no [handler_failed]" in ran.err


async def test_help_has_examples(spaces: CommandLine) -> None:
    for arguments in ((), ("submit",), ("rehearse",), ("spaces", "create")):
        ran = await spaces.run(*arguments, "--help")
        assert ran.code == Exit.OK
        assert "Example" in ran.out
