"""Ids are never made twice: not by threads, and not by a forked child."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from spaces_contracts.identifiers import is_id, new_id


def test_threads_share_no_id() -> None:
    def make(_: int) -> list[str]:
        return [new_id() for _ in range(2_000)]

    with ThreadPoolExecutor(4) as pool:
        ids = [one for made in pool.map(make, range(4)) for one in made]
    assert len(set(ids)) == len(ids)
    assert all(is_id(one) for one in ids)


_FORKING = """
import os
from spaces_contracts.identifiers import new_id
new_id()  # fetches for more than one
if os.fork():
    os.wait()
print(new_id(), flush=True)
os._exit(0)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_a_forked_child_does_not_go_on_with_its_parents_randomness() -> None:
    # In a process of its own: this one may have threads, which a fork does not take along.
    made = subprocess.run([sys.executable, "-c", _FORKING], capture_output=True, check=True)
    theirs, ours = made.stdout.decode().split()
    assert theirs[10:] != ours[10:]  # before that stands the time
