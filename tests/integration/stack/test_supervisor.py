"""Programs that are started, killed, restarted and left behind."""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from spaces_stack.child import Program, StartError
from spaces_stack.leftovers import leftovers, marked_processes
from spaces_stack.ports import accepts, free_ports, listens, preferred_port
from spaces_stack.supervisor import Supervisor
from tests.support.eventually import eventually

WAITS = (sys.executable, "-c", "import signal; print('up', flush=True); signal.pause()")


def waits(name: str = "waits") -> Program:
    return Program(name=name, argv=WAITS, environ=os.environ)


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    one = Supervisor(tmp_path)
    yield one
    one.stop_all()


async def test_a_program_that_dies_is_started_again(supervisor: Supervisor) -> None:
    supervisor.start([waits()])
    first = supervisor.pid("waits")
    os.kill(first, signal.SIGKILL)
    await eventually(lambda: supervisor.running("waits") and supervisor.pid("waits") != first)
    assert supervisor.restarts == {"waits": 1}


async def test_a_program_killed_on_purpose_stays_down_until_it_is_revived(
    supervisor: Supervisor,
) -> None:
    supervisor.start([waits()])
    supervisor.kill("waits")
    assert not supervisor.running("waits")
    supervisor.revive("waits")
    assert supervisor.running("waits")
    assert supervisor.restarts == {}


def test_a_program_that_ends_before_it_is_ready_is_an_error_with_its_last_words(
    supervisor: Supervisor,
) -> None:
    program = Program(
        name="fails",
        argv=(sys.executable, "-c", "print('no such table'); raise SystemExit(3)"),
        environ=os.environ,
        ready=lambda _: False,
    )
    with pytest.raises(StartError, match="exit code 3"):
        supervisor.start([program])
    assert "no such table" in supervisor.log_tail("fails")


def test_a_program_that_ignores_the_request_to_stop_is_killed(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path, restart=False)
    deaf = (
        "import signal; signal.signal(15, signal.SIG_IGN); print('up', flush=True); signal.pause()"
    )
    program = Program(
        name="deaf",
        argv=(sys.executable, "-c", deaf),
        environ=os.environ,
        ready=lambda _: "up" in supervisor.log_tail("deaf"),
        stop_within_s=0.1,
    )
    supervisor.start([program])
    assert supervisor.stop_all() is False
    assert leftovers(supervisor.mark, [], []) == []


async def test_what_a_stopped_program_left_in_its_group_goes_with_it(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path, restart=False)
    parent = "import subprocess, signal; subprocess.Popen(['sleep', '60']); print('up', flush=True); signal.pause()"
    supervisor.start(
        [
            Program(
                name="parent",
                argv=(sys.executable, "-c", parent),
                environ=os.environ,
                ready=lambda _: "up" in supervisor.log_tail("parent"),
            )
        ]
    )
    await eventually(lambda: len(marked_processes(supervisor.mark)) == 2)
    assert supervisor.stop_all() is True
    assert leftovers(supervisor.mark, [], []) == []


def child_is_gone(child: psutil.Process) -> None:
    try:
        child.wait(timeout=5)
    except psutil.TimeoutExpired:
        assert child.status() == psutil.STATUS_ZOMBIE


def test_kill_9_of_the_supervisor_leaves_nothing_behind(tmp_path: Path) -> None:
    script = textwrap.dedent(
        f"""
        import os, pathlib, signal
        from spaces_stack.child import Program
        from spaces_stack.supervisor import Supervisor
        supervisor = Supervisor(pathlib.Path({str(tmp_path)!r}))
        supervisor.start([Program(name="waits", argv={WAITS!r}, environ=os.environ)])
        print(supervisor.pid("waits"), flush=True)
        signal.pause()
        """
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        child = psutil.Process(int(owner.stdout.readline()))
        owner.kill()
    # Nobody of ours reaps it: the kernel's first process does, or it stays as a zombie.
    child_is_gone(child)


def test_free_ports_differ_and_nobody_listens_on_them() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    assert not any(accepts(port) for port in ports)


def test_a_taken_port_is_replaced_by_a_free_one(tmp_path: Path, supervisor: Supervisor) -> None:
    (port,) = free_ports(1)
    serve = (sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1")
    supervisor.start(
        [
            Program(
                name="serves",
                argv=serve,
                environ=os.environ,
                cwd=tmp_path,
                ready=lambda _: accepts(port),
            )
        ]
    )
    assert preferred_port(port) != port
    assert listens(supervisor.pid("serves"), port)
    assert not listens(os.getpid(), port)
    assert leftovers("none", [], [port]) == [f"port {port} still answers"]
    supervisor.stop("serves")
    assert preferred_port(port) == port
