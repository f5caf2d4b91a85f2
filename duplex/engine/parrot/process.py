"""A parrot from its bound socket to its end; also what tests run inside their own process."""

import os
import signal
import time
from types import TracebackType

from duplex.engine.parrot.engine import ParrotEngine
from duplex.engine.parrot.faults import Faults
from duplex.engine.parrot.http import HttpServer
from duplex.engine.parrot.log import Log
from duplex.engine.parrot.octx import Body
from duplex.engine.parrot.options import Options
from duplex.engine.parrot.routes import Routes

__all__ = ["Parrot", "die"]


def die() -> None:
    """End this process as a crash would: at once, without a word."""
    os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
    time.sleep(60)


class Parrot:
    """One stand-in server. As a context manager it is bound, loaded and serving inside, and quiet afterwards."""

    def __init__(self, options: Options, body: Body) -> None:
        """Bind the port and answer 503. Raises `OSError` when the port cannot be bound."""
        self._options = options
        self.body = body
        self.engine = ParrotEngine(body)
        self._routes = Routes(self.engine, body, model=options.model)
        body.log.server("main: binding port with default address family")
        self._http = HttpServer(self._routes, host=options.host, port=options.port)
        self._http.start()
        body.log.server(
            f"main: HTTP server is listening, hostname: {options.host}, port: {self.port}, "
            f"http threads: {self._http.thread_count}"
        )

    @classmethod
    def build(cls, options: Options, faults: Faults) -> "Parrot":
        """With the real log and a real death."""
        return cls(options, Body(log=Log(), faults=faults, speeds=options.speeds, die=die, ctx_size=options.ctx_size))

    @property
    def port(self) -> int:
        """The bound port."""
        return self._http.port

    def load(self) -> bool:
        """Take the time a model takes, then be healthy. False when the model path does not exist."""
        log, model = self.body.log, self._options.model
        log.server("main: loading model")
        log.server(f"srv    load_model: loading model '{model}'")
        if not model.exists():
            log.server(f"srv    load_model: failed to load model, '{model}'")
            log.server("main: exiting due to model loading error")
            return False
        load_s = self.body.faults.number("slow_start", self._options.speeds.load_ms / 1000)
        self.body.abandoned.wait(load_s)
        self._routes.ready.set()
        log.server("main: model loaded")
        log.server("main: this is a parrot, a stand-in without a model: it says the user's own words again")
        return True

    def announce(self) -> None:
        """The line a supervisor may wait for."""
        where = f"http://{self._options.host}:{self.port}"
        self.body.log.server(f"main: server is listening on {where} - starting the main loop")

    def stop(self) -> None:
        """Stop HTTP; waits for running requests, so for a hung one for ever."""
        self.body.log.server("srv    operator(): operator(): cleaning up before exit...")
        self._http.stop()

    def __enter__(self) -> "Parrot":
        self.load()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.body.abandoned.set()
        self.engine.free()
        self._http.stop()
        # A request that was let go may have begun a new context.
        self.engine.free()
