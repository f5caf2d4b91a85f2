"""The command `omni-duplex`."""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from types import FrameType

from rich.console import Console

from duplex.engine.base import Mode
from duplex.errors import EngineStartFailed
from duplex.log import LOG_LEVELS, configure_logging
from http_compat.policy import SessionPolicy
from web.banner import SERVE_BANNER, Banner, project_version, show
from web.options import OPTIONS
from web.settings import Settings, SettingsError, load_settings

__all__ = ["add_serve_flags", "main", "run_server", "serve_settings"]

_COULD_NOT_START = 2
_FAILED = 1
_CUT_OFF = 130
"""What shells expect of a program that Ctrl-C ended before it was done."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. Without a command name, flags alone mean `serve`."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or (words[0].startswith("-") and words[0] not in {"-h", "--help", "--version"}):
        words.insert(0, "serve")
    arguments = _parser().parse_args(words)
    command: Callable[[argparse.Namespace], int] = arguments.command
    return command(arguments)


def serve_settings(arguments: argparse.Namespace, *, defaults: Mapping[str, object] | None = None) -> Settings:
    """The settings that the flags of `serve`, the environment and the settings file come to. Raises `SettingsError`.

    `defaults`, by the keys of `OPTIONS`, hold where none of them says anything.
    """
    keys = {option.key for option in OPTIONS}
    flags: dict[str, object] = {key: value for key, value in vars(arguments).items() if key in keys}
    if getattr(arguments, "duplex", False):
        flags["conversation.mode"] = Mode.DUPLEX
    # As in the server this one replaces: with both given, simplex wins.
    if getattr(arguments, "simplex", False):
        flags["conversation.mode"] = Mode.SIMPLEX
    return load_settings(flags, os.environ, arguments.config, defaults=defaults)


def run_server(settings: Settings, *, banner: Banner = SERVE_BANNER) -> int:
    """Serve until SIGINT or SIGTERM and return the exit code; what prevents it is said on stderr."""
    configure_logging(settings.log_level, engine_output=settings.engine.print_output, line_format=settings.log_format)
    # Imported here because engines take longer to load than the other commands take to run.
    from web.start import serve  # noqa: PLC0415

    try:
        return _run(serve(settings, banner=banner), when_cancelled=0)
    except (SettingsError, EngineStartFailed) as error:
        return _refuse(error, _COULD_NOT_START)


def _serve(arguments: argparse.Namespace) -> int:
    try:
        settings = serve_settings(arguments)
    except SettingsError as error:
        return _refuse(error, _COULD_NOT_START)
    return run_server(settings)


def _refuse(error: Exception, code: int) -> int:
    show(f"omni-duplex: {error}", Console(stderr=True))
    return code


def _talk(arguments: argparse.Namespace) -> int:
    # Imported here because the audio libraries take longer to load than a server takes to say that it is misconfigured.
    from web.talk import TalkError, TalkOptions, talk  # noqa: PLC0415

    modes = {(True, False): Mode.SIMPLEX, (False, True): Mode.DUPLEX}
    options = TalkOptions(
        wav=arguments.wav,
        url=arguments.url,
        out=arguments.out,
        interrupt_at_s=arguments.interrupt_at,
        mode=modes.get((arguments.simplex, arguments.duplex)),
        api_key=arguments.api_key or os.environ.get("OMNI_DUPLEX_API_KEY"),
        trust=arguments.trust,
    )

    async def converse() -> int:
        await talk(options, console=Console())
        return 0

    try:
        return _run(converse(), when_cancelled=_CUT_OFF)
    except TalkError as error:
        return _refuse(error, _FAILED)


def _version(_: argparse.Namespace) -> int:
    show(project_version(), Console())
    return 0


def _run(work: Coroutine[object, object, int], *, when_cancelled: int) -> int:
    """Run `work` to its end; SIGINT and SIGTERM cancel it, so that it cleans up whatever it has started."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        loop = runner.get_loop()

        async def cancellable() -> int:
            task = asyncio.current_task()
            assert task is not None

            def cancel(_signal: int, _frame: FrameType | None) -> None:
                loop.call_soon_threadsafe(task.cancel)

            # Plain handlers, not the loop's: uvicorn puts its own in their place while it serves, and when it has
            # ended calls these for the signals it caught.
            previous = {number: signal.signal(number, cancel) for number in (signal.SIGINT, signal.SIGTERM)}
            try:
                return await work
            finally:
                for number, handler in previous.items():
                    signal.signal(number, handler)

        try:
            return runner.run(cancellable())
        except asyncio.CancelledError:
            return when_cancelled


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - not there on every platform
    except ImportError:
        return None
    return uvloop.new_event_loop


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="omni-duplex", description="Turns a local speech model into a voice one can talk to, and interrupt."
    )
    parser.add_argument("--version", action="version", version=project_version())
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    serve = commands.add_parser("serve", help="run the server (the default when only flags are given)")
    serve.set_defaults(command=_serve)
    add_serve_flags(serve)
    _add_talk(commands.add_parser("talk", help="speak a file to a running server and hear the answer"))
    commands.add_parser("version", help="print the version").set_defaults(command=_version)
    return parser


def add_serve_flags(parser: argparse.ArgumentParser) -> None:
    """Give `parser` every flag that `serve_settings` reads."""
    parser.add_argument("--config", type=Path, default=None, metavar="FILE", help="settings in TOML")
    # A flag that is not given leaves no trace, so that the environment and the settings file can speak.
    parser.argument_default = argparse.SUPPRESS
    parser.add_argument("--log-level", dest="log_level", metavar="|".join(LOG_LEVELS), help="least level logged (info)")
    parser.add_argument("--log-format", dest="log_format", metavar="text|json", help="how log lines look (text)")
    _add_server_flags(parser.add_argument_group("where it listens, and to whom"))
    _add_limit_flags(parser.add_argument_group("limits; 0 means none"))
    _add_engine_flags(parser.add_argument_group("the engine"))
    _add_conversation_flags(parser.add_argument_group("conversations"))
    _add_http_flags(parser.add_argument_group("HTTP callers and their dispatcher"))


def _add_server_flags(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--host", dest="server.host", metavar="ADDRESS", help="address to listen on (127.0.0.1)")
    add("--port", dest="server.port", metavar="PORT", help="port to listen on (9060)")
    add("--control-port", dest="server.control_port", metavar="PORT", help="health, break and stop (port + 1)")
    add("--api-key", dest="server.api_keys", action="append", metavar="KEY", help="clients must know one; repeatable")
    add(
        "--api-key-file", dest="server.api_key_file", metavar="FILE", help="more keys, one a line; read when it changes"
    )
    add(
        "--allow-origin", dest="server.allow_origins", action="append", metavar="ORIGIN", help="page let in; repeatable"
    )
    add("--insecure", dest="server.insecure", action="store_true", help="no key although others can reach --host")
    add(
        "--trust-proxy",
        dest="server.trust_proxy",
        action="append",
        metavar="ADDRESS",
        help="proxy, or network of them, whose X-Forwarded-For is believed; repeatable",
    )
    add("--tls", dest="server.tls", metavar="off|self-signed", help="https and wss, with a certificate made here (off)")
    add("--tls-cert", dest="server.tls_cert", metavar="FILE", help="https and wss, with this certificate (PEM)")
    add("--tls-key", dest="server.tls_key", metavar="FILE", help="the key of --tls-cert (PEM)")
    add("--drain-s", dest="server.drain_s", metavar="S", help="how long calls may go on after SIGTERM (30)")
    add("--state-dir", dest="server.state_dir", metavar="DIR", help="keeps the certificate made here (the user's)")


def _add_limit_flags(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    for name, what in (
        ("sessions_per_address", "WebSockets of one address at the same time (8)"),
        ("sessions_per_key", "the same with one key (64)"),
        ("connects_per_minute", "connections of one address, and with one key (120)"),
        ("mib_per_minute", "sent by one address, and with one key (512)"),
    ):
        add(f"--max-{name.replace('_', '-')}", dest=f"limits.{name}", metavar="N", help=what)
    add("--idle-timeout", dest="limits.idle_s", metavar="S", help="closes a WebSocket that says nothing (3600)")


def _add_engine_flags(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--llamacpp-root", dest="engine.llamacpp_root", metavar="DIR", help="llama.cpp-omni, with llama-server built")
    add("--model-dir", dest="engine.model_dir", metavar="DIR", help="the MiniCPM-o GGUF directory")
    add("--llm-model", dest="engine.llm_model", metavar="FILE", help="language model in it (detected)")
    add(
        "--gpu-devices",
        dest="engine.gpu_devices",
        metavar="LIST",
        help="CUDA_VISIBLE_DEVICES, shared out among the engines",
    )
    add("--output-dir", dest="engine.output_dir", metavar="DIR", help="where the engine writes (a private directory)")
    add(
        "--engine-env",
        dest="engine.environment",
        action="append",
        metavar="NAME[=VALUE]",
        help="a variable the engine gets too, from our environment or as given; repeatable",
    )
    add("--vision-backend", dest="engine.vision_backend", metavar="metal|coreml", help="vision model's backend (metal)")
    add("--engine", dest="engine.kind", metavar="auto|llama-server|parrot", help="which engine (auto)")
    add("--engines", dest="engine.count", metavar="N", help="how many, each for one conversation at a time (1)")
    add("--engine-url", dest="engine.url", metavar="URL", help="use this running llama-server of this machine")
    add("--engine-port", dest="engine.port", metavar="PORT", help="the first engine's port (port + 10000)")
    add("--queue", dest="engine.queue", metavar="N", help="how many may wait for an engine; 0: refuse them (16)")
    add(
        "--restarts-per-hour",
        dest="engine.restarts_per_hour",
        metavar="N",
        help="how often an engine that fails is started again before it stays down (12)",
    )
    add(
        "--print-engine-output",
        dest="engine.print_output",
        action="store_true",
        help="print what it prints, which may hold what was said",
    )
    add("--parrot-fault", dest="engine.parrot_faults", action="append", help=argparse.SUPPRESS)


def _add_conversation_flags(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--duplex", action="store_true", help="the model listens while it speaks (default)")
    add("--simplex", action="store_true", help="the model answers once after each utterance; wins over --duplex")
    add(
        "--after-break",
        dest="conversation.after_break",
        metavar="listen|reset",
        help="the model after a break (listen)",
    )
    add(
        "--barge-in",
        dest="conversation.barge_in",
        metavar="eager|balanced|calm",
        help="how readily speech cuts an answer off (balanced)",
    )
    add(
        "--detector",
        dest="conversation.detector",
        metavar="webrtc|energy|silero",
        help="what tells speech from noise (webrtc)",
    )
    add(
        "--resume-grace",
        dest="conversation.resume_grace_s",
        metavar="S",
        help="how long a client that lost its connection may take to come back (30)",
    )
    add("--aec", dest="conversation.aec", metavar="auto|on|off", help="echo cancellation for clients without it (auto)")


def _add_http_flags(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--session-policy",
        dest="http.session_policy",
        metavar="|".join(SessionPolicy),
        help="may a second init end the call that is on: one idle for 30 s, never, always (idle)",
    )
    add("--wav-timing-log", dest="http.wav_timing_log", metavar="FILE", help="duplex: a line for each WAV sent")
    add("--register-url", dest="registration.url", metavar="URL", help="dispatcher that sends us calls (none)")
    add(
        "--advertise-ip",
        dest="registration.advertise_ip",
        metavar="ADDRESS",
        help="our address as it is told there (the one towards it)",
    )


def _add_talk(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command=_talk)
    parser.add_argument("wav", type=Path, metavar="IN.wav", help="speech to say, any rate and format")
    parser.add_argument("--url", default="ws://127.0.0.1:9060/v1/realtime", help="the server (%(default)s)")
    parser.add_argument("--out", type=Path, metavar="OUT.wav", help="save the answer, 24 kHz")
    parser.add_argument(
        "--interrupt-at", type=float, metavar="S", help="say it again S seconds into the answer, to cut it off"
    )
    parser.add_argument("--duplex", action="store_true", help="ask for a duplex conversation")
    parser.add_argument("--simplex", action="store_true", help="ask for a simplex conversation")
    parser.add_argument("--api-key", metavar="KEY", help="the server's key (or OMNI_DUPLEX_API_KEY)")
    parser.add_argument(
        "--trust", type=Path, metavar="CERT.pem", help="the certificate of a wss:// server, as it prints at its start"
    )


if __name__ == "__main__":
    sys.exit(main())
