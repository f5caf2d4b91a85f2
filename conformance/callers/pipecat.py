"""pipecat-ai: `OpenAIRealtimeLLMService` in the pipeline its documentation recommends, without a transport."""

import asyncio
from collections.abc import Awaitable, Callable

from pipecat.frames.frames import (
    ErrorFrame,
    Frame,
    InputAudioRawFrame,
    InterruptionFrame,
    SpeechOutputAudioRawFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.llm_service import LLMService
from pipecat.services.openai.realtime.llm import OpenAIRealtimeLLMService
from pipecat.workers.runner import WorkerRunner

from conformance.callers.talk import RATE_HZ, Talk, run

__all__ = ["talk_through"]


class Ear(FrameProcessor):
    """Stands where a transport would play the sound."""

    def __init__(self, talk: Talk) -> None:
        super().__init__()
        self._talk = talk
        self._answers = 0

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Tell what a player would notice, and pass it on."""
        await super().process_frame(frame, direction)
        if isinstance(frame, TTSStartedFrame):
            self._answers += 1
        elif isinstance(frame, TTSAudioRawFrame):
            self._talk.heard(frame.audio, str(self._answers))
        elif isinstance(frame, SpeechOutputAudioRawFrame):
            self._talk.streamed(frame.audio)
        elif isinstance(frame, InterruptionFrame):
            self._talk.interrupted()
        await self.push_frame(frame, direction)


async def converse(talk: Talk, host: str) -> None:
    """See `run`."""
    service = OpenAIRealtimeLLMService(
        api_key="none",
        base_url=f"ws://{host}/v1/realtime",
        settings=OpenAIRealtimeLLMService.Settings(model="minicpm-o-4.5", system_instruction="Be brief."),
    )

    async def started(_: PipelineWorker, __: Frame) -> None:
        talk.connected()

    await talk_through(talk, service, started)


async def talk_through(
    talk: Talk, service: LLMService, started: Callable[[PipelineWorker, Frame], Awaitable[None]]
) -> None:
    """Speak and listen through a pipeline around `service`; `started` is told when the pipeline runs."""
    turns = LLMContextAggregatorPair(LLMContext())
    worker = PipelineWorker(
        Pipeline([turns.user(), service, Ear(talk), turns.assistant()]),
        params=PipelineParams(audio_in_sample_rate=RATE_HZ, audio_out_sample_rate=RATE_HZ),
        cancel_on_idle_timeout=False,
        enable_rtvi=False,
    )

    async def failed(_: PipelineWorker, frame: ErrorFrame) -> None:
        talk.fail(frame.error)

    worker.add_event_handler("on_pipeline_started", started)
    worker.add_event_handler("on_pipeline_error", failed)
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    async with asyncio.TaskGroup() as group:
        group.create_task(runner.run())
        async for piece in talk.microphone():
            await worker.queue_frame(InputAudioRawFrame(audio=piece, sample_rate=RATE_HZ, num_channels=1))
        await worker.cancel()
        await runner.cancel()


if __name__ == "__main__":
    run(converse)
