"""No name that a client chooses reaches the engine, or becomes part of a file's name."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from duplex.engine.parrot.faults import Faults
from duplex.engine.parrot.http import Request, Response
from duplex.engine.parrot.octx import Body
from duplex.engine.parrot.options import Options
from duplex.engine.parrot.process import Parrot
from duplex.engine.parrot.routes import Routes
from tests.duplex.engine.parrot.harness import FAST, RecordingLog
from tests.web.every_way import ENDS_LATE, WAYS, Sayings
from tests.web.live import RunningServer, running_server

pytestmark = pytest.mark.asyncio(loop_scope="module")

MARK = "zq7xk"
"""In every name, and in nothing else."""


@dataclass
class Watched:
    """A server, and all that its engine was asked, with the files that were there then."""

    folder: Path
    server: RunningServer
    bodies: list[Any] = field(default_factory=list)
    files: set[str] = field(default_factory=set)

    def look(self) -> None:
        self.files |= {str(path.relative_to(self.folder)) for path in self.folder.rglob("*")}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def watched(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Watched]:
    folder = tmp_path_factory.mktemp("names")
    (folder / "model").touch()
    engine = Body(log=RecordingLog(), faults=Faults.parse(()), speeds=FAST, die=lambda: None)
    with (
        Parrot(Options(model=folder / "model", port=0, speeds=FAST), engine) as parrot,
        pytest.MonkeyPatch.context() as patch,
    ):
        flags = ("--engine-url", f"http://127.0.0.1:{parrot.port}", "--output-dir", str(folder / "a" / "b" / "out"))
        async with running_server(folder / "server.log", *flags) as server:
            watch = Watched(folder, server)
            answer = Routes.__call__

            def watching(routes: Routes, request: Request) -> Response:
                if request.body:
                    watch.bodies.append(json.loads(request.body))
                watch.look()
                return answer(routes, request)

            patch.setattr(Routes, "__call__", watching)
            yield watch


def names(folder: Path) -> list[str]:
    return [
        f"../../../{MARK}",
        f"{folder}/{MARK}.wav",
        f"{MARK}\0.wav",
        f"..\\{MARK}",
        f"file://{folder}/{MARK}",
        MARK * 1000,
    ]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__.strip("_"))
async def test_no_name_of_a_client_reaches_the_engine_or_a_file(watched: Watched, way: Any) -> None:
    # In duplex an answer that is left in its middle is given to its end, which takes seconds.
    hostile = names(watched.folder)[: 2 if way in ENDS_LATE else None]
    for name in hostile:
        await way(watched.server, Sayings(name=name, word=f"{name} is a word"))
        await watched.server.until_engine("ready")
    watched.look()
    assert MARK not in json.dumps(watched.bodies)
    assert not [file for file in watched.files if MARK in file]


async def test_the_engine_is_asked_for_files_of_the_server_alone(watched: Watched) -> None:
    """So the other tests of this module look at something: calls reach the engine, and it reads files meanwhile."""
    for way in WAYS:
        await way(watched.server, Sayings(name="any", word="any"))
        await watched.server.until_engine("ready")
    ours = watched.folder / "a" / "b" / "out"
    keys = ("audio_path_prefix", "img_path_prefix", "voice_audio")
    paths = {Path(body[key]) for body in watched.bodies for key in keys if body.get(key)}
    heard = {path for path in paths if path.is_absolute()}
    assert len(heard) > len(WAYS)
    assert all(path.resolve().is_relative_to(ours) for path in heard)
    assert {".wav", ".jpg"} == {path.suffix for path in heard}
    assert {str(path.relative_to(watched.folder)) for path in heard} <= watched.files
