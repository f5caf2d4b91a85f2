from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from duplex.barge_in import BargeIn
from duplex.conversation_settings import AfterBreak
from duplex.detectors import DetectorKind
from duplex.engine.base import Mode
from duplex.engine.spec import EngineKind
from http_compat.policy import SessionPolicy
from web.options import OPTIONS
from web.settings import MissingEnginePaths, Settings, SettingsError, load_settings

NOTHING: dict[str, str] = {}


def leaves(model: type[BaseModel], prefix: str = "") -> set[str]:
    found = set()
    for name, field in model.model_fields.items():
        part = field.annotation
        if isinstance(part, type) and issubclass(part, BaseModel):
            found |= leaves(part, f"{prefix}{name}.")
        else:
            found.add(f"{prefix}{name}")
    return found


def refusal(flags: dict[str, object] | None = None, environ: dict[str, str] | None = None) -> str:
    with pytest.raises(SettingsError) as error:
        load_settings(flags or {}, environ or {})
    return str(error.value)


def test_the_defaults() -> None:
    settings = load_settings({}, NOTHING)
    assert (settings.server.host, settings.server.port, settings.engine_port) == ("127.0.0.1", 9060, 19060)
    assert settings.control_port == 9061
    assert settings.engine_kind is EngineKind.PARROT
    assert settings.http.session_policy is SessionPolicy.IDLE
    assert (settings.http.wav_timing_log, settings.registration.url) == (None, None)
    assert not settings.engine.print_output
    assert settings.conversation.mode is Mode.DUPLEX
    assert settings.conversation.after_break is AfterBreak.LISTEN
    assert settings.conversation.lead_ms == 250
    assert (settings.conversation.barge_in, settings.conversation.detector) == (BargeIn.BALANCED, DetectorKind.WEBRTC)


def test_every_setting_can_be_reached_from_outside() -> None:
    assert {option.key for option in OPTIONS} == leaves(Settings)
    assert all(option.variables[0].startswith("OMNI_DUPLEX_") for option in OPTIONS)


def test_file_then_environment_then_flags(tmp_path: Path) -> None:
    config = tmp_path / "settings.toml"
    config.write_text(
        "log_level = 'error'\n[server]\nport = 1000\n[engine]\nctx_size = 1024\n[conversation]\nlead_ms = 300"
    )
    environ = {"OMNI_DUPLEX_PORT": "2000", "CTX_SIZE": "2048"}
    settings = load_settings({"server.port": "3000"}, environ, config)
    assert (settings.server.port, settings.engine.ctx_size) == (3000, 2048)
    assert (settings.conversation.lead_ms, settings.log_level) == (300, "error")
    assert load_settings({}, environ | {"OMNI_DUPLEX_CONFIG": str(config)}).conversation.lead_ms == 300


@pytest.mark.parametrize(
    ("variable", "value", "key"),
    [
        ("LLM_MODEL", "x.gguf", "llm_model"),
        ("CUDA_VISIBLE_DEVICES", "0,1", "gpu_devices"),
        ("CTX_SIZE", "4096", "ctx_size"),
        ("N_GPU_LAYERS", "0", "n_gpu_layers"),
        ("REF_AUDIO", "/voice.wav", "ref_audio"),
        ("TOKEN2WAV_DEVICE", "gpu:1", "token2wav_device"),
        ("CUDA_LIB_PATH", "/opt/cuda", "cuda_lib_path"),
        ("VISION_BACKEND", "coreml", "vision_backend"),
    ],
)
def test_variables_of_the_old_server(variable: str, value: str, key: str) -> None:
    assert str(getattr(load_settings({}, {variable: value}).engine, key)) == value
    assert getattr(load_settings({}, {variable: ""}).engine, key) == getattr(Settings().engine, key)


def test_our_variable_wins_over_the_old_one() -> None:
    environ = {"LLAMACPP_ROOT": "/old", "MODEL_DIR": "/m", "OMNI_DUPLEX_LLAMACPP_ROOT": "/new"}
    settings = load_settings({}, environ)
    assert settings.engine.llamacpp_root == Path("/new")
    assert settings.engine_kind is EngineKind.LLAMA_SERVER


def test_lists() -> None:
    settings = load_settings({"server.allow_origins": ["https://a.org"]}, {"OMNI_DUPLEX_API_KEY": "one, two"})
    assert [key.get_secret_value() for key in settings.server.api_keys] == ["one", "two"]
    assert settings.server.allow_origins == ("https://a.org",)


def test_the_tables_of_the_http_callers(tmp_path: Path) -> None:
    config = tmp_path / "settings.toml"
    config.write_text(
        "[http]\nsession_policy = 'takeover'\nwav_timing_log = '~/wav.log'\n"
        "[registration]\nurl = 'http://backend:8025'\nadvertise_ip = '192.168.1.20'"
    )
    settings = load_settings({}, NOTHING, config)
    assert settings.http.session_policy is SessionPolicy.TAKEOVER
    assert settings.http.wav_timing_log == Path.home() / "wav.log"
    assert settings.registration.url == "http://backend:8025"
    assert settings.registration.advertise_ip == "192.168.1.20"


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("http://10.0.0.1:8025", "http://10.0.0.1:8025"),
        ("http://10.0.0.1:8025/", "http://10.0.0.1:8025"),
        ("https://backend.example.org", "https://backend.example.org"),
        ("http://[fd00::1]:8025", "http://[fd00::1]:8025"),
        ("", None),
    ],
)
def test_the_backend_to_register_with(given: str, url: str | None) -> None:
    assert load_settings({}, {"REGISTER_URL": given}).registration.url == url
    overruled = load_settings({"registration.url": given}, {"REGISTER_URL": "http://other"})
    assert overruled.registration.url == url


@pytest.mark.parametrize(
    ("flags", "control_port"),
    [
        ({"server.port": 1234}, 1235),
        ({"server.port": 1234, "server.control_port": 99}, 99),
        ({"server.port": 1234, "server.control_port": 0}, 0),
        ({"server.port": 0}, 0),
        ({"server.port": 65535, "server.control_port": 99, "engine.port": 0}, 99),
    ],
)
def test_the_control_port(flags: dict[str, object], control_port: int) -> None:
    assert load_settings(flags, NOTHING).control_port == control_port


def test_defaults_of_the_caller_give_way_to_everything_else(tmp_path: Path) -> None:
    config = tmp_path / "settings.toml"
    config.write_text("[server]\nhost = 'localhost'")
    defaults = {"server.host": "::1", "server.port": 8060, "engine.ctx_size": 4096, "log_level": "error"}
    settings = load_settings({"log_level": "debug"}, {"CTX_SIZE": "2048"}, config, defaults=defaults)
    assert (settings.server.host, settings.server.port) == ("localhost", 8060)
    assert (settings.engine.ctx_size, settings.log_level) == (2048, "debug")


def test_who_asks_for_a_real_engine_without_its_paths_is_told_what_was_given() -> None:
    with pytest.raises(MissingEnginePaths) as error:
        load_settings({"engine.llamacpp_root": "/r"}, NOTHING)
    assert (error.value.engine.llamacpp_root, error.value.engine.model_dir) == (Path("/r"), None)


@pytest.mark.parametrize(
    ("flags", "is_open"),
    [
        ({"server.insecure": True}, False),
        ({"server.host": "0.0.0.0", "server.insecure": True}, True),
        ({"server.host": "0.0.0.0", "server.api_keys": ["k"], "server.insecure": True}, False),
        ({"server.host": "0.0.0.0", "server.api_key_file": "/keys"}, False),
    ],
)
def test_open_to_all(flags: dict[str, object], is_open: bool) -> None:
    assert load_settings(flags, NOTHING).open_to_all is is_open


@pytest.mark.parametrize(
    ("flags", "is_readable"),
    [
        ({"server.api_keys": ["k"]}, False),
        ({"server.host": "0.0.0.0", "server.api_keys": ["k"]}, True),
        ({"server.host": "0.0.0.0", "server.insecure": True}, True),
        ({"server.host": "0.0.0.0", "server.api_keys": ["k"], "server.tls": "self-signed"}, False),
    ],
)
def test_readable_by_others(flags: dict[str, object], is_readable: bool) -> None:
    assert load_settings(flags, NOTHING).readable_by_others is is_readable


def test_keys_are_never_printed() -> None:
    assert "hush" not in repr(load_settings({"server.api_keys": ["hush"]}, NOTHING))
    assert "hush" not in refusal({"server.api_keys": ["hush"], "server.port": "x"})


def test_the_tree_is_frozen() -> None:
    with pytest.raises(ValidationError):
        load_settings({}, NOTHING).server.port = 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[server]\nprot = 1", "Unknown key 'server.prot'.*settings.toml.*'server.port'"),
        ("[sevrer]\nport = 1", "Unknown key 'sevrer.port'.*'server.port'"),
        ("zzz = 1", "Unknown key 'zzz'"),
        ("[server]\nport = 'x'", "'server.port' in .*settings.toml: .*integer"),
        ("server = 5", "Unknown key 'server'"),
        ("[engine]\nkind = 'gpt'", "'engine.kind' in .*'auto', 'llama-server' or 'parrot'"),
        ("port = ", "is not TOML"),
    ],
)
def test_a_bad_file_is_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    config = tmp_path / "settings.toml"
    config.write_text(text)
    with pytest.raises(SettingsError, match=message):
        load_settings({}, NOTHING, config)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"absent\.toml cannot be read"):
        load_settings({}, NOTHING, tmp_path / "absent.toml")


def test_unknown_and_impossible_variables() -> None:
    assert "OMNI_DUPLEX_PROT. Did you mean 'OMNI_DUPLEX_PORT'" in refusal(environ={"OMNI_DUPLEX_PROT": "1"})
    assert "environment variable CTX_SIZE: " in refusal(environ={"CTX_SIZE": "many"})
    assert "environment variable OMNI_DUPLEX_PORT: " in refusal(environ={"OMNI_DUPLEX_PORT": "70000"})


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"server.port": 60000}, "leaves no port for the engine"),
        ({"server.port": 9060, "engine.port": 9060}, "--port and --engine-port are both 9060"),
        ({"server.control_port": 9060}, "--port and --control-port are both 9060"),
        ({"engine.port": 9061}, "--control-port and --engine-port are both 9061"),
        ({"engine.port": 9059, "engine.count": 2}, "9059 to 9060, and --port is one"),
        (
            {"engine.port": 9058, "engine.count": 4, "server.port": 8000, "server.control_port": 9061},
            "--control-port is",
        ),
        ({"server.port": 55530, "engine.count": 7}, "at most 55529"),
        ({"engine.count": 0}, "--engines: "),
        ({"engine.count": 2, "engine.url": "http://127.0.0.1:1", "engine.model_dir": "/m"}, "--engine-url names one"),
        ({"engine.queue": -1}, "--queue: "),
        ({"engine.environment": ["=1"]}, "--engine-env: give NAME to pass a variable on, or NAME=VALUE to set it"),
        ({"server.port": 65535, "engine.port": 0}, "leaves no control port"),
        ({"registration.url": "http://b", "server.control_port": 9062}, "--register-url needs .*the port after it"),
        ({"registration.url": "http://b", "server.control_port": 0}, "--register-url needs"),
        ({"registration.url": "http://b", "server.port": 0}, "--register-url needs a --port other than 0"),
        ({"registration.url": "http://b/api"}, "--register-url: give the backend as http://HOST:PORT"),
        ({"registration.url": "http://u:p@b"}, "--register-url: "),
        ({"registration.url": "http://b?x=1"}, "--register-url: "),
        ({"registration.url": "http://b:99999"}, "--register-url: .*[Pp]ort"),
        ({"registration.url": "http://b:0"}, "--register-url: "),
        ({"registration.url": "http://:80"}, "--register-url: "),
        ({"registration.url": "backend:8025"}, "--register-url: "),
        ({"registration.url": "ftp://b"}, "--register-url: "),
        ({"registration.advertise_ip": "http://10.0.0.1"}, "--advertise-ip: "),
        ({"registration.advertise_ip": "10.0.0.1:80"}, "--advertise-ip: "),
        ({"registration.advertise_ip": "::1"}, "--advertise-ip: .*IPv4"),
        ({"http.session_policy": "polite"}, "--session-policy: .*'idle', 'reject' or 'takeover'"),
        ({"server.host": "0.0.0.0"}, "without a key"),
        ({"server.host": "example.org"}, "without a key: give --api-key KEY or --api-key-file FILE.*--insecure"),
        # TLS says who the server is, not who its clients are.
        ({"server.host": "0.0.0.0", "server.tls": "self-signed"}, "without a key"),
        ({"engine.model_dir": "/m"}, "--llamacpp-root is not given"),
        ({"engine.llamacpp_root": "/r"}, "--model-dir is not given"),
        ({"engine.kind": "llama-server"}, "--llamacpp-root and --model-dir is not given"),
        ({"engine.url": "http://127.0.0.1:1"}, "--model-dir"),
        ({"engine.url": "http://10.0.0.1:1", "engine.model_dir": "/m"}, "--engine-url: .*this machine"),
        ({"server.allow_origins": ["example.org"]}, "--allow-origin: "),
        ({"server.allow_origins": ["https://example.org/"]}, "--allow-origin: "),
        ({"server.api_keys": [""]}, "--api-key: "),
        ({"server.trust_proxy": ["*"]}, "--trust-proxy: "),
        ({"server.trust_proxy": ["10.0.0.0/8", "proxy.lan"]}, "--trust-proxy: "),
        ({"limits.sessions_per_key": "-1"}, "--max-sessions-per-key: "),
        ({"limits.idle_s": "soon"}, "--idle-timeout: "),
        ({"engine.token2wav_device": "tpu"}, "token2wav_device: "),
    ],
)
def test_what_cannot_be_is_refused(flags: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        load_settings(flags, NOTHING)


@pytest.mark.parametrize(
    "flags",
    [
        {"server.host": "localhost"},
        {"server.trust_proxy": ["10.0.0.1", "fd00::/8"], "limits.idle_s": "0"},
        {"server.host": "::1"},
        {"server.host": "127.0.0.7"},
        {"server.host": "0.0.0.0", "server.api_keys": ["k"]},
        {"server.host": "0.0.0.0", "server.insecure": True},
        {"server.port": 60000, "engine.port": 0},
        {"server.port": 60000, "engine.url": "http://localhost:8080", "engine.model_dir": "/m"},
        {"engine.kind": "parrot", "engine.model_dir": "/m"},
        {"registration.url": "http://b", "server.port": 8060, "server.control_port": 8061},
        {"server.port": 0, "server.control_port": 0, "engine.port": 0},
    ],
)
def test_what_can_be_is_let_through(flags: dict[str, object]) -> None:
    load_settings(flags, NOTHING)


def test_a_free_port_for_the_server_means_a_free_port_for_the_engine() -> None:
    assert load_settings({"server.port": 0}, NOTHING).engine_port == 0


def test_the_home_directory_is_understood() -> None:
    settings = load_settings({"engine.output_dir": "~/out"}, NOTHING)
    assert settings.engine.output_dir == Path.home() / "out"
