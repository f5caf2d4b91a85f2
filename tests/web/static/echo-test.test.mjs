import assert from "node:assert/strict";
import { test } from "node:test";

import { chirp, findChirp, isHarmless, verdictOn, weigh } from "../../../web/static/echo-test.js";
import { clearSpeech } from "../../../web/static/loopback.js";

const RATE = 16000;

/** Four chirps, half a second apart, the first played at 300 ms, as a microphone hears them. */
function room({ delayMs, gain, noise = 0.0005, lastGain = gain }) {
  const heard = new Float32Array(RATE * 2.8);
  let seed = 7;
  for (let i = 0; i < heard.length; i += 1) {
    seed = (seed * 48271) % 2147483647;
    heard[i] = noise * (seed / 1073741823 - 1);
  }
  const one = chirp(RATE);
  const playedAt = [0, 1, 2, 3].map((i) => RATE * (0.3 + i * 0.5));
  for (const [i, at] of playedAt.entries()) {
    const from = at + Math.round((RATE * delayMs) / 1000);
    for (let k = 0; k < one.length && from + k < heard.length; k += 1) heard[from + k] += one[k] * (i === 3 ? lastGain : gain);
  }
  return { heard, playedAt };
}

const weighed = (of, options) => {
  const { heard, playedAt } = room(of);
  return weigh(heard, playedAt, RATE, options);
};

test("a chirp rises in 120 ms, begins and ends in silence", () => {
  const samples = chirp(RATE);
  assert.equal(samples.length, 1920);
  assert.ok(Math.abs(samples[0]) < 1e-6 && Math.abs(samples.at(-1)) < 1e-3);
  assert.ok(Math.max(...samples) > 0.45 && Math.max(...samples) <= 0.5);
});

test("a chirp is found where it is and as loud as it is", () => {
  const { heard, playedAt } = room({ delayMs: 87, gain: 0.1 });
  const found = findChirp(heard.subarray(playedAt[0]), chirp(RATE), RATE * 0.36);
  assert.ok(Math.abs(found.at - 0.087 * RATE) <= 1);
  assert.ok(Math.abs(found.gainDb + 20) < 0.2, `${found.gainDb}`);
  assert.ok(found.likeness > 0.9);
});

test("delay and echo are weighed down into the noise, and noise alone is no echo", () => {
  for (const delayMs of [5, 60, 250, 350]) assert.ok(Math.abs(weighed({ delayMs, gain: 0.05 }).delayMs - delayMs) <= 1, `${delayMs}`);
  assert.equal(weighed({ delayMs: 60, gain: 0 }).found, false);
  assert.equal(weighed({ delayMs: 60, gain: 0, noise: 0.2 }).found, false);
});

test("what the canceller has learnt by the last chirp counts", () => {
  const learnt = weighed({ delayMs: 60, gain: 0.2, lastGain: 0.0005 }, { last: true });
  assert.equal(isHarmless(learnt), true);
  assert.equal(isHarmless(weighed({ delayMs: 60, gain: 0.2, lastGain: 0.0005 })), false);
});

const quiet = { found: false, delayMs: null, gainDb: -90, quietDbfs: -60 };
const echo = { found: true, delayMs: 60, gainDb: -15, quietDbfs: -60 };

test("each finding has its verdict, and each verdict its settings", () => {
  const of = (raw, cancelled, loopback) => {
    const { id, echo: heard, route, lossDb } = verdictOn({ raw, cancelled, loopback });
    return [id, heard, route, lossDb];
  };
  assert.deepEqual(of({ ...quiet, quietDbfs: -110 }, quiet), ["deaf", "cancelled", "direct", null]);
  assert.deepEqual(of({ ...quiet, quietDbfs: -20 }, quiet), ["noisy", "cancelled", "direct", null]);
  assert.deepEqual(of(quiet, quiet), ["silent", "cancelled", "direct", null]);
  assert.deepEqual(of(echo, quiet), ["cancelled", "cancelled", "direct", 75]);
  assert.deepEqual(of(echo, { ...echo, gainDb: -45 }), ["cancelled", "cancelled", "direct", 30]);
  assert.deepEqual(of(echo, echo, quiet), ["loopback", "cancelled", "loopback", 0]);
  assert.deepEqual(of(echo, echo, echo), ["leaks", "open", "direct", 0]);
  assert.deepEqual(of(echo, echo), ["leaks", "open", "direct", 0]);
});

test("the loopback asks for more than a telephone's quality", () => {
  const sdp = "a=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n";
  assert.match(clearSpeech(sdp), /a=fmtp:111 minptime=10;useinbandfec=1;maxaveragebitrate=96000\r\n/);
});
