"""One frozen tree of settings: defaults, then the TOML file, then the environment, then the flags."""

import difflib
import itertools
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from duplex.barge_in import BargeIn
from duplex.conversation_settings import AfterBreak
from duplex.detectors import DetectorKind
from duplex.engine.base import Mode
from duplex.engine.ports import is_loopback
from duplex.engine.restart import RESTARTS_PER_HOUR
from duplex.engine.spec import EngineKind
from duplex.errors import OmniDuplexError
from duplex.log import LogFormat
from http_compat.policy import SessionPolicy
from web.limits import LimitSettings
from web.options import OPTIONS
from web.setting_types import (
    HIGHEST_PORT,
    BackendUrl,
    EnvironmentEntry,
    LoopbackUrl,
    Network,
    Origin,
    Port,
    ReachableName,
    Secret,
    UserPath,
)

__all__ = [
    "ConversationOptions",
    "EngineSettings",
    "HttpSettings",
    "MissingEnginePaths",
    "RegistrationSettings",
    "ServerSettings",
    "Settings",
    "SettingsError",
    "load_settings",
]

CONTROL_PORT_OFFSET = 1
ENGINE_PORT_OFFSET = 10_000
_OUR_VARIABLES = "OMNI_DUPLEX_"


class SettingsError(OmniDuplexError):
    """The operator asked for something impossible; the message names the flag, variable or key and what to do."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ServerSettings(_Part):
    """Where we listen and who may connect."""

    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    port: Port = 9060
    """0 takes any free port."""
    control_port: Port | None = None
    """Health, break and stop for HTTP callers. Default: `port` + 1. 0 takes any free port."""
    api_keys: tuple[Secret, ...] = ()
    api_key_file: UserPath | None = None
    """More keys, one a line; read again when it changes."""
    allow_origins: tuple[Origin, ...] = ()
    """Origins of pages that may connect beside our own."""
    insecure: bool = False
    """Allows an address others can reach without any key."""
    trust_proxy: tuple[Network, ...] = ()
    """Addresses or networks of proxies whose X-Forwarded-For is believed."""
    tls: Literal["off", "self-signed"] = "off"
    """`self-signed`: https and wss with a certificate that is made here and kept in `state_dir`."""
    tls_cert: UserPath | None = None
    """The operator's own certificate, with what leads to its authority, and its key: https and wss with these."""
    tls_key: UserPath | None = None
    drain_s: Annotated[float, Field(ge=0, le=86_400)] = 30.0
    """How long calls may go on after SIGTERM; 0 for not at all."""
    state_dir: UserPath | None = None
    """Where what is made here is kept. Default: the user's, by the custom of the system."""


class EngineSettings(_Part):
    """Which engine, and how it is started."""

    kind: Literal["auto", "llama-server", "parrot"] = "auto"
    """`auto`: llama-server when its directory and the model's are given, else the parrot."""
    count: Annotated[int, Field(ge=1, le=64)] = 1
    """How many are started, each for one conversation at a time."""
    url: LoopbackUrl | None = None
    """An engine on this machine that somebody else runs."""
    port: Port | None = None
    """Of the first engine; the others follow. Default: the server's port + 10000. 0 takes any free ports."""
    llamacpp_root: UserPath | None = None
    model_dir: UserPath | None = None
    llm_model: str | None = None
    """File name inside `model_dir`; detected by default."""
    gpu_devices: str | None = None
    """Shared out among the engines, in their order."""
    n_gpu_layers: Annotated[int, Field(ge=0)] = 99
    """0 for a machine without a GPU."""
    ctx_size: Annotated[int, Field(ge=512)] = 8192
    output_dir: UserPath | None = None
    """Default: a private directory in memory, removed at the end."""
    vision_backend: Literal["metal", "coreml"] = "metal"
    ref_audio: UserPath | None = None
    """The WAV whose voice the model imitates."""
    token2wav_device: Annotated[str, Field(pattern=r"^(gpu(:\d+)?|cpu)$")] | None = None
    """Default: the first GPU, or the CPU when `n_gpu_layers` is 0."""
    cuda_lib_path: str = "/usr/local/cuda/lib64"
    environment: tuple[EnvironmentEntry, ...] = ()
    """`NAME` or `NAME=VALUE`: what the engine is to know of our environment beside what it needs, or instead of it."""
    parrot_faults: tuple[str, ...] = ()
    """`NAME=VALUE` switches of the parrot, for tests."""
    queue: Annotated[int, Field(ge=0, le=10_000)] = 16
    """How many conversations may wait for an engine; 0: none, they are refused."""
    restarts_per_hour: Annotated[int, Field(ge=0, le=3600)] = RESTARTS_PER_HOUR
    """How often each engine is started again within any hour; one failure more and it stays down."""
    print_output: bool = False
    """Print the engine's own lines on stdout; they may hold what was said."""


class ConversationOptions(_Part):
    """How conversations behave that do not ask for something else."""

    mode: Mode = Mode.DUPLEX
    after_break: AfterBreak = AfterBreak.LISTEN
    lead_ms: Annotated[int, Field(ge=100, le=5000)] = 250
    """How far reply audio may run ahead of real time."""
    barge_in: BargeIn = BargeIn.BALANCED
    detector: DetectorKind = DetectorKind.WEBRTC
    aec: Literal["auto", "on", "off"] = "auto"
    """Echo cancellation for clients that have none; `auto` where its package is installed."""
    engine_hears_cleaned: bool = True
    resume_grace_s: Annotated[float, Field(ge=0, le=600)] = 30.0
    """How long a client that lost its connection may take to come back to its conversation; 0 for not at all."""


class HttpSettings(_Part):
    """The HTTP/SSE contract of the earlier server."""

    session_policy: SessionPolicy = SessionPolicy.IDLE
    wav_timing_log: UserPath | None = None
    """In duplex, a line for each WAV handed to a client goes here."""


class RegistrationSettings(_Part):
    """Where this node offers itself for calls."""

    url: BackendUrl | None = None
    """Without it nothing is registered and nobody is called."""
    advertise_ip: ReachableName | None = None
    """Default: this machine's address towards the backend."""


class Settings(_Part):
    """Everything an operator can choose."""

    server: ServerSettings = ServerSettings()
    engine: EngineSettings = EngineSettings()
    conversation: ConversationOptions = ConversationOptions()
    http: HttpSettings = HttpSettings()
    registration: RegistrationSettings = RegistrationSettings()
    limits: LimitSettings = LimitSettings()
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: LogFormat = "text"

    @property
    def engine_kind(self) -> EngineKind:
        """What `auto` comes to."""
        if self.engine.kind != "auto":
            return EngineKind(self.engine.kind)
        real = self.engine.url is not None or self.engine.model_dir is not None
        return EngineKind.LLAMA_SERVER if real else EngineKind.PARROT

    @property
    def engine_port(self) -> int:
        """Where a child engine listens; 0 means any free port."""
        if self.engine.port is not None:
            return self.engine.port
        return self.server.port and self.server.port + ENGINE_PORT_OFFSET

    @property
    def control_port(self) -> int:
        """Where health, break and stop listen for HTTP callers; 0 means any free port."""
        if self.server.control_port is not None:
            return self.server.control_port
        return self.server.port and self.server.port + CONTROL_PORT_OFFSET

    @property
    def scheme(self) -> Literal["http", "https"]:
        """How both of our ports are called."""
        return "http" if self.server.tls == "off" and self.server.tls_cert is None else "https"

    @property
    def needs_key(self) -> bool:
        """Whether clients must know a key."""
        return bool(self.server.api_keys or self.server.api_key_file)

    @property
    def open_to_all(self) -> bool:
        """True when others can reach us and need no key."""
        return not (is_loopback(self.server.host) or self.needs_key)

    @property
    def readable_by_others(self) -> bool:
        """True when keys and speech cross a network as they are."""
        return self.scheme == "http" and not is_loopback(self.server.host)


class MissingEnginePaths(SettingsError):
    """A real engine is wanted, and not both of its directories are given."""

    def __init__(self, message: str, engine: EngineSettings) -> None:
        super().__init__(message)
        self.engine = engine
        """What was given."""


CONFIG_VARIABLE = "OMNI_DUPLEX_CONFIG"


def load_settings(
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    config: Path | None = None,
    *,
    defaults: Mapping[str, object] | None = None,
) -> Settings:
    """Merge and check everything. Raises `SettingsError`.

    `flags` holds what the command line gave, by the keys of `OPTIONS`. `config` is a TOML file with the tables
    of the README; without it OMNI_DUPLEX_CONFIG may name one. `defaults`, by the same keys, take the place of those of
    `Settings`.
    """
    if config is None and environ.get(CONFIG_VARIABLE):
        config = Path(environ[CONFIG_VARIABLE])
    values: dict[str, object] = {}
    sources: dict[str, str] = {}
    named_flags = {option.key: option.flag or option.key for option in OPTIONS}
    layers: list[Iterator[tuple[str, object, str]]] = [
        ((key, value, f"default of '{key}'") for key, value in (defaults or {}).items()),
        _from_file(config) if config else iter(()),
        _from_environment(environ),
        ((key, value, named_flags[key]) for key, value in flags.items()),
    ]
    for layer in layers:
        for key, value, source in layer:
            values[key], sources[key] = value, source
    try:
        settings = Settings.model_validate(_nested(values))
    except ValidationError as error:
        raise SettingsError("\n".join(_explained(error, sources))) from None
    _check_together(settings)
    return settings


def _from_file(path: Path) -> Iterator[tuple[str, object, str]]:
    try:
        tree = tomllib.loads(path.expanduser().read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"The settings file {path} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"The settings file {path} is not TOML: {error}.") from None
    known = [option.key for option in OPTIONS]
    for key, value in _flattened(tree, ""):
        if key not in known:
            raise SettingsError(f"Unknown key '{key}' in {path}.{_near_match(key, known)}")
        yield key, value, f"'{key}' in {path}"


def _from_environment(environ: Mapping[str, str]) -> Iterator[tuple[str, object, str]]:
    known = [CONFIG_VARIABLE, *(name for option in OPTIONS for name in option.variables)]
    for name in environ:
        if name.startswith(_OUR_VARIABLES) and name not in known:
            raise SettingsError(f"Unknown environment variable {name}.{_near_match(name, known)}")
    for option in OPTIONS:
        chosen = next((name for name in option.variables if environ.get(name)), None)
        if chosen is not None:
            text = environ[chosen]
            value = [part.strip() for part in text.split(",")] if option.several else text
            yield option.key, value, f"environment variable {chosen}"


def _flattened(tree: Mapping[str, object], prefix: str) -> Iterator[tuple[str, object]]:
    for name, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _flattened(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _nested(values: Mapping[str, object]) -> dict[str, object]:
    tree: dict[str, object] = {}
    for key, value in values.items():
        table, _, name = key.rpartition(".")
        branch = tree.setdefault(table, {}) if table else tree
        assert isinstance(branch, dict)
        branch[name] = value
    return tree


def _explained(error: ValidationError, sources: Mapping[str, str]) -> Iterator[str]:
    for fault in error.errors(include_input=False, include_url=False):
        place = ".".join(str(part) for part in fault["loc"][:2])
        source = sources.get(place) or sources.get(place.partition(".")[0]) or place
        yield f"{source}: {fault['msg'].removeprefix('Value error, ')}."


def _near_match(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f" Did you mean '{close[0]}'?" if close else ""


def _check_together(settings: Settings) -> None:
    server = settings.server
    if settings.open_to_all and not server.insecure:
        raise SettingsError(
            f"Refusing to listen on {server.host}, which others can reach, without a key: give --api-key KEY "
            "or --api-key-file FILE, best with --tls self-signed, or --insecure if everybody may talk to this machine."
        )
    _check_tls(settings)
    _check_engine(settings)
    _check_ports(settings)


def _check_tls(settings: Settings) -> None:
    server = settings.server
    if (server.tls_cert is None) is not (server.tls_key is None):
        raise SettingsError("--tls-cert and --tls-key belong together: give both, each with its PEM file.")
    if server.tls == "self-signed" and server.tls_cert is not None:
        raise SettingsError("--tls self-signed makes a certificate, and --tls-cert is one: give one of the two.")
    if settings.registration.url and settings.scheme == "https":
        raise SettingsError(
            "--register-url and TLS exclude each other: the backend is told an address and a port, and calls both of "
            "our ports by http. Leave --tls, --tls-cert and --tls-key away on a node that is registered."
        )


def _check_ports(settings: Settings) -> None:
    port, control_port = settings.server.port, settings.control_port
    engine_port = settings.engine_port if settings.engine.url is None else 0
    others = settings.engine.count - 1
    if engine_port + others > HIGHEST_PORT:
        raise SettingsError(
            f"--port {port} leaves no port for the engine (it would be {engine_port + others}): choose a --port "
            f"of at most {HIGHEST_PORT - ENGINE_PORT_OFFSET - others}, or give --engine-port."
        )
    if control_port > HIGHEST_PORT:
        raise SettingsError(f"--port {port} leaves no control port: choose a lower one, or give --control-port.")
    named = {"--port": port, "--control-port": control_port, "--engine-port": engine_port}
    for flag in ("--port", "--control-port"):
        if engine_port and engine_port < named[flag] <= engine_port + others:
            raise SettingsError(
                f"The engines take the ports {engine_port} to {engine_port + others}, and {flag} is one of them: "
                "choose another one, or another --engine-port."
            )
    for (flag, one), (other_flag, other) in itertools.combinations(named.items(), 2):
        if one and one == other:
            raise SettingsError(f"{flag} and {other_flag} are both {one}: they must differ.")
    if settings.registration.url and (not port or control_port != port + CONTROL_PORT_OFFSET):
        raise SettingsError(
            "--register-url needs a --port other than 0 and the port after it as --control-port: the backend is told "
            "one port and asks the next one for our health."
        )


def _check_engine(settings: Settings) -> None:
    engine = settings.engine
    if engine.url is not None and engine.count > 1:
        raise SettingsError("--engine-url names one engine, and --engines asks for more: give one of the two.")
    if engine.kind == "parrot":
        return
    if engine.url is not None:
        if engine.model_dir is None:
            raise SettingsError("--engine-url needs --model-dir too: the engine is told where its model files are.")
        return
    given = {"--llamacpp-root": engine.llamacpp_root, "--model-dir": engine.model_dir}
    missing = [flag for flag, value in given.items() if value is None]
    if missing and (engine.kind == "llama-server" or len(missing) == 1):
        raise MissingEnginePaths(
            f"A real engine needs --llamacpp-root and --model-dir, and {' and '.join(missing)} is not given. "
            "Give both, or none of them for the built-in stand-in.",
            engine,
        )
