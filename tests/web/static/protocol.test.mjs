import assert from "node:assert/strict";
import { test } from "node:test";

import {
  engineReadiness,
  latencyLedger,
  parseEvent,
  playbackAck,
  pushToTalk,
  realtimeUrl,
  showPictures,
  subprotocols,
  talkReleased,
} from "../../../web/static/protocol.js";

test("the URL keeps host and port, and is as secure as the page", () => {
  const fixed = "/v1/realtime?audio=binary&input_rate=16000&output_rate=24000&echo=cancelled";
  assert.equal(realtimeUrl({ protocol: "http:", host: "127.0.0.1:9060" }, {}), `ws://127.0.0.1:9060${fixed}`);
  assert.equal(realtimeUrl({ protocol: "https:", host: "voice.local" }, { turns: "simplex" }), `wss://voice.local${fixed}&conversation=simplex`);
});

test("every wish travels in the URL, and what is not wished for does not", () => {
  const wishes = { turns: "hold", language: "zh", voice: "voice_1", bargeIn: "calm", echo: "open", pictures: "high", resume: true };
  const asked = Object.fromEntries(new URL(realtimeUrl({ protocol: "http:", host: "h" }, wishes)).searchParams);
  assert.deepEqual(asked, {
    audio: "binary", input_rate: "16000", output_rate: "24000", echo: "open", conversation: "simplex", barge_in: "calm",
    language: "zh", voice: "voice_1", pictures: "high", resume: "1",
  });
  const plain = realtimeUrl({ protocol: "http:", host: "h" }, { voice: null, bargeIn: null, pictures: "normal", resume: false });
  assert.equal(new URL(plain).searchParams.size, 4);
});

test("a key travels as a subprotocol, beside the one the server selects", () => {
  assert.deepEqual(subprotocols(null), []);
  assert.deepEqual(subprotocols("s3cret"), ["realtime", "openai-insecure-api-key.s3cret"]);
});

test("only events are events", () => {
  assert.deepEqual(parseEvent('{"type":"session.created"}'), { type: "session.created" });
  for (const text of ["", "{", "null", "3", "[]", "{}", '{"type":1}']) assert.equal(parseEvent(text), null);
});

test("the ledger keeps its numbers in milliseconds and nothing else", () => {
  const metadata = { "omni_duplex.latency": '{"speech_end_to_first_audio_ms":412.5,"note":"x","n":3,"bad_ms":null}' };
  assert.deepEqual(latencyLedger({ metadata }), { speech_end_to_first_audio_ms: 412.5 });
  for (const response of [{}, { metadata: null }, { metadata: {} }, { metadata: { "omni_duplex.latency": "{" } }]) {
    assert.deepEqual(latencyLedger(response), {});
  }
});

test("an ack is a whole number of milliseconds, never negative", () => {
  assert.deepEqual(playbackAck("r1", 120.6), { type: "playback.ack", response_id: "r1", played_ms: 121 });
  assert.equal(playbackAck("r1", -3).played_ms, 0);
});

test("one free engine is enough; loading beats busy; the rest has failed", () => {
  const of = (...states) => engineReadiness({ engines: states.map((state) => ({ state, detail: `is ${state}` })) });
  assert.deepEqual(of("leased", "ready"), { readiness: "ready", detail: "is ready" });
  assert.deepEqual(of("leased", "starting"), { readiness: "loading", detail: "is starting" });
  assert.deepEqual(of("restarting"), { readiness: "loading", detail: "is restarting" });
  assert.deepEqual(of("failed", "leased"), { readiness: "busy", detail: "is leased" });
  assert.deepEqual(of("failed"), { readiness: "failed", detail: "is failed" });
  assert.equal(engineReadiness({ engines: [{ state: "failed", detail: "exited\nTraceback …" }] }).detail, "exited");
  assert.deepEqual(engineReadiness({}), { readiness: "failed", detail: "" });
});

test("push to talk makes its turns itself; pictures come without sound", () => {
  assert.equal(pushToTalk().session.audio.input.turn_detection, null);
  assert.deepEqual(talkReleased().map(({ type }) => type), ["input_audio_buffer.commit", "response.create"]);
  assert.deepEqual(showPictures(["x"]), { type: "input_audio_buffer.append", audio: "", video_frames: ["x"] });
});
