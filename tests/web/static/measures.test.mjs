import assert from "node:assert/strict";
import { test } from "node:test";

import { Cushion } from "../../../web/static/cushion.js";
import { answerStages, breakStages } from "../../../web/static/latency-stages.js";
import { Logbook } from "../../../web/static/logbook.js";
import { MicrophoneClock } from "../../../web/static/microphone-clock.js";
import { NetworkMeter } from "../../../web/static/network-meter.js";
import { cellOf, fitted, picturePlan } from "../../../web/static/picture-plan.js";
import { fileName, milliseconds } from "../../../web/static/text.js";
import { voiceFrom } from "../../../web/static/voice-file.js";

test("a cushion grows to its bounds and comes back", () => {
  const cushion = new Cushion();
  for (let i = 0; i < 50; i += 1) cushion.ranDry();
  assert.deepEqual([cushion.startMs, cushion.lateMs], [400, 1200]);
  cushion.played(9999);
  assert.equal(cushion.startMs, 400);
  cushion.played(1);
  assert.deepEqual([cushion.startMs, cushion.lateMs], [380, 1120]);
  cushion.played(3_600_000);
  assert.deepEqual([cushion.startMs, cushion.lateMs], [60, 320]);
});

test("a network that is even has no jitter, however early the first pieces come", () => {
  const meter = new NetworkMeter();
  for (const atMs of [0, 1, 2, 102, 202, 302]) meter.arrived(4800, 100, atMs);
  assert.equal(meter.jitterMs, 0);
  assert.deepEqual([meter.piecesReceived, meter.bytesReceived], [6, 28800]);
});

test("pieces that come late are jitter; a pause between answers is none", () => {
  const meter = new NetworkMeter();
  for (let i = 0; i < 200; i += 1) meter.arrived(4800, 100, i * 100 + (i % 2) * 40);
  assert.ok(meter.jitterMs > 15 && meter.jitterMs < 25, `${meter.jitterMs}`);
  const before = meter.jitterMs;
  meter.arrived(4800, 100, 60_000);
  assert.equal(meter.jitterMs, before);
});

test("a moment of the microphone's stream is found on the page's clock by the earliest frame", () => {
  const clock = new MicrophoneClock();
  assert.equal(clock.at(100), null);
  for (let i = 1; i <= 50; i += 1) clock.sent(20, 5000 + i * 20 + (i === 7 ? 0 : 15));
  assert.equal(clock.at(500), 5500);
  assert.equal(clock.sentMs, 1000);
  clock.lose();
  assert.equal(clock.at(500), null);
});

test("the stages of an answer stand in the order of time, the page's own among them", () => {
  const ledger = { speech_end_to_first_audio_ms: 700, speech_end_to_detected_ms: 600, request_to_first_audio_ms: 90, other_ms: 1 };
  assert.deepEqual(answerStages({ ledger, firstSoundMs: 810 }), [
    { name: "speech_end_to_detected_ms", ms: 600 }, { name: "speech_end_to_first_audio_ms", ms: 700 }, { name: "played", ms: 810 },
  ]);
  assert.deepEqual(answerStages({ ledger: { request_to_first_audio_ms: 90 }, firstSoundMs: null }), [{ name: "request_to_first_audio_ms", ms: 90 }]);
  assert.deepEqual(answerStages({ ledger: {}, firstSoundMs: null }), []);
  assert.deepEqual(breakStages({ breakLedger: { onset_to_break_ms: 380, onset_to_hold_ms: 80 }, breakMs: 95 }), [
    { name: "onset_to_hold_ms", ms: 80 }, { name: "silent", ms: 95 }, { name: "onset_to_break_ms", ms: 380 },
  ]);
});

test("a camera's picture is never blown up, and four of them fill two rows", () => {
  assert.deepEqual(fitted({ width: 1280, height: 720 }, 448), { width: 448, height: 252 });
  assert.deepEqual(fitted({ width: 320, height: 240 }, 896), { width: 320, height: 240 });
  assert.deepEqual(fitted({ width: 4000, height: 1 }, 448), { width: 448, height: 1 });
  assert.deepEqual([0, 1, 2, 3].map((i) => cellOf(i, 4)), [{ column: 0, row: 0 }, { column: 1, row: 0 }, { column: 0, row: 1 }, { column: 1, row: 1 }]);
  assert.deepEqual(cellOf(0, 1), { column: 0, row: 0 });
  for (const refresh of [false, true]) {
    const { everyMs, cells } = picturePlan({ refresh, hd: false });
    assert.equal(everyMs * cells, 1000);
  }
  assert.ok(picturePlan({ refresh: false, hd: true }).side > picturePlan({ refresh: false, hd: false }).side);
});

test("a voice is three seconds of sound at least and thirty at most", () => {
  const tone = (seconds, level) => Float32Array.from({ length: seconds * 16000 }, (_, i) => level * Math.sin(i / 5));
  assert.equal(voiceFrom(tone(2.9, 0.5)).fault, "short");
  assert.equal(voiceFrom(tone(5, 0.001)).fault, "silent");
  const { wav, seconds, fault } = voiceFrom(tone(40, 0.5));
  assert.deepEqual([fault, seconds, wav.length], [null, 30, 44 + 30 * 32000]);
});

test("numbers are written for readers", () => {
  assert.deepEqual([null, 0, 131.6, 9999, 12345].map(milliseconds), ["–", "0 ms", "132 ms", "9999 ms", "12.3 s"]);
  assert.match(fileName(new Date(), "wav"), /^omni-duplex-\d{4}(-\d\d){5}\.wav$/);
});

test("the logbook keeps what was said and when, and drops the chatter", () => {
  const logbook = new Logbook();
  logbook.event({ type: "session.created" }, "server", 0);
  logbook.event({ type: "playback.ack" }, "page", 100);
  logbook.event({ type: "response.cancel" }, "page", 1500);
  const written = JSON.parse(logbook.eventsAsJson(Date.UTC(2026, 0, 1)));
  assert.deepEqual(written, [
    { at: "2026-01-01T00:00:00.000Z", from: "server", event: { type: "session.created" } },
    { at: "2026-01-01T00:00:01.500Z", from: "page", event: { type: "response.cancel" } },
  ]);
  for (let i = 0; i < 10_100; i += 1) logbook.event({ type: "response.listen" }, "server", i);
  assert.equal(logbook.events.length, 10_000);
});

test("what happens is put on the timeline", () => {
  const logbook = new Logbook();
  for (let ms = 20; ms <= 1000; ms += 20) logbook.frame(new Int16Array(320), 0.5, ms !== 40, ms);
  logbook.mark({ type: "input_audio_buffer.speech_started", spokenAtMs: 300 }, 380);
  logbook.arrived(4800, 700);
  logbook.arrived(4800, 720);
  logbook.rendered({ samples: new Int16Array(2400), count: 2400, level: 0.8 }, 900);
  logbook.rendered({ samples: null, count: 2400, level: 0 }, 1000);
  logbook.mark({ type: "page.sound_dry" }, 950);
  logbook.measured("break", 120, 980);
  logbook.mark({ type: "page.off" }, 1000);
  const { levels, spans, marks } = logbook.timeline.view(1000);
  assert.deepEqual([levels.microphone.length, levels.microphone[0].atMs, levels.played.length, levels.played[0].atMs], [50, 0, 1, 800]);
  assert.deepEqual(spans.speech, [{ fromMs: 300, toMs: 1000 }]);
  assert.deepEqual(spans.sent, [{ fromMs: 700, toMs: 820 }]);
  assert.deepEqual(marks, [{ kind: "underrun", atMs: 950, ms: null }, { kind: "break", atMs: 980, ms: 120 }]);
  assert.deepEqual([logbook.framesSent, logbook.framesDropped], [49, 1]);
});
