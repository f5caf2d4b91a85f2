"""From settings to running engines."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace

import httpx

from duplex.clock import Clock
from duplex.engine.base import EngineSession
from duplex.engine.host import EngineFactory, EngineHost, HostLimits
from duplex.engine.llama_server import EngineLimits, LlamaServerEngine
from duplex.engine.llama_wire import OmniInit
from duplex.engine.model_files import (
    find_llama_server,
    find_model_files,
    find_voice_reference,
    pick_vision_backend,
)
from duplex.engine.pool import EnginePool, Meanwhile
from duplex.engine.restart import RESTARTS_PER_HOUR, RestartLimits
from duplex.engine.spec import EngineKind, EngineSpec
from duplex.engine.succession import EngineLease, Lend
from duplex.engine.watch import SpoolWatcher, make_watcher
from duplex.engine.workdir import EngineDirs
from web.settings import Settings, SettingsError

__all__ = ["engine_client", "engine_spec", "engine_specs", "lender", "open_engines"]

_KEEP_ALIVE_S = 4.0


def engine_spec(settings: Settings, environ: Mapping[str, str] = os.environ) -> EngineSpec:
    """One engine as the settings ask for it. Checks its files (blocking) and raises `EngineStartFailed`, and
    `SettingsError` for a variable that is not in `environ`."""
    engine = settings.engine
    extra = dict(_entry(entry, environ) for entry in engine.environment)
    if settings.engine_kind is EngineKind.PARROT:
        return EngineSpec(
            kind=EngineKind.PARROT,
            port=settings.engine_port,
            mode=settings.conversation.mode,
            url=engine.url,
            output_dir=engine.output_dir and engine.output_dir.resolve(),
            ctx_size=engine.ctx_size,
            environment=extra,
            parrot_faults=engine.parrot_faults,
        )
    assert engine.model_dir is not None, "settings were checked"
    root = engine.llamacpp_root and engine.llamacpp_root.resolve()
    files = find_model_files(engine.model_dir, engine.llm_model)
    on_gpu = engine.n_gpu_layers > 0
    init = OmniInit(
        model_dir=files.model_dir,
        tts_bin_dir=files.tts_bin_dir,
        token2wav_device=engine.token2wav_device or ("gpu" if on_gpu else "cpu"),
        vision_backend=pick_vision_backend(files.model_dir, engine.vision_backend),
        voice=find_voice_reference(root, engine.ref_audio),
    )
    if not on_gpu:
        init = replace(init, tts_gpu_layers=0)
    return EngineSpec(
        kind=EngineKind.LLAMA_SERVER,
        init=init,
        port=settings.engine_port,
        mode=settings.conversation.mode,
        url=engine.url,
        binary=find_llama_server(root) if root is not None and engine.url is None else None,
        root=root,
        llm=files.llm,
        output_dir=engine.output_dir and engine.output_dir.resolve(),
        gpu_devices=engine.gpu_devices,
        cuda_lib_path=engine.cuda_lib_path,
        n_gpu_layers=engine.n_gpu_layers,
        ctx_size=engine.ctx_size,
        environment=extra,
    )


def _entry(entry: str, environ: Mapping[str, str]) -> tuple[str, str]:
    name, given, value = entry.partition("=")
    if given:
        return name, value
    if name not in environ:
        raise SettingsError(f"--engine-env {name}: this variable is not set here. Set it, or give NAME=VALUE.")
    return name, environ[name]


def engine_specs(settings: Settings) -> tuple[EngineSpec, ...]:
    """All of them: each has its own port, spool and share of the GPUs. Raises as `engine_spec` does."""
    first, count = engine_spec(settings), settings.engine.count
    if count == 1:
        return (first,)
    return tuple(
        replace(
            first,
            port=first.port and first.port + number,
            output_dir=first.output_dir and first.output_dir / f"engine_{number}",
            gpu_devices=_share(first.gpu_devices, number, count),
        )
        for number in range(count)
    )


def _share(devices: str | None, number: int, count: int) -> str | None:
    """Of a list separated by commas: neighbours together; where there are too few, several engines have the same."""
    if not devices:
        return devices
    each = devices.split(",")
    if len(each) < count:
        return each[number % len(each)]
    return ",".join(each[number * len(each) // count : (number + 1) * len(each) // count])


@contextlib.asynccontextmanager
async def open_engines(
    specs: Sequence[EngineSpec],
    *,
    clock: Clock,
    queue_limit: int = 0,
    restarts_per_hour: int = RESTARTS_PER_HOUR,
    limits: EngineLimits | None = None,
) -> AsyncIterator[EnginePool]:
    """A pool that is supervised while the body runs, and for which `queue_limit` conversations may wait. An engine that
    is our child stays down after `restarts_per_hour`. Returns before the engines are ready; `status` tells when.

    Raises `EngineStartFailed` when a port is taken.
    """
    async with contextlib.AsyncExitStack() as cleanup:
        # The first one of a process runs a program that knows where the C library is.
        watcher = await asyncio.to_thread(make_watcher)
        cleanup.callback(watcher.close)
        hosts = []
        for spec in specs:
            client = await cleanup.enter_async_context(engine_client())
            # An engine somebody else owns is waited for, however often it goes: only its owner can say that it is over.
            restart = RestartLimits(max_per_hour=None if spec.url else restarts_per_hour)
            hosts.append(
                EngineHost(
                    spec,
                    make_engine=_engine_maker(spec, watcher, clock, limits or EngineLimits()),
                    client=client,
                    clock=clock,
                    limits=HostLimits(restart=restart),
                )
            )
        pool = EnginePool(hosts, queue_limit=queue_limit, clock=clock)
        await cleanup.enter_async_context(pool.running())
        yield pool


def lender(pool: EnginePool) -> Lend:
    """How sessions get the engines of `pool`."""

    @contextlib.asynccontextmanager
    async def lend(
        wish: EngineSession, meanwhile: Meanwhile | None, *, first: bool = False
    ) -> AsyncIterator[EngineLease]:
        async with pool.lease(wish, meanwhile=meanwhile, first=first) as engine:
            yield EngineLease(engine, str(engine.kind), engine.stand_in)

    return lend


def engine_client() -> httpx.AsyncClient:
    """Asks one engine, one thing at a time."""
    # Measured on the real engine: an idle connection holds one of its three request threads for 5 s, and is
    # then dropped under whoever reuses it. One is enough: every request waits for the one before it.
    pooled = httpx.Limits(max_keepalive_connections=1, keepalive_expiry=_KEEP_ALIVE_S)
    return httpx.AsyncClient(trust_env=False, transport=_OneAtATime(limits=pooled))


class _OneAtATime(httpx.AsyncHTTPTransport):
    """Of an engine, which is asked one thing at a time: what is broken off takes all connections with it.

    httpcore would keep one for ever whose request is broken off between the connection and its first byte.
    """

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """As ever."""
        try:
            return await super().handle_async_request(request)
        except asyncio.CancelledError:
            await self.aclose()
            raise


def _engine_maker(spec: EngineSpec, watcher: SpoolWatcher, clock: Clock, limits: EngineLimits) -> EngineFactory:
    @contextlib.asynccontextmanager
    async def make_engine(base_url: str, dirs: EngineDirs) -> AsyncIterator[LlamaServerEngine]:
        parrot = OmniInit(
            model_dir=dirs.placeholder.parent, tts_bin_dir=dirs.placeholder.parent / "tts", token2wav_device="cpu"
        )
        # No request outlives the process that it was meant for.
        async with engine_client() as client:
            yield LlamaServerEngine(
                base_url=base_url,
                output_dir=dirs.output_dir,
                input_dir=dirs.input_dir,
                init=replace(spec.init or parrot, is_child=spec.url is None, ctx_size=spec.ctx_size),
                client=client,
                watcher=watcher,
                clock=clock,
                limits=limits,
            )

    return make_engine
