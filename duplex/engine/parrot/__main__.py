"""`python -m duplex.engine.parrot --host H --port P --model PATH …`: argv of llama-server, see the package."""

import contextlib
import os
import signal
import socket
import sys
import threading

from duplex.engine.parrot.options import Options
from duplex.engine.parrot.process import Parrot

_STOPPED = b"\0"


def main() -> int:
    """Serve until SIGINT or SIGTERM. Returns 1 when the port or the model cannot be had."""
    # Until the model is loaded a signal kills at once, as with the real one (server.cpp 6336).
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    options, faults = Options.parse(sys.argv[1:], os.environ)
    try:
        parrot = Parrot.build(options, faults)
    except OSError:
        where = f"hostname: {options.host}, port: {options.port}"
        sys.stderr.write(f"main: couldn't bind HTTP server socket, {where}\n")
        return 1
    if not parrot.load():
        return 1
    return _until_told(parrot)


def _until_told(parrot: Parrot) -> int:
    """Serve until the first signal, then wait for running requests or the second.

    Signals arrive as bytes on a socket: whichever thread they strike and whatever it holds then, they are read here.
    """
    told, tell = socket.socketpair()
    tell.setblocking(False)
    signal.set_wakeup_fd(tell.fileno(), warn_on_full_buffer=False)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: None)
    parrot.announce()
    told.recv(1)

    def stop() -> None:
        parrot.stop()
        tell.send(_STOPPED)

    threading.Thread(target=stop, name="stop", daemon=True).start()
    return 0 if told.recv(1) == _STOPPED else 1


def _run() -> None:
    code = main()
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    # The engine's threads are never joined.
    os._exit(code)


if __name__ == "__main__":
    _run()
