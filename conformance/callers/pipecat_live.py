"""pipecat-ai: `OpenAILiveLLMService` in the same pipeline as the other service."""

from pipecat.frames.frames import Frame, LLMRunFrame
from pipecat.pipeline.worker import PipelineWorker
from pipecat.services.openai.live.llm import OpenAILiveLLMService

from conformance.callers.pipecat import talk_through
from conformance.callers.talk import Talk, run


async def converse(talk: Talk, host: str) -> None:
    """See `run`."""
    service = OpenAILiveLLMService(
        api_key="none",
        base_url=f"ws://{host}/v1/live/sessions",
        settings=OpenAILiveLLMService.Settings(model="minicpm-o-4.5", system_instruction="Be brief."),
    )

    async def begun(_: OpenAILiveLLMService, __: object) -> None:
        talk.connected()

    async def started(worker: PipelineWorker, _: Frame) -> None:
        # The service starts its session with the first context, as its documentation says to.
        await worker.queue_frame(LLMRunFrame())

    service.add_event_handler("on_session_started", begun)
    await talk_through(talk, service, started)


if __name__ == "__main__":
    run(converse)
