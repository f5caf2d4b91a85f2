// openai-realtime-api: its RealtimeClient, which says the beta's words and reads no others.

import { RealtimeClient } from "openai-realtime-api";

import { run } from "./talk.mjs";

async function converse(talk, host) {
  const client = new RealtimeClient({
    apiKey: "none",
    url: `ws://${host}/v1/realtime`,
    model: "minicpm-o-4.5",
    // Otherwise it answers when it is told to, and cannot be spoken over.
    sessionConfig: { instructions: "Be brief.", turn_detection: { type: "server_vad" } },
  });
  client.realtime.on("server.error", ({ error }) => talk.fail(`${error.code}: ${error.message}`));
  client.realtime.on("server.session.updated", () => talk.connected());
  client.on("conversation.updated", ({ item, delta }) => {
    if (delta?.audio) talk.heard(delta.audio.buffer, item.id);
  });
  client.on("conversation.interrupted", () => talk.interrupted());
  await client.connect();
  await talk.speak((piece) => client.appendInputAudio(piece));
  client.disconnect();
}

run(converse);
