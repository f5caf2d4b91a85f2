import assert from "node:assert/strict";
import { test } from "node:test";

import { StreamResampler } from "../../../web/static/resampler.js";

const tone = (hz, rateHz, count) => Float32Array.from({ length: count }, (_, i) => Math.sin((2 * Math.PI * hz * i) / rateHz));

function inPieces(resampler, samples, sizes) {
  const out = [];
  let start = 0;
  for (let i = 0; start < samples.length; i += 1) {
    const size = sizes[i % sizes.length];
    out.push(...resampler.push(samples.subarray(start, start + size)));
    start += size;
  }
  return out;
}

const level = (samples) => Math.sqrt(samples.reduce((sum, value) => sum + value * value, 0) / samples.length);

for (const [fromHz, toHz] of [[48000, 16000], [44100, 16000], [24000, 48000], [24000, 44100], [8000, 16000]]) {
  test(`${fromHz} to ${toHz} Hz keeps a 1 kHz tone: shape, place and number of samples`, () => {
    const out = new StreamResampler(fromHz, toHz).push(tone(1000, fromHz, fromHz));
    const ideal = tone(1000, toHz, toHz);
    assert.ok(Math.abs(out.length - toHz) < toHz / 500, `${out.length} samples`);
    for (let i = 200; i < out.length; i += 1) assert.ok(Math.abs(out[i] - ideal[i]) < 0.005, `sample ${i}`);
  });

  test(`${fromHz} to ${toHz} Hz: how the stream is cut makes no difference`, () => {
    const input = tone(440, fromHz, 5000);
    const whole = [...new StreamResampler(fromHz, toHz).push(input)];
    const pieces = inPieces(new StreamResampler(fromHz, toHz), input, [128, 1, 0, 7, 441, 3000]);
    assert.deepEqual(pieces, whole);
  });
}

test("what would fold back into speech is gone", () => {
  for (const hz of [9500, 12000, 15000, 20000]) {
    const out = new StreamResampler(48000, 16000).push(tone(hz, 48000, 48000)).slice(200);
    assert.ok(20 * Math.log10(level(out) * Math.SQRT2) < -55, `${hz} Hz`);
  }
});

test("speech frequencies pass", () => {
  for (const hz of [100, 3000, 6000]) {
    const out = new StreamResampler(48000, 16000).push(tone(hz, 48000, 48000)).slice(200);
    assert.ok(Math.abs(20 * Math.log10(level(out) * Math.SQRT2)) < 0.5, `${hz} Hz`);
  }
});

test("equal rates pass samples through untouched", () => {
  const input = tone(440, 16000, 128);
  assert.equal(new StreamResampler(16000, 16000).push(input), input);
});

test("senseless rates are refused", () => {
  for (const [fromHz, toHz] of [[0, 16000], [16000, -1], [44100.5, 16000]]) {
    assert.throws(() => new StreamResampler(fromHz, toHz), RangeError);
  }
});
