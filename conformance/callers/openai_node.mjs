// openai for Node: its OpenAIRealtimeWS, which knows no address but wss.

import OpenAI from "openai";
import { OpenAIRealtimeWS } from "openai/realtime/ws";

import { fromBase64, run, toBase64 } from "./talk.mjs";

async function converse(talk, host) {
  const client = new OpenAI({ apiKey: "none", baseURL: `https://${host}/v1` });
  const realtime = new OpenAIRealtimeWS({ model: "minicpm-o-4.5" }, client);
  realtime.on("error", (error) => talk.fail(error.message));
  realtime.on("session.created", () =>
    realtime.send({ type: "session.update", session: { type: "realtime", instructions: "Be brief." } }),
  );
  realtime.on("session.updated", () => talk.connected());
  realtime.on("response.output_audio.delta", (event) => talk.heard(fromBase64(event.delta), event.response_id));
  realtime.on("response.done", ({ response }) => {
    if (response.status === "cancelled") talk.interrupted();
  });
  await new Promise((resolve) => realtime.socket.on("open", resolve));
  await talk.speak((piece) => realtime.send({ type: "input_audio_buffer.append", audio: toBase64(piece) }));
  realtime.close();
}

run(converse);
