import assert from "node:assert/strict";
import { test } from "node:test";

import { SampleRing } from "../../../web/static/ring.js";

const samples = (...values) => Float32Array.from(values);

test("what goes in comes out once, in order, over any number of wraps", () => {
  const ring = new SampleRing(7);
  let next = 0;
  let expected = 0;
  for (let round = 0; round < 200; round += 1) {
    const piece = Float32Array.from({ length: (round % 5) + 1 }, () => next++);
    const taken = ring.write(piece);
    next -= piece.length - taken;
    const target = new Float32Array((round * 3) % 6);
    const count = ring.read(target);
    for (const value of target.subarray(0, count)) assert.equal(value, expected++);
  }
  assert.equal(next - expected, ring.available);
  assert.ok(expected > 250);
});

test("an underrun never replays old samples", () => {
  const ring = new SampleRing(4);
  ring.write(samples(1, 2, 3, 4));
  ring.read(new Float32Array(2));
  const target = new Float32Array(4).fill(-1);
  assert.equal(ring.read(target), 2);
  assert.deepEqual([...target], [3, 4, -1, -1]);
  assert.equal(ring.read(target), 0);
  assert.equal(ring.available, 0);
});

test("an overflow refuses the newest samples", () => {
  const ring = new SampleRing(3);
  assert.equal(ring.write(samples(1, 2)), 2);
  assert.equal(ring.write(samples(3, 4, 5)), 1);
  assert.equal(ring.free, 0);
  const target = new Float32Array(3);
  ring.read(target);
  assert.deepEqual([...target], [1, 2, 3]);
});

test("skip throws away the oldest, reading goes on behind it", () => {
  const ring = new SampleRing(5);
  ring.write(samples(1, 2, 3, 4));
  assert.equal(ring.skip(3), 3);
  ring.write(samples(5, 6));
  const target = new Float32Array(3);
  assert.equal(ring.read(target), 3);
  assert.deepEqual([...target], [4, 5, 6]);
  assert.equal(ring.skip(2), 0);
});

test("read honours offset and count", () => {
  const ring = new SampleRing(8);
  ring.write(samples(1, 2, 3, 4));
  const target = new Float32Array(4);
  assert.equal(ring.read(target, 1, 2), 2);
  assert.deepEqual([...target], [0, 1, 2, 0]);
  assert.equal(ring.read(target, 3), 1);
  assert.deepEqual([...target], [0, 1, 2, 3]);
});

test("a senseless capacity is refused", () => {
  for (const capacity of [0, -1, 1.5, Number.NaN]) assert.throws(() => new SampleRing(capacity), RangeError);
});
