"""The folder of a stack: one stack at a time, secrets for one user, data where PostgreSQL may go."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from spaces_stack.accounts import Account, can_enter
from spaces_stack.child import StartError
from spaces_stack.secret_files import SecretFiles
from spaces_stack.state_dir import RunningStack, StateDir

RUNNING = RunningStack(pid=os.getpid(), gateway_urls=["http://127.0.0.1:8080"])
IMPORTS = "from pathlib import Path; from spaces_stack.state_dir import StateDir\n"
STRANGER = Account("stranger", uid=64_999, gid=64_999)


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    one = StateDir(tmp_path / "state")
    one.make()
    return one


def test_a_second_stack_in_the_same_folder_is_refused(state: StateDir) -> None:
    second = f"with StateDir(Path({str(state.path)!r})).locked(): pass"
    with state.locked():
        tried = subprocess.run(
            [sys.executable, "-c", IMPORTS + second],
            capture_output=True,
            text=True,
            check=False,
        )
    assert "a stack already runs in" in tried.stderr


def test_what_a_killed_stack_wrote_is_not_believed(state: StateDir) -> None:
    with state.locked():
        state.write_running(RUNNING)
    state.write_running(RUNNING)  # as if nobody had cleaned up
    assert state.running() is None
    assert state.stop_running() is False


def test_the_lock_is_free_again_after_the_stack(state: StateDir) -> None:
    with state.locked():
        pass
    with state.locked():
        pass


def test_two_folders_are_two_stacks(state: StateDir, tmp_path: Path) -> None:
    other = StateDir(tmp_path / "other")
    other.make()
    with state.locked(), other.locked():
        pass


def test_a_locked_folder_in_this_process_is_refused_too(state: StateDir) -> None:
    with state.locked(), pytest.raises(StartError, match="spaces-stack down"), state.locked():
        pass


def test_secrets_are_for_their_owner_only_and_stay_the_same(state: StateDir) -> None:
    first = state.secrets.get("gateway")
    path = state.secrets.path("gateway")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert SecretFiles(path.parent).get("gateway") == first
    assert state.secrets.get("registry") != first


def test_a_folder_below_a_private_one_cannot_be_entered(tmp_path: Path) -> None:
    private = tmp_path / "private"
    inside = private / "inside"
    inside.mkdir(parents=True, mode=0o755)
    private.chmod(0o700)
    assert can_enter(STRANGER, Path("/var/tmp"))
    assert not can_enter(STRANGER, inside)
