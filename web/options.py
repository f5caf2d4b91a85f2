"""Every setting as it is named from outside."""

from dataclasses import dataclass

__all__ = ["OPTIONS", "Option"]


@dataclass(frozen=True, slots=True)
class Option:
    """One setting from outside: its place in the tree, and what else it is called."""

    key: str
    flag: str | None = None
    variables: tuple[str, ...] = ()
    """Environment variables, the first that is set wins."""
    several: bool = False
    """Repeatable as a flag, separated by commas as a variable."""


OPTIONS = (
    Option("server.host", "--host", ("OMNI_DUPLEX_HOST",)),
    Option("server.port", "--port", ("OMNI_DUPLEX_PORT",)),
    Option("server.control_port", "--control-port", ("OMNI_DUPLEX_CONTROL_PORT",)),
    Option("server.api_keys", "--api-key", ("OMNI_DUPLEX_API_KEY",), several=True),
    Option("server.api_key_file", "--api-key-file", ("OMNI_DUPLEX_API_KEY_FILE",)),
    Option("server.allow_origins", "--allow-origin", ("OMNI_DUPLEX_ALLOW_ORIGIN",), several=True),
    Option("server.insecure", "--insecure", ("OMNI_DUPLEX_INSECURE",)),
    Option("server.trust_proxy", "--trust-proxy", ("OMNI_DUPLEX_TRUST_PROXY",), several=True),
    Option("server.tls", "--tls", ("OMNI_DUPLEX_TLS",)),
    Option("server.tls_cert", "--tls-cert", ("OMNI_DUPLEX_TLS_CERT",)),
    Option("server.tls_key", "--tls-key", ("OMNI_DUPLEX_TLS_KEY",)),
    Option("server.drain_s", "--drain-s", ("OMNI_DUPLEX_DRAIN_S",)),
    Option("server.state_dir", "--state-dir", ("OMNI_DUPLEX_STATE_DIR",)),
    Option("engine.kind", "--engine", ("OMNI_DUPLEX_ENGINE",)),
    Option("engine.count", "--engines", ("OMNI_DUPLEX_ENGINES",)),
    Option("engine.url", "--engine-url", ("OMNI_DUPLEX_ENGINE_URL",)),
    Option("engine.port", "--engine-port", ("OMNI_DUPLEX_ENGINE_PORT",)),
    Option("engine.llamacpp_root", "--llamacpp-root", ("OMNI_DUPLEX_LLAMACPP_ROOT", "LLAMACPP_ROOT")),
    Option("engine.model_dir", "--model-dir", ("OMNI_DUPLEX_MODEL_DIR", "MODEL_DIR")),
    Option("engine.llm_model", "--llm-model", ("OMNI_DUPLEX_LLM_MODEL", "LLM_MODEL")),
    Option("engine.gpu_devices", "--gpu-devices", ("OMNI_DUPLEX_GPU_DEVICES", "CUDA_VISIBLE_DEVICES")),
    Option("engine.n_gpu_layers", None, ("OMNI_DUPLEX_N_GPU_LAYERS", "N_GPU_LAYERS")),
    Option("engine.ctx_size", None, ("OMNI_DUPLEX_CTX_SIZE", "CTX_SIZE")),
    Option("engine.output_dir", "--output-dir", ("OMNI_DUPLEX_OUTPUT_DIR",)),
    Option("engine.environment", "--engine-env", ("OMNI_DUPLEX_ENGINE_ENV",), several=True),
    Option("engine.vision_backend", "--vision-backend", ("OMNI_DUPLEX_VISION_BACKEND", "VISION_BACKEND")),
    Option("engine.ref_audio", None, ("OMNI_DUPLEX_REF_AUDIO", "REF_AUDIO")),
    Option("engine.token2wav_device", None, ("OMNI_DUPLEX_TOKEN2WAV_DEVICE", "TOKEN2WAV_DEVICE")),
    Option("engine.cuda_lib_path", None, ("OMNI_DUPLEX_CUDA_LIB_PATH", "CUDA_LIB_PATH")),
    Option("engine.parrot_faults", "--parrot-fault", ("OMNI_DUPLEX_PARROT_FAULT",), several=True),
    Option("engine.queue", "--queue", ("OMNI_DUPLEX_QUEUE",)),
    Option("engine.restarts_per_hour", "--restarts-per-hour", ("OMNI_DUPLEX_RESTARTS_PER_HOUR",)),
    Option("engine.print_output", "--print-engine-output", ("OMNI_DUPLEX_PRINT_ENGINE_OUTPUT",)),
    Option("conversation.mode", "--duplex, --simplex", ("OMNI_DUPLEX_MODE",)),
    Option("conversation.after_break", "--after-break", ("OMNI_DUPLEX_AFTER_BREAK",)),
    Option("conversation.barge_in", "--barge-in", ("OMNI_DUPLEX_BARGE_IN",)),
    Option("conversation.detector", "--detector", ("OMNI_DUPLEX_DETECTOR",)),
    Option("conversation.aec", "--aec", ("OMNI_DUPLEX_AEC",)),
    Option("conversation.engine_hears_cleaned", None, ("OMNI_DUPLEX_ENGINE_HEARS_CLEANED",)),
    Option("conversation.resume_grace_s", "--resume-grace", ("OMNI_DUPLEX_RESUME_GRACE",)),
    Option("conversation.lead_ms", None, ("OMNI_DUPLEX_LEAD_MS",)),
    Option("http.session_policy", "--session-policy", ("OMNI_DUPLEX_SESSION_POLICY",)),
    Option("http.wav_timing_log", "--wav-timing-log", ("OMNI_DUPLEX_WAV_TIMING_LOG",)),
    Option("registration.url", "--register-url", ("OMNI_DUPLEX_REGISTER_URL", "REGISTER_URL")),
    Option("registration.advertise_ip", "--advertise-ip", ("OMNI_DUPLEX_ADVERTISE_IP",)),
    Option("limits.sessions_per_address", "--max-sessions-per-address", ("OMNI_DUPLEX_MAX_SESSIONS_PER_ADDRESS",)),
    Option("limits.sessions_per_key", "--max-sessions-per-key", ("OMNI_DUPLEX_MAX_SESSIONS_PER_KEY",)),
    Option("limits.connects_per_minute", "--max-connects-per-minute", ("OMNI_DUPLEX_MAX_CONNECTS_PER_MINUTE",)),
    Option("limits.mib_per_minute", "--max-mib-per-minute", ("OMNI_DUPLEX_MAX_MIB_PER_MINUTE",)),
    Option("limits.idle_s", "--idle-timeout", ("OMNI_DUPLEX_IDLE_TIMEOUT",)),
    Option("log_level", "--log-level", ("OMNI_DUPLEX_LOG_LEVEL",)),
    Option("log_format", "--log-format", ("OMNI_DUPLEX_LOG_FORMAT",)),
)
"""Every setting. The variables without our prefix are those of the server this one replaces."""
