"""Runs as a script of its own, in the child: dies with its parent, then becomes the engine.

A server that is killed the hard way would else leave an engine behind that holds the port and gigabytes of GPU
memory. The kernel's offer for this (PR_SET_PDEATHSIG) must be taken in the child, after the fork; doing it there with
`preexec_fn` is unsafe in a process with threads, so this small program does it between fork and exec.

Arguments: the parent's process id, then the engine's argv. Linux only.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Arrange the death signal and exec the engine. Exits with 1 when the parent is gone already."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    parent = int(sys.argv[1])
    if os.getppid() != parent:
        sys.exit(1)
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 - argv is the supervisor's own, and no shell is involved


if __name__ == "__main__":
    main()
