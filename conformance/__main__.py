"""`python -m conformance`: every client talks to a live server with the parrot; exits 0 only when each row is green."""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soxr

from bench.errors import BenchError
from bench.rooms import as_pcm
from bench.server import Server, child_environment, running_server
from bench.speech import RATE_HZ, Utterance, synthetic_speech
from conformance.child import run_script
from conformance.clients import CLIENTS, Client
from conformance.environments import command, ready
from conformance.errors import ConformanceError
from conformance.table import Outcome, locked_version, outcome, placed, table
from duplex.engine.ports import LOOPBACK

__all__ = ["main"]

_PROJECT = Path(__file__).parent.parent
_DOCUMENT = _PROJECT / "docs" / "clients.md"
_CLIENT_RATE_HZ = 24_000
_SENTENCES = ((1.6, 120.0, 0.3), (1.9, 150.0, 1.0))
"""Length in seconds, pitch in Hz and loudness: the first is answered, the second speaks over that answer.

It is the louder one. The parrot answers as loud as it was spoken to, and a microphone that is only as loud as that may
be taken for the answer's echo, which is no question of protocols.
"""
_PARROT = ("--engine", "parrot", "--parrot-fault", "answer_s=25")
"""Its answers are longer than any client takes to interrupt them."""
_CLIENT_TIMEOUT_S = 60.0
_NOT_HANDED_DOWN = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "NODE_PATH"}
_NOT_GREEN, _NO_RESULT = 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 every row is green, 1 one is not, 2 there is no result."""
    parser = argparse.ArgumentParser(prog="python -m conformance", description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"put the table into docs/{_DOCUMENT.name}")
    parser.add_argument("--only", action="append", choices=[client.name for client in CLIENTS], help="repeatable")
    asked = parser.parse_args(arguments)
    if asked.write and asked.only:
        parser.error("--write keeps the whole table, so it does not go with --only")
    clients = [client for client in CLIENTS if not asked.only or client.name in asked.only]
    try:
        for client in clients:
            if ready(client):
                _tell(f"built {client.name}")
        outcomes = asyncio.run(_talk(clients))
        drawn = table(outcomes)
        if asked.write:
            _DOCUMENT.write_text(placed(_DOCUMENT.read_text(encoding="utf-8"), drawn), encoding="utf-8")
    except (ConformanceError, BenchError) as error:
        _tell(str(error))
        return _NO_RESULT
    sys.stdout.write(drawn)
    return 0 if all(row.green for row in outcomes) else _NOT_GREEN


async def _talk(clients: Sequence[Client]) -> list[Outcome]:
    outcomes = {}
    with tempfile.TemporaryDirectory() as folder:
        sentences = _sentences(Path(folder))
        for secure in sorted({client.secure for client in clients}):
            state_dir = Path(folder) if secure else None
            async with running_server(*_PARROT, state_dir=state_dir) as server:
                for client in (client for client in clients if client.secure is secure):
                    async with server.one_call():
                        outcomes[client] = await _one(client, server, sentences)
                    _tell(f"{client.name}: {outcomes[client].reason or 'green'}")
    return [outcomes[client] for client in clients]


def _sentences(folder: Path) -> list[str]:
    """Files of 24 kHz PCM, made here: nothing need be installed to speak."""
    paths = []
    for seed, (seconds, pitch_hz, loudness) in enumerate(_SENTENCES):
        said = Utterance(str(seed), synthetic_speech(seconds, pitch_hz=pitch_hz, seed=seed))
        path = folder / f"{seed}.pcm"
        path.write_bytes(as_pcm(loudness * np.asarray(soxr.resample(said.samples, RATE_HZ, _CLIENT_RATE_HZ))))
        paths.append(str(path))
    return paths


async def _one(client: Client, server: Server, sentences: Sequence[str]) -> Outcome:
    version = locked_version(client, client.lock.read_text(encoding="utf-8"))
    words = [*command(client), f"{LOOPBACK}:{server.port}", *sentences]
    printed, failure = await run_script(
        words, folder=_PROJECT, environment=_environment(server), timeout_s=_CLIENT_TIMEOUT_S
    )
    return outcome(client, version, printed, failure)


def _environment(server: Server) -> dict[str, str]:
    """Ours without what would shine through: settings of our server, packages of .venv, anybody's key."""
    kept = {name: value for name, value in child_environment().items() if name not in _NOT_HANDED_DOWN}
    trusting = {"NODE_EXTRA_CA_CERTS": str(server.certificate)} if server.certificate else {}
    return {**kept, **trusting, "OPENAI_API_KEY": "none"}


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
