import assert from "node:assert/strict";
import { test } from "node:test";

import { Recording } from "../../../web/static/recording.js";
import { writeWav } from "../../../web/static/wav.js";

const loud = (count) => new Int16Array(count).fill(10000);
const silent = (count) => new Int16Array(count);

/** The two channels of a stereo WAV. */
function channels(wav) {
  const samples = new Int16Array(wav.buffer, 44);
  return [0, 1].map((side) => samples.filter((_, i) => i % 2 === side));
}

/** When a channel is loud, in ms, as the first and the last moment. */
function loudFromTo(channel) {
  const first = channel.findIndex((value) => Math.abs(value) > 5000);
  return [first, channel.findLastIndex((value) => Math.abs(value) > 5000)].map((at) => Math.round(at / 24));
}

test("a WAV has a header of 44 bytes and its channels interleaved", () => {
  const wav = writeWav([Int16Array.of(1, 2), Int16Array.of(-1, -2)], 24000);
  const view = new DataView(wav.buffer);
  assert.equal(String.fromCharCode(...wav.slice(0, 4), ...wav.slice(8, 16), ...wav.slice(36, 40)), "RIFFWAVEfmt data");
  assert.deepEqual([view.getUint32(4, true), view.getUint16(22, true), view.getUint32(24, true), view.getUint32(28, true), view.getUint16(34, true), view.getUint32(40, true)], [44, 2, 24000, 96000, 16, 8]);
  assert.deepEqual([...new Int16Array(wav.buffer, 44)], [1, -1, 2, -2]);
  assert.throws(() => writeWav([Int16Array.of(1), Int16Array.of()], 24000), RangeError);
});

test("both sides lie on one clock, the user left and the answer right", () => {
  const recording = new Recording({ userHz: 16000, answerHz: 24000 });
  for (let ms = 0; ms < 2000; ms += 20) recording.user(ms >= 500 && ms < 1000 ? loud(320) : silent(320), ms + 20);
  for (let ms = 300; ms < 2000; ms += 100) recording.answer(ms >= 1300 && ms < 1600 ? loud(2400) : null, 2400, ms + 100);
  const [user, answer] = channels(recording.toWav());
  assert.equal(user.length, 48000);
  assert.deepEqual(loudFromTo(user).map((ms) => Math.round(ms / 5) * 5), [500, 1000]);
  assert.deepEqual(loudFromTo(answer), [1300, 1600]);
});

test("messages that come late do not move what they hold", () => {
  const recording = new Recording({ userHz: 16000, answerHz: 24000 });
  const late = (ms) => (ms % 200 === 0 ? 90 : 3);
  for (let ms = 0; ms < 1000; ms += 20) recording.user(ms >= 500 && ms < 600 ? loud(320) : silent(320), ms + 20 + late(ms));
  assert.deepEqual(loudFromTo(channels(recording.toWav())[0]).map((ms) => Math.round(ms / 5) * 5), [500, 600]);
});

test("a gap stays a gap, and a clock that is slow is put right each minute", () => {
  const gap = new Recording({ userHz: 16000, answerHz: 24000 });
  gap.user(loud(16000), 1000);
  gap.user(loud(16000), 5000);
  assert.equal(channels(gap.toWav())[0].length, 24 * 5000);
  const drifting = new Recording({ userHz: 24000, answerHz: 24000 });
  // A second of this microphone lasts 1002 ms: after three minutes it would be 360 ms off.
  for (let s = 1; s <= 180; s += 1) drifting.user(s === 180 ? loud(24000) : silent(24000), s * 1002);
  const [from] = loudFromTo(channels(drifting.toWav())[0]);
  assert.ok(Math.abs(from - 179 * 1002) < 130, `${from}`);
});

test("half an hour is kept, and nothing at all is an empty file", () => {
  const empty = new Recording({ userHz: 16000, answerHz: 24000 });
  assert.equal(empty.lastsMs, 0);
  assert.equal(empty.toWav().length, 44);
  const long = new Recording({ userHz: 100, answerHz: 100 });
  for (let s = 1; s <= 40 * 60; s += 1) long.user(silent(100), s * 1000);
  assert.ok(long.lastsMs >= 30 * 60_000 && long.lastsMs <= 32 * 60_000, `${long.lastsMs}`);
});
