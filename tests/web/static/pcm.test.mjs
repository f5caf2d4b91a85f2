import assert from "node:assert/strict";
import { test } from "node:test";

import { CaptureFramer, float32ToInt16, int16ToFloat32, meterLevel, rms, samplesFromBytes } from "../../../web/static/pcm.js";

test("int16 survives the way through float", () => {
  const pcm = Int16Array.of(-32768, -12345, -1, 0, 1, 12345, 32767);
  assert.deepEqual(float32ToInt16(int16ToFloat32(pcm)), pcm);
});

test("too loud is clipped, never wrapped", () => {
  assert.deepEqual([...float32ToInt16(Float32Array.of(1, 1.5, -1, -2))], [32767, 32767, -32768, -32768]);
});

test("bytes are little-endian; a dangling byte is left out", () => {
  const bytes = Uint8Array.of(0x00, 0x40, 0x00, 0xc0, 0x7f).buffer;
  assert.deepEqual([...samplesFromBytes(bytes)], [0.5, -0.5]);
  assert.equal(samplesFromBytes(new ArrayBuffer(0)).length, 0);
});

test("rms of silence, of nothing and of a square wave", () => {
  assert.equal(rms(new Float32Array(10)), 0);
  assert.equal(rms(new Float32Array(0)), 0);
  assert.equal(rms(Float32Array.of(0.5, -0.5, 0.5, -0.5)), 0.5);
});

test("the meter rests on silence, is full on loud speech and rises in between", () => {
  assert.equal(meterLevel(0), 0);
  assert.equal(meterLevel(Number.NaN), 0);
  assert.equal(meterLevel(0.0001), 0);
  assert.equal(meterLevel(1), 1);
  assert.ok(meterLevel(0.01) > 0.1 && meterLevel(0.01) < meterLevel(0.1));
});

test("blocks of any size become whole frames, nothing lost or repeated", () => {
  for (const size of [1, 128, 320, 1000]) {
    const framer = new CaptureFramer({ fromHz: 16000, toHz: 16000, frameMs: 20 });
    const input = Float32Array.from({ length: 4000 }, (_, i) => (i - 2000) / 32768);
    const frames = [];
    for (let start = 0; start < input.length; start += size) frames.push(...framer.push(input.subarray(start, start + size)));
    assert.equal(frames.length, 12);
    assert.ok(frames.every(({ pcm }) => pcm.length === 320));
    const joined = frames.flatMap(({ pcm }) => [...pcm]);
    assert.deepEqual(joined, Array.from({ length: 12 * 320 }, (_, i) => i - 2000));
  }
});

test("each frame owns its samples", () => {
  const framer = new CaptureFramer({ fromHz: 16000, toHz: 16000, frameMs: 20 });
  const [first] = framer.push(new Float32Array(320).fill(0.25));
  framer.push(new Float32Array(320).fill(0.75));
  assert.ok(first.pcm.every((value) => value === 8192));
});

test("a microphone at another rate is resampled; its frames carry their level", () => {
  const framer = new CaptureFramer({ fromHz: 48000, toHz: 16000, frameMs: 20 });
  const frames = framer.push(Float32Array.from({ length: 48000 }, (_, i) => 0.1 * Math.sin(i / 30)));
  assert.equal(frames.length, 49);
  assert.ok(frames.slice(1).every(({ level }) => level > 0.5 && level < 0.9));
});
