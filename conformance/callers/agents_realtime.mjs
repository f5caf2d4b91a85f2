// @openai/agents-realtime: a RealtimeSession over its own WebSocket transport.

import { RealtimeAgent, RealtimeSession } from "@openai/agents-realtime";

import { run } from "./talk.mjs";

async function converse(talk, host) {
  const agent = new RealtimeAgent({ name: "parrot", instructions: "Be brief." });
  const session = new RealtimeSession(agent, { transport: "websocket", model: "minicpm-o-4.5" });
  session.on("audio", ({ data, responseId }) => talk.heard(data, responseId));
  session.on("audio_interrupted", () => talk.interrupted());
  session.on("error", ({ error }) => talk.fail(JSON.stringify(error)));
  session.on("transport_event", ({ type }) => {
    if (type === "session.updated") talk.connected();
  });
  await session.connect({ apiKey: "none", url: `ws://${host}/v1/realtime?model=minicpm-o-4.5` });
  await talk.speak((piece) => session.sendAudio(piece));
  session.close();
}

run(converse);
