"""The command `spaces-stack`, as a person uses it."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import psutil
import pytest

from spaces_stack.leftovers import marked_processes
from spaces_stack.platform import command
from spaces_stack.ports import accepts
from spaces_stack.state_dir import StateDir

STACK = command("spaces-stack")


@pytest.fixture
def state() -> Iterator[StateDir]:
    folder = Path(tempfile.mkdtemp(prefix="spaces-test-", dir="/var/tmp"))
    folder.chmod(0o755)
    yield StateDir(folder)
    shutil.rmtree(folder)


def run(state: StateDir, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [STACK, *arguments],
        env=os.environ | {"SPACES_STATE_DIR": str(state.path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@contextmanager
def up(state: StateDir, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """`spaces-stack up` until it says that it is ready; killed at the end if it still runs."""
    environ = os.environ | {"SPACES_STATE_DIR": str(state.path)}
    started = subprocess.Popen(
        [STACK, "up", *arguments],
        env=environ,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    with started:
        assert started.stderr is not None
        said = []
        for line in started.stderr:
            said.append(line)
            if re.search(r"^stack\s+ready: ", line):
                break
        else:
            pytest.fail("it did not start:\n" + "".join(said))
        try:
            yield started
        finally:
            started.kill()


def test_up_then_down_leaves_no_process_and_no_port(state: StateDir) -> None:
    with up(state) as started:
        running = state.running()
        assert running is not None
        assert run(state, "status").returncode == 0
        key = run(state, "admin-key").stdout.strip()
        me = httpx2.get(
            f"{running.gateway_urls[0]}/api/me",
            headers={"Authorization": f"Bearer {key}"},
            trust_env=False,
        )
        assert me.json()["kind"] == "admin"
        assert f"export SPACES_URL={running.gateway_urls[0]}" in run(state, "env").stdout
        assert run(state, "down").stdout == "stopped\n"
        assert started.wait(timeout=10) == 0
    assert [port for port in running.ports if accepts(port)] == []
    assert marked_processes("none", [state.path]) == []
    assert run(state, "status").returncode == 1


def test_the_second_start_keeps_the_key_and_runs_beside_another_stack(
    state: StateDir, tmp_path: Path
) -> None:
    with up(state) as started:
        first = run(state, "admin-key").stdout
        started.send_signal(signal.SIGINT)
        assert started.wait(timeout=60) == 0
    other_folder = Path(tempfile.mkdtemp(prefix="spaces-test-", dir="/var/tmp"))
    other_folder.chmod(0o755)
    other = StateDir(other_folder)
    try:
        with up(state), up(other):
            assert run(state, "admin-key").stdout == first
            assert run(other, "admin-key").stdout != first
            for one in (state, other):
                assert run(one, "down").returncode == 0
    finally:
        shutil.rmtree(other_folder)


def test_kill_9_of_the_command_ends_everything_it_started(state: StateDir) -> None:
    with up(state) as started:
        children = psutil.Process(started.pid).children(recursive=True)
        assert len(children) >= 5
        started.kill()
        started.wait()
    _, alive = psutil.wait_procs(children, timeout=20)
    assert [one.name() for one in alive if one.status() != psutil.STATUS_ZOMBIE] == []
    with up(state):
        assert run(state, "down").returncode == 0


def test_more_processes_of_a_service_are_asked_for_by_number(state: StateDir) -> None:
    with up(state, "--gateways", "2", "--schedulers", "2"):
        shown = run(state, "status").stdout
        assert re.findall(r"^(\S+) +ready", shown, re.MULTILINE) == [
            "registry",
            "scheduler",
            "scheduler-2",
            "gateway",
            "gateway-2",
        ]
        assert run(state, "down").returncode == 0


def test_nothing_runs_here_is_said_and_not_guessed(state: StateDir) -> None:
    assert run(state, "down").stdout == "nothing runs here\n"
    assert run(state, "env").returncode == 1
    assert "start the stack once" in run(state, "admin-key").stderr
