"""Becomes another program: as another user if asked, and never longer than the process that started it.

Run as a file (`python -I -S launch.py SIGNAL PARENT UID GID program argument…`), not imported: what it does
must happen in the child, and code between fork and exec of a threaded parent may not take a lock.
"""

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Takes signal, parent, uid, gid (-1: stay who we are) and the command."""
    death_signal, parent, uid, gid = (int(argument) for argument in arguments[:4])
    command = arguments[4:]
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    # After the user has changed, because the kernel forgets the wish when it does.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the supervisor ended before this program could start")
    os.execv(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
