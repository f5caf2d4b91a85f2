"""One engine as the operator asked for it, and the command that starts it."""

import enum
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from duplex.child_environment import child_environment, prepended
from duplex.engine.base import Mode
from duplex.engine.llama_wire import OmniInit

__all__ = ["EngineCommand", "EngineKind", "EngineSpec", "engine_command", "engine_environment"]

_PACKAGE_PARENT = Path(__file__).resolve().parents[2]
_FOR_ENGINES = (
    # Which GPUs it has, and how it uses them: CUDA, ROCm, SYCL, Vulkan, Metal.
    "CUDA_*", "NVIDIA_*", "NCCL_*", "HIP_*", "ROCR_*", "ROCM_*", "HSA_*", "AMD_*", "GPU_DEVICE_ORDINAL", "ONEAPI_*",
    "SYCL_*", "ZE_*", "ZES_*", "VK_*", "MESA_*", "MTL_*", "METAL_*",
    # How it computes.
    "GGML_*", "LLAMA_*", "OMP_*", "GOMP_*", "KMP_*", "MKL_*", "OPENBLAS_*", "MALLOC_*",
    # What llama.cpp-omni and the parrot read.
    "PYTHON_T2W_GPU", "TTS_LOGITS_DEBUG_DIR", "OMNI_PARROT_FAULTS",
)  # fmt: skip
_MISLEADING = frozenset({"LLAMA_ARG_API_PREFIX", "LLAMA_ARG_SSL_CERT_FILE", "LLAMA_ARG_SSL_KEY_FILE"})
"""llama-server reads these; they would change where and how it answers us."""


class EngineKind(enum.StrEnum):
    """What answers behind the port."""

    PARROT = "parrot"
    """The built-in stand-in: no model, it plays the user's own words back."""
    LLAMA_SERVER = "llama-server"
    """A real model."""


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """Everything about one engine that is known before it starts. Paths are absolute."""

    kind: EngineKind
    init: OmniInit | None = None
    """What omni_init is told; required unless the engine is a parrot of ours."""
    port: int = 0
    """Its port on 127.0.0.1; 0 takes a free one at every start."""
    mode: Mode = Mode.DUPLEX
    """The mode it is initialised with, so that the first conversation of that mode starts fast."""
    url: str | None = None
    """An engine somebody else runs on this machine, used instead of starting one. `http://127.0.0.1:PORT`."""
    binary: Path | None = None
    """llama-server; required when we start a real engine."""
    root: Path | None = None
    """The llama.cpp-omni checkout, working directory of a real engine: it opens files relative to it."""
    llm: Path | None = None
    """The language model file; required when we start a real engine."""
    output_dir: Path | None = None
    """Where the engine writes its audio; None makes a private directory, on tmpfs where there is one."""
    gpu_devices: str | None = None
    """Value of CUDA_VISIBLE_DEVICES; None leaves it as inherited, an empty text hides every GPU."""
    cuda_lib_path: str = "/usr/local/cuda/lib64"
    n_gpu_layers: int = 99
    ctx_size: int = 8192
    """Context window in tokens."""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Variables that it gets beside those every engine may know, or instead of them. They may be secrets."""
    parrot_faults: tuple[str, ...] = field(default=())
    """`NAME=VALUE` switches of the parrot, for tests."""

    @property
    def stand_in(self) -> bool:
        """True when no model is behind it; every screen that shows it must say so."""
        return self.kind is EngineKind.PARROT


@dataclass(frozen=True, slots=True)
class EngineCommand:
    """One child process to start."""

    argv: tuple[str, ...]
    cwd: Path
    environment: Mapping[str, str]
    port: int
    """Where it will answer on 127.0.0.1."""


def engine_command(
    spec: EngineSpec, *, port: int, placeholder: Path, inherited: Mapping[str, str] | None = None
) -> EngineCommand:
    """The child for `spec` on `port`. `placeholder` is an existing file the parrot takes for its model.

    `inherited` is the environment to start from, by default our own.
    """
    environment = engine_environment(os.environ if inherited is None else inherited) | dict(spec.environment)
    if spec.gpu_devices is not None:
        environment["CUDA_VISIBLE_DEVICES"] = spec.gpu_devices
    if spec.kind is EngineKind.PARROT:
        environment["PYTHONPATH"] = prepended(environment.get("PYTHONPATH"), str(_PACKAGE_PARENT))
        program: tuple[str, ...] = (sys.executable, "-m", "duplex.engine.parrot")
        model, cwd = placeholder, placeholder.parent
    else:
        if spec.binary is None or spec.root is None or spec.llm is None:
            raise ValueError("a real engine needs its binary, root and llm")
        _add_library_path(environment, spec.binary, spec.cuda_lib_path)
        program = (str(spec.binary),)
        model, cwd = spec.llm, spec.root
    argv = (*program, *_flags(spec, port, model))
    return EngineCommand(argv=argv, cwd=cwd, environment=environment, port=port)


def _flags(spec: EngineSpec, port: int, model: Path) -> tuple[str, ...]:
    return (
        *("--host", "127.0.0.1"),
        *("--port", str(port)),
        *("--model", str(model)),
        *("--ctx-size", str(spec.ctx_size)),
        *("--n-gpu-layers", str(spec.n_gpu_layers)),
        *("--repeat-penalty", "1.05"),
        *("--temp", "0.7"),
        *(part for fault in spec.parrot_faults for part in ("--fault", fault)),
    )


def engine_environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """What of our environment an engine may know: no proxies, no keys, no settings of ours, nothing unknown."""
    known = child_environment(inherited, _FOR_ENGINES)
    return {name: value for name, value in known.items() if name not in _MISLEADING}


def _add_library_path(environment: dict[str, str], binary: Path, cuda_lib_path: str) -> None:
    beside = str(binary.parent)
    if sys.platform == "darwin":
        environment["DYLD_LIBRARY_PATH"] = prepended(environment.get("DYLD_LIBRARY_PATH"), beside)
    elif sys.platform == "linux":
        environment["LD_LIBRARY_PATH"] = prepended(
            environment.get("LD_LIBRARY_PATH"), cuda_lib_path, beside, "/usr/lib/x86_64-linux-gnu"
        )
