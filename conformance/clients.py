"""Which clients are proven, and where their locks and scripts are."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

__all__ = ["CLIENTS", "LOCKS", "Client", "Language"]

_HERE = Path(__file__).parent
LOCKS = _HERE / "locks"
CALLERS = _HERE / "callers"


class Language(StrEnum):
    """What a client is written in, which decides how its environment is built."""

    PYTHON = "Python"
    NODE = "Node"


@dataclass(frozen=True, slots=True)
class Client:
    """One row of the table. `name` is that of its script, and of its lock and environment if it has its own."""

    name: str
    language: Language
    package: str
    """As its registry spells it."""
    speaks: str = ""
    """What it speaks, if that is not OpenAI's Realtime protocol as it is now."""
    shares: str = ""
    """The name of another client whose lock and environment are used."""
    secure: bool = False
    """Does it refuse to speak without TLS?"""

    @property
    def environment(self) -> str:
        """The name of what it is run in."""
        return self.shares or self.name

    @property
    def title(self) -> str:
        """How the table calls it."""
        return f"{self.package} ({self.language}{', ' if self.speaks else ''}{self.speaks})"

    @property
    def lock(self) -> Path:
        """The file that names every package of the environment with its hashes."""
        folder = LOCKS / self.environment
        return LOCKS / f"{self.environment}.lock" if self.language is Language.PYTHON else folder / "package-lock.json"

    @property
    def script(self) -> Path:
        """What is run in that environment."""
        suffix = ".py" if self.language is Language.PYTHON else ".mjs"
        return CALLERS / f"{self.name.replace('-', '_')}{suffix}"


CLIENTS = (
    Client("openai-python", Language.PYTHON, "openai"),
    Client("openai-python-beta", Language.PYTHON, "openai", speaks="beta", shares="openai-python"),
    Client("openai-python-live", Language.PYTHON, "openai", speaks="Live", shares="openai-python"),
    Client("openai-agents", Language.PYTHON, "openai-agents"),
    Client("livekit", Language.PYTHON, "livekit-plugins-openai"),
    Client("livekit-live", Language.PYTHON, "livekit-plugins-openai", speaks="Live", shares="livekit"),
    Client("pipecat", Language.PYTHON, "pipecat-ai"),
    Client("pipecat-live", Language.PYTHON, "pipecat-ai", speaks="Live", shares="pipecat"),
    Client("agents-realtime", Language.NODE, "@openai/agents-realtime"),
    Client("openai-node", Language.NODE, "openai", secure=True),
    Client("openai-realtime-api", Language.NODE, "openai-realtime-api", speaks="beta"),
)
