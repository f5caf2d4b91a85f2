"""Bringing the engine's one context into the state a conversation needs: initialised once, emptied often."""

import asyncio
from pathlib import Path

from duplex.engine.base import EngineSession, Mode
from duplex.engine.limits import EngineLimits
from duplex.engine.llama_http import LlamaHttp
from duplex.engine.llama_wire import OmniInit, check_success, init_body, is_not_initialised, update_body
from duplex.errors import EngineRefused, EngineStalled, EngineStartFailed

__all__ = ["OmniSetup"]


class OmniSetup:
    """Knows what the process was told. The engine must be quiet when it is told something new."""

    def __init__(
        self, http: LlamaHttp, init: OmniInit, output_dir: Path, input_dir: Path, limits: EngineLimits
    ) -> None:
        self._http = http
        self._init = init
        self._output_dir = output_dir
        self._voice = input_dir / "voice.wav"
        self._limits = limits
        self._ready_mode: Mode | None = None
        self._untouched: EngineSession | None = None

    def distrust(self) -> None:
        """The process may be dead or replaced: initialise it next time."""
        self._ready_mode = None
        self._untouched = None

    def touch(self) -> None:
        """The context is about to be used, and is not empty any more."""
        self._untouched = None

    async def prepare(self, session: EngineSession, *, anew: bool = False) -> bool:
        """An empty context for `session`. True when every model was loaded anew, vocoder included.

        A child of ours is not called when its last session wished for the same and used nothing of it: the prompt
        stands already.

        `anew`: the last answer did not come to its end, so the context still has sounds of it, which would open the
        next one; emptying it does not reach them.

        Changing the mode, and a process that does not know us, take the long way too. Raises EngineStartFailed when
        that fails: the process has then freed what it still needs and must be restarted.
        """
        if anew:
            self.distrust()
        if self._init.is_child and self._untouched == session:
            return False
        self._untouched = None
        if session.voice is not None:
            await asyncio.to_thread(self._voice.write_bytes, session.voice)
        if self._ready_mode is session.mode and await self.empty(session):
            self._untouched = session
            return False
        body = init_body(self._init, mode=session.mode, output_dir=self._output_dir, voice=self._wanted(session))
        self._ready_mode = None
        try:
            await self._http.call("omni_init", body, limit_s=self._limits.init_timeout_s)
        except (EngineRefused, EngineStalled) as error:
            raise EngineStartFailed(f"the model could not be initialised: {error}") from error
        self._ready_mode = session.mode
        if not session.vision:
            # omni_init must ask for vision, or it would not be loaded for the sessions to come.
            await self.empty(session)
        self._untouched = session
        return True

    async def empty(self, session: EngineSession) -> bool:
        """Empty the context. False when the process has not been initialised: it is a new one."""
        call = "update_session_config"
        body = update_body(self._init, mode=session.mode, vision=session.vision, voice=self._wanted(session))
        status, content = await self._http.post(call, body, limit_s=self._limits.request_timeout_s)
        if is_not_initialised(status, content):
            return False
        check_success(call, status, content)
        return True

    def _wanted(self, session: EngineSession) -> Path | None:
        return None if session.voice is None else self._voice
