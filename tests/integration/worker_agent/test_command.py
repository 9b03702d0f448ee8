"""The command as a person runs it: a process of its own, its output, its exit code."""

import asyncio
import contextlib
import json
import os
import re
import signal
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from spaces_contracts.problems import Code
from spaces_worker_agent.exits import Exit
from tests.integration.worker_agent.openai_server import OpenAiServer, openai_server
from tests.support.agents import HANDLERS
from tests.support.fake_gateway import FakeGateway

COMMAND = Path(sys.executable).with_name("spaces-worker")
TOKEN = "spw_token-that-stays-secret"


class Command:
    """A `spaces-worker` that runs."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def end(self) -> tuple[int, str, str]:
        """Exit code, standard output, standard error."""
        out, err = await asyncio.wait_for(self.process.communicate(), 40)
        assert self.process.returncode is not None
        return self.process.returncode, out.decode(), err.decode()

    async def terminate(self) -> tuple[int, str, str]:
        self.process.send_signal(signal.SIGTERM)
        return await self.end()


class Runner:
    """Starts commands in a directory with a token file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environ = {
            name: text for name, text in os.environ.items() if not name.startswith("SPACES_")
        }
        self.environ |= {"XDG_STATE_HOME": str(folder / "state"), "HOME": str(folder)}
        self.token = folder / "token"
        self.token.write_text(TOKEN + "\n")
        self.token.chmod(0o600)

    @asynccontextmanager
    async def __call__(self, *arguments: str, **environ: str) -> AsyncIterator[Command]:
        process = await asyncio.create_subprocess_exec(
            COMMAND,
            *arguments,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            stdin=asyncio.subprocess.DEVNULL,
            env=self.environ | environ,
            cwd=self.folder,
        )
        try:
            yield Command(process)
        finally:
            if process.returncode is None:
                process.kill()
                await process.communicate()

    async def fails(self, *arguments: str, **environ: str) -> tuple[int, str]:
        """Exit code and what it said."""
        async with self(*arguments, **environ) as command:
            code, _, err = await command.end()
        return code, err


@pytest.fixture
def run(tmp_path: Path) -> Runner:
    return Runner(tmp_path)


@pytest.fixture
def upstream() -> Iterator[OpenAiServer]:
    with openai_server() as server:
        yield server


def served(run: Runner, gateway: FakeGateway) -> list[str]:
    return ["--space", "demo", "--gateway", gateway.url, "--token-file", str(run.token)]


async def test_a_handler_is_served_until_sigterm(run: Runner, gateway: FakeGateway) -> None:
    async with run("run", str(HANDLERS), *served(run, gateway), "--slots", "2") as command:
        visit = await gateway.visit()
        register = await visit.admit()
        assert register["token"] == TOKEN
        assert register["slots"] == 2
        await visit.job()
        result = await visit.result()
        assert result["output"]["text"] == "hello!"
        assert result["output"]["has_token"] is False
        code, out, err = await command.terminate()
    assert (code, out) == (Exit.OK, "")
    assert TOKEN not in err
    assert '"event": "serving"' in err


async def test_the_token_may_come_from_the_environment(run: Runner, gateway: FakeGateway) -> None:
    environ = {"SPACES_WORKER_TOKEN": TOKEN, "SPACES_WORKER_GATEWAY": gateway.url}
    async with run("run", str(HANDLERS), "--space", "demo", **environ) as command:
        visit = await gateway.visit()
        register = await visit.admit()
        assert register["token"] == TOKEN
        await visit.job()
        assert (await visit.result())["output"]["has_token"] is False
        assert (await command.terminate())[0] == Exit.OK


async def test_verbose_shows_requests_progress_and_queue(run: Runner, gateway: FakeGateway) -> None:
    async with run("mock", "-v", *served(run, gateway), SPACES_MOCK_SECONDS="0.1") as command:
        visit = await gateway.admitted()
        await visit.job()
        await visit.result()
        _, _, err = await command.terminate()
    events = [json.loads(line) for line in err.splitlines() if line.startswith("{")]
    named = {event["event"]: event for event in events}
    assert named["queue"]["queue_size"] == 3
    assert named["request_started"]["space"] == "demo"
    assert named["request_ended"]["status"] == "succeeded"
    percents = [event["percent"] for event in events if event["event"] == "request_progress"]
    assert percents == [25, 50, 75]


async def test_the_mock_makes_progress_and_a_result_with_its_time(
    run: Runner, gateway: FakeGateway
) -> None:
    async with run("mock", *served(run, gateway)):
        visit = await gateway.admitted()
        await visit.job(payload={"prompt": "two", "parameters": {"seconds": 1.2}})
        result = await visit.result()
    assert [frame["percent"] for frame in visit.all("inference_progress")] == [25, 50, 75]
    output = result["output"]
    assert output["text"] == "Mock result for: two"
    assert output["processing_time_seconds"] >= 1.2
    assert "T" in output["timestamp"]


async def test_what_handlers_print_is_logged(run: Runner, gateway: FakeGateway) -> None:
    async with run("run", f"{HANDLERS}:printing", *served(run, gateway)) as command:
        visit = await gateway.admitted()
        await visit.job()
        await visit.result()
        _, out, err = await command.terminate()
    assert out == ""
    events = [json.loads(line) for line in err.splitlines() if line.startswith("{")]
    lines = [event for event in events if event["event"] == "handler_output"]
    assert {"stream": "stdout", "line": "to stdout"}.items() <= lines[0].items()
    assert [len(event["line"]) for event in lines if event["stream"] == "stderr"] == [
        8192,
        8192,
        20_000 - 2 * 8192,
    ]


async def test_progress_bars_are_for_terminals_only(run: Runner, gateway: FakeGateway) -> None:
    master, terminal = os.openpty()
    shown: list[bytes] = []

    def read() -> None:
        with contextlib.suppress(OSError):  # EIO: the other end is closed
            while piece := os.read(master, 65_536):
                shown.append(piece)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    process = await asyncio.create_subprocess_exec(
        COMMAND,
        *("mock", "-v", *served(run, gateway)),
        stderr=terminal,
        env=run.environ | {"TERM": "xterm-256color", "NO_COLOR": "1", "COLUMNS": "120"},
        cwd=run.folder,
    )
    os.close(terminal)
    visit = await gateway.admitted()
    await visit.job()
    await visit.result()
    process.terminate()
    assert await asyncio.wait_for(process.wait(), 20) == Exit.OK
    await asyncio.to_thread(reader.join, 5)
    os.close(master)
    text = b"".join(shown).decode()
    assert "75 %" in text
    assert "mock work, 75 % done" in text
    assert "request_ended" in text
    assert not re.search(r"\x1b\[3[0-9]m", text)


@pytest.mark.parametrize(
    ("target", "code", "words"),
    [
        ("nowhere.py", Exit.HANDLER_NOT_FOUND, "No file 'nowhere.py'"),
        ("no_such_package.module:f", Exit.HANDLER_NOT_FOUND, "No module 'no_such_package.module'"),
        (f"{HANDLERS}:absent", Exit.HANDLER_NOT_FOUND, "no 'absent' there; it has: "),
        (f"{HANDLERS}:HANDLERS-1", Exit.HANDLER_NOT_FOUND, "is not a name"),
        (f"{HANDLERS}:Path", Exit.HANDLER_NOT_FOUND, "is a class without handle(self, request)"),
        (
            f"{HANDLERS}:Unloadable",
            Exit.HANDLER_LOAD_FAILED,
            "could not be loaded: RuntimeError: weights are missing",
        ),
    ],
)
async def test_a_wrong_handler_is_told_at_the_start(
    run: Runner, gateway: FakeGateway, target: str, code: Exit, words: str
) -> None:
    ended, err = await run.fails("run", target, *served(run, gateway))
    assert ended == code
    assert words in err
    assert gateway.visits == []


async def test_one_broken_handler_of_many_ends_all(run: Runner, gateway: FakeGateway) -> None:
    flags = [*served(run, gateway), "--slots", "5"]
    code, err = await run.fails("run", f"{HANDLERS}:Unloadable", *flags)
    assert code == Exit.HANDLER_LOAD_FAILED
    assert "weights are missing" in err


async def test_a_file_beside_the_handler_replaces_nothing_of_pythons(
    run: Runner, gateway: FakeGateway
) -> None:
    for name in ("queue", "json", "asyncio", "socket"):
        (run.folder / f"{name}.py").write_text("raise RuntimeError('imported')\n")
    (run.folder / "mine.py").write_text("def handler(request):\n    return 1\n")
    async with run("run", "mine.py", *served(run, gateway)):
        visit = await gateway.admitted()
        await visit.job()
        assert (await visit.result())["output"] == 1


async def test_a_module_that_does_not_import_is_told_with_its_error(
    run: Runner, gateway: FakeGateway
) -> None:
    (run.folder / "broken.py").write_text("import no_such_library\n")
    code, err = await run.fails("run", "broken.py", *served(run, gateway))
    assert code == Exit.HANDLER_LOAD_FAILED
    assert "ModuleNotFoundError: No module named 'no_such_library'" in err


async def test_a_handler_that_dies_while_loading_is_told(run: Runner, gateway: FakeGateway) -> None:
    (run.folder / "dying.py").write_text(
        "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n"
    )
    code, err = await run.fails("run", "dying.py", *served(run, gateway))
    assert code == Exit.HANDLER_LOAD_FAILED
    assert "The handler process died of SIGSEGV" in err


async def test_what_is_missing_is_named(run: Runner, gateway: FakeGateway) -> None:
    code, err = await run.fails("run", str(HANDLERS), "--gateway", gateway.url)
    assert (code, "--space NAME" in err) == (Exit.SETTINGS, True)
    code, err = await run.fails("run", str(HANDLERS), "--space", "demo")
    assert (code, "No worker token." in err) == (Exit.SETTINGS, True)
    code, err = await run.fails("run", "--space", "demo")
    assert (code, "--upstream URL" in err) == (Exit.USAGE, True)
    code, err = await run.fails("run", "x.py", "--upstream", "http://h", "--space", "demo")
    assert (code, "not both" in err) == (Exit.USAGE, True)
    code, err = await run.fails("run", "x.py", "--space", "demo", "--slots", "0")
    assert (code, "slots (from flag --slots)" in err) == (Exit.SETTINGS, True)
    arguments = ["--space", "demo", "--token-file", str(run.token), "--gateway", "nonsense"]
    code, err = await run.fails("run", str(HANDLERS), *arguments)
    assert (code, "write https://nonsense" in err) == (Exit.SETTINGS, True)


async def test_a_spool_in_use_is_told(run: Runner, gateway: FakeGateway) -> None:
    spool = ["--spool-dir", str(run.folder / "spool")]
    async with run("run", str(HANDLERS), *served(run, gateway), *spool):
        await gateway.admitted()
        code, err = await run.fails("run", str(HANDLERS), *served(run, gateway), *spool)
    assert code == Exit.SPOOL_LOCKED
    assert "give another --spool-dir" in err


async def test_two_agents_without_spool_dir_get_one_each(run: Runner, gateway: FakeGateway) -> None:
    async with run("run", str(HANDLERS), *served(run, gateway)):
        first = await (await gateway.visit()).admit()
        async with run("run", str(HANDLERS), *served(run, gateway)):
            second = await (await gateway.visit()).admit()
    assert first["instance_id"] != second["instance_id"]


async def test_a_refusal_ends_with_its_code_and_advice(run: Runner, gateway: FakeGateway) -> None:
    async with run("run", str(HANDLERS), *served(run, gateway)) as command:
        visit = await gateway.visit()
        await visit.next("register")
        text = "Multiple spaces with name 'demo' found"
        await visit.send(
            type="register_error", space="demo", code=Code.MULTIPLE_SPACES, message=text
        )
        code, _, err = await command.end()
    assert code == Exit.MULTIPLE_SPACES
    assert f"spaces-worker: space 'demo': {text}. Say `tenant/name`" in err


async def test_what_is_no_gateway_is_told(run: Runner, upstream: OpenAiServer) -> None:
    address = upstream.url.removesuffix("/v1")
    arguments = ["--space", "demo", "--token-file", str(run.token), "--gateway", address]
    code, err = await run.fails("run", str(HANDLERS), *arguments)
    assert code == Exit.NOT_A_GATEWAY
    assert "check --gateway" in err
    secure = [*arguments[:-1], address.replace("http", "https")]
    code, err = await run.fails("run", str(HANDLERS), *secure)
    assert code == Exit.TLS_FAILED
    assert "does not speak TLS" in err


async def test_an_upstream_is_served_without_python(
    run: Runner, gateway: FakeGateway, upstream: OpenAiServer
) -> None:
    upstream.key = "sk-upstream"
    key = run.folder / "key"
    key.write_text("sk-upstream\n")
    flags = [
        "--upstream",
        upstream.url,
        "--upstream-model",
        "other",
        "--upstream-key-file",
        str(key),
    ]
    async with run("run", *flags, *served(run, gateway)):
        visit = await gateway.admitted()
        parameters = {"temperature": 0.5, "system": "be brief"}
        rid = await visit.job(payload={"prompt": "hi", "parameters": parameters})
        await visit.until(lambda: len(visit.chunks()) == 3)
        await visit.ack_chunks(rid, 3)
        result = await visit.result()
        assert result["output"] == {"text": "You said hi."}
        asked = upstream.asked[-1]
        assert asked["model"] == "other"
        assert asked["temperature"] == 0.5
        assert asked["messages"] == [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "hi"},
        ]
        await visit.job(payload={"prompt": "hi", "parameters": {"stream": False}})
        whole = await visit.result()
        assert whole["output"]["text"] == "You said hi."
        assert whole["output"]["usage"] == {"total_tokens": 5}
        for prompt, words in (
            ("refuse", "UpstreamError: the upstream answers with HTTP 400: context is too long"),
            ("fail", "UpstreamError: the upstream failed: out of blocks"),
            ("break", "UpstreamError: the upstream broke off in the middle of its answer"),
        ):
            rid = await visit.job(payload={"prompt": prompt})
            await visit.ack_chunks(rid, 3)
            failed = await visit.next("inference_result")
            await visit.ack(failed)
            assert failed["error"] == {"code": "handler_failed", "message": words, "facts": {}}
        rid = await visit.job(payload={"prompt": "endless"})
        await visit.until(lambda: "x" in visit.chunks())
        await visit.cancel(rid)
        assert (await visit.next("inference_result"))["status"] == "cancelled"
        assert await asyncio.to_thread(upstream.hung_up.wait, 20)


async def test_a_wrong_upstream_is_told_at_the_start(
    run: Runner, gateway: FakeGateway, upstream: OpenAiServer
) -> None:
    async def said(*flags: str) -> str:
        code, err = await run.fails("run", *flags, *served(run, gateway))
        assert code == Exit.HANDLER_LOAD_FAILED
        return err

    assert "cannot be reached" in await said("--upstream", "http://127.0.0.1:9")
    model = ["--upstream", upstream.url, "--upstream-model", "huge"]
    assert "has no model 'huge'; it has: tiny, other" in await said(*model)
    upstream.key = "another"
    assert "refuses the key" in await said("--upstream", upstream.url)
    code, err = await run.fails("run", "--upstream", "ftp://x", *served(run, gateway))
    assert (code, "is not an http:// or https:// address" in err) == (Exit.SETTINGS, True)
