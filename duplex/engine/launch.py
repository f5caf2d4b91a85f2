"""Runs as a script of its own, in the child: sees to it that the engine ends with the server, then becomes the engine.

A server that is killed the hard way would else leave an engine behind that holds the port and gigabytes of GPU
memory. There are two ways to arrange that, and both are taken between fork and exec: `preexec_fn`, the other place
for them, is unsafe in a process with threads.

    signal   the kernel's offer (PR_SET_PDEATHSIG), which only Linux makes. Costs nothing.
    pipe     a process beside the engine waits for the end of its standard input, whose other end only the server
             holds, and then kills the group. It dies with the group as well, so the server kills that in any case.

Arguments: `signal` or `pipe`, the server's process id, then the engine's argv. POSIX only.
"""

import ctypes
import os
import signal
import sys

__all__ = ["PIPE", "SIGNAL"]

SIGNAL = "signal"
PIPE = "pipe"

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Arrange the engine's end and exec it. Exits with 1 when the server is gone already."""
    way, server, *argv = sys.argv[1:]
    if way == SIGNAL:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != int(server):
            sys.exit(1)
    else:
        _leave_a_watcher()
    os.execv(argv[0], argv)  # noqa: S606 - argv is the supervisor's own, and no shell is involved


def _leave_a_watcher() -> None:
    """Return in the engine to be; the other process kills the group, itself with it, when the server has gone."""
    # What stops an engine asks the whole group to end, and one that takes long over it is watched until then.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if os.fork():
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        _reopen(os.O_RDONLY, 0)
        return
    # The server reads the engine's output to its end.
    _reopen(os.O_WRONLY, 1, 2)
    while os.read(0, 1):
        pass
    os.killpg(0, signal.SIGKILL)


def _reopen(flags: int, *descriptors: int) -> None:
    """Let these be /dev/null."""
    null = os.open(os.devnull, flags)
    for descriptor in descriptors:
        os.dup2(null, descriptor)
    os.close(null)


if __name__ == "__main__":
    main()
