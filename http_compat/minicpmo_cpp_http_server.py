"""The old name, flags and defaults of the server this project replaces; run this file with Python.

It is `omni-duplex serve` that listens on 0.0.0.0 port 8060, talks simplex unless `--duplex` is given, insists on a real
engine unless `--engine parrot` is given, and prints what people and scripts wait for. Two things differ from the old
one: without REGISTER_URL or `--register-url` it registers nowhere, where the old one guessed an address; and without
`--output-dir` the engine writes into a private directory in memory, where the old one emptied one below the checkout.
"""
# ruff: noqa: E402 - the module path is put right before anything of ours is imported

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_FOLDER = Path(__file__).resolve().parent
if __name__ == "__main__":
    # Python looks for modules beside a script first, and ours have names that others have too.
    sys.path[:] = [str(_FOLDER.parent), *(place for place in sys.path if Path(place).resolve() != _FOLDER)]

from rich.console import Console

from duplex.engine.base import Mode
from duplex.engine.model_files import find_llm, find_voice_reference, pick_vision_backend
from duplex.engine.spec import EngineKind
from web import cli
from web.banner import Banner, Ports, show
from web.settings import EngineSettings, MissingEnginePaths, Settings, SettingsError

__all__ = ["OLD_BANNER", "main"]

_NAME = "minicpmo_cpp_http_server.py"
_FLAGS = (
    *("--host", "--port", "--llamacpp-root", "--model-dir", "--llm-model", "--gpu-devices"),
    *("--duplex", "--simplex", "--output-dir", "--vision-backend", "--help"),
)
_REFUSED = 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run the server and return its exit code, 1 when its arguments make no sense."""
    parser = argparse.ArgumentParser(
        prog=_NAME,
        description="omni-duplex under the name of the server it replaces: the flags of `omni-duplex serve`.",
        epilog="Unlike there, the defaults are --host 0.0.0.0, --port 8060 and --simplex, and no key is needed.",
    )
    cli.add_serve_flags(parser)
    arguments = parser.parse_args([_spelled_out(word) for word in (sys.argv[1:] if argv is None else argv)])
    console = Console()
    try:
        settings = cli.serve_settings(arguments, defaults=_defaults())
    except MissingEnginePaths as error:
        show(_complaint(error.engine) or str(error), console)
        return _REFUSED
    except SettingsError as error:
        show(f"错误: {error}", console)
        return _REFUSED
    if settings.engine_kind is EngineKind.LLAMA_SERVER:
        complaint = _complaint(settings.engine)
        if complaint is not None:
            show(complaint, console)
            return _REFUSED
        if not settings.engine.llm_model:
            show(f"✅ 自动检测到 LLM 模型: {_llm_name(settings.engine)}", console)
    return cli.run_server(settings, banner=OLD_BANNER)


def _spelled_out(word: str) -> str:
    """A flag of the old server in full: there `--p` and `--s` meant one flag only."""
    flag, equals, value = word.partition("=")
    meant = [known for known in _FLAGS if known.startswith(flag)] if len(flag) > 2 else []
    return f"{meant[0]}{equals}{value}" if len(meant) == 1 else word


def _defaults() -> Mapping[str, object]:
    defaults: dict[str, object] = {
        "server.host": "0.0.0.0",  # noqa: S104 - as ever, and the banner warns
        "server.port": 8060,
        "server.insecure": True,
        "engine.kind": "llama-server",
        "engine.print_output": True,
        "conversation.mode": Mode.SIMPLEX,
    }
    if os.access(_FOLDER, os.W_OK):
        defaults["http.wav_timing_log"] = _FOLDER / "wav_timing.log"
    return defaults


def _complaint(engine: EngineSettings) -> str | None:
    """What is wrong with the paths of a real engine, in the words of the old server."""
    root, model_dir = engine.llamacpp_root, engine.model_dir
    if engine.url is None:
        if root is None:
            return "❌ 错误: 必须指定 --llamacpp-root 或设置 LLAMACPP_ROOT 环境变量"
        if not root.is_dir():
            return f"❌ 错误: LLAMACPP_ROOT 目录不存在: {root}"
    if model_dir is None:
        return "❌ 错误: 必须指定 --model-dir 或设置 MODEL_DIR 环境变量"
    if not model_dir.is_dir():
        return f"❌ 错误: MODEL_DIR 目录不存在: {model_dir}"
    if engine.llm_model:
        llm = model_dir / engine.llm_model
        return None if llm.is_file() else f"❌ 错误: LLM 模型文件不存在: {llm}"
    return None if find_llm(model_dir) else f"❌ 错误: 在 {model_dir} 中未找到 LLM GGUF 模型"


def _llm_name(engine: EngineSettings) -> str:
    if engine.llm_model or engine.model_dir is None:
        return str(engine.llm_model)
    found = find_llm(engine.model_dir)
    return found.name if found else "-"


def _opening(settings: Settings, ports: Ports) -> str:
    host, engine = settings.server.host, settings.engine
    mode = "双工" if settings.conversation.mode is Mode.DUPLEX else "单工"
    lines = [
        "=" * 60,
        "MiniCPMO C++ HTTP 服务器",
        f"  地址: {settings.scheme}://{host}:{ports.page}",
        f"  模式: {mode}",
    ]
    if settings.engine_kind is EngineKind.PARROT:
        lines.append("  引擎: parrot, a stand-in without a model, it plays your own words back")
    else:
        assert engine.model_dir is not None, "settings were checked"
        lines += [
            f"  LLAMACPP_ROOT: {engine.llamacpp_root or '-'}",
            f"  MODEL_DIR: {engine.model_dir}",
            f"  LLM_MODEL: {_llm_name(engine)}",
            f"  REF_AUDIO: {engine.ref_audio or find_voice_reference(engine.llamacpp_root, None) or '-'}",
            f"  VISION_BACKEND: {pick_vision_backend(engine.model_dir, engine.vision_backend)}",
        ]
    lines += [
        f"  OUTPUT_DIR: {engine.output_dir or 'private, in memory'}",
        f"  REGISTER_URL: {settings.registration.url or '-'}",
        "=" * 60,
        f"独立健康检查/打断服务器已启动: {settings.scheme}://{host}:{ports.control}",
    ]
    if settings.open_to_all:
        lines.append(
            f"Warning: everybody who can reach {host} port {ports.page} can talk to this model. "
            "Give --api-key KEY, or listen on this machine only with --host 127.0.0.1."
        )
    return "\n".join(lines)


def _ready(_settings: Settings, _ports: Ports) -> str:
    # Scripts wait for exactly these lines, in this order.
    return "MiniCPMO C++ HTTP 服务器初始化完成\nApplication startup complete"


OLD_BANNER = Banner(_opening, _ready)
"""What the old server printed."""


if __name__ == "__main__":
    sys.exit(main())
