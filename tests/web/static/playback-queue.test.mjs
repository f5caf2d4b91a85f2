import assert from "node:assert/strict";
import { test } from "node:test";

import { PlaybackQueue } from "../../../web/static/playback-queue.js";

// At 1 kHz one sample is one millisecond: the cushion is 60 samples, after running dry 320, the fade 5.
const queueAt1kHz = () => new PlaybackQueue(1000);
const level = (value, count) => new Float32Array(count).fill(value);

function pull(queue, count) {
  const out = new Float32Array(count).fill(9);
  const happened = queue.pull(out);
  return { out: [...out], happened: happened.map(({ kind, responseId }) => `${kind} ${responseId}`) };
}

test("silence while nothing is due", () => {
  const queue = queueAt1kHz();
  assert.deepEqual(pull(queue, 3), { out: [0, 0, 0], happened: [] });
  assert.equal(queue.position, null);
});

test("a response starts when the cushion is full, and says so once", () => {
  const queue = queueAt1kHz();
  queue.begin("a");
  queue.push(level(1, 59));
  assert.deepEqual(pull(queue, 2), { out: [0, 0], happened: [] });
  queue.push(level(1, 1));
  assert.deepEqual(pull(queue, 2), { out: [1, 1], happened: ["started a"] });
  assert.deepEqual(pull(queue, 2), { out: [1, 1], happened: [] });
  assert.deepEqual(queue.position, { responseId: "a", playedSamples: 4 });
  assert.equal(queue.queuedSamples, 56);
});

test("a response shorter than the cushion plays as soon as it is complete", () => {
  const queue = queueAt1kHz();
  queue.begin("a");
  queue.push(level(1, 3));
  queue.end("a");
  assert.deepEqual(pull(queue, 5), { out: [1, 1, 1, 0, 0], happened: ["started a", "ended a"] });
});

test("the end is told with the whole length, when the last sample went out", () => {
  const queue = queueAt1kHz();
  queue.begin("a");
  queue.push(level(1, 100));
  queue.end("a");
  assert.deepEqual(queue.pull(new Float32Array(100)), [{ kind: "started", responseId: "a", playedSamples: 0 }]);
  assert.deepEqual(queue.pull(new Float32Array(1)), [{ kind: "ended", responseId: "a", playedSamples: 100 }]);
  assert.equal(queue.position, null);
});

test("a response without any audio still ends", () => {
  const queue = queueAt1kHz();
  queue.begin("a");
  queue.end("a");
  assert.deepEqual(pull(queue, 1).happened, ["ended a"]);
});

test("running dry fades out, counts an underrun once and waits for a bigger cushion, then fades in", () => {
  const queue = queueAt1kHz();
  queue.begin("a");
  queue.push(level(1, 60));
  const { out, happened } = pull(queue, 64);
  assert.deepEqual(rounded(out.slice(53)), [1, 1, 0.8, 0.6, 0.4, 0.2, 0, 0, 0, 0, 0]);
  assert.deepEqual(happened, ["started a", "dry a"]);
  pull(queue, 64);
  assert.equal(queue.underruns, 1);
  queue.push(level(2, 479));
  assert.deepEqual(pull(queue, 1), { out: [0], happened: [] });
  queue.push(level(2, 1));
  assert.deepEqual(rounded(pull(queue, 6).out), [0.4, 0.8, 1.2, 1.6, 2, 2]);
  assert.deepEqual(queue.position, { responseId: "a", playedSamples: 66 });
});

test("the last samples wait for the fade only until it is known that no more will come", () => {
  const queue = queueAt1kHz();
  queue.begin("a");
  queue.push(level(1, 60));
  assert.deepEqual(pull(queue, 55).out, Array(55).fill(1));
  queue.end("a");
  assert.deepEqual(pull(queue, 6), { out: [1, 1, 1, 1, 1, 0], happened: ["ended a"] });
  assert.equal(queue.underruns, 0);
});

test("a gap makes the next answer start later, and a calm quarter of an hour makes it start at once again", () => {
  const queue = queueAt1kHz();
  const gap = (id) => {
    queue.begin(id);
    queue.push(level(1, 400));
    pull(queue, 500);
    queue.end(id);
    pull(queue, 1);
  };
  assert.equal(queue.cushionMs, 60);
  gap("a");
  assert.equal(queue.cushionMs, 90);
  for (let i = 0; i < 20; i += 1) gap(`b${i}`);
  assert.equal(queue.cushionMs, 400);
  for (let i = 0; i < 900; i += 1) {
    queue.begin(`c${i}`);
    queue.push(level(1, 1000));
    queue.end(`c${i}`);
    pull(queue, 1000);
  }
  assert.equal(queue.cushionMs, 60);
});

/** An hour of an answer from a server whose clock is `faster` than ours: words of 700 ms, pauses of 300 ms. */
function hourOf(faster) {
  const queue = queueAt1kHz();
  const out = new Float32Array(100);
  const words = Float32Array.from({ length: 1200 }, (_, i) => (i % 1000 < 700 ? 1 : 0));
  let made = 0;
  let most = 0;
  let heard = 0;
  queue.begin("a");
  queue.push(level(1, 250));
  for (let tenth = 0; tenth < 36_000; tenth += 1) {
    const due = Math.floor((tenth + 1) * 100 * faster) - made;
    queue.push(words.subarray(made % 1000, (made % 1000) + due));
    made += due;
    queue.pull(out);
    for (const value of out) heard += value === 0 ? 0 : 1;
    most = Math.max(most, queue.queuedSamples);
  }
  return { queue, most, made, heard };
}

test("over an hour a faster clock of the server costs pauses, not words, and the delay stays small", () => {
  const { queue, most, made, heard } = hourOf(1.0003);
  assert.ok(most < 700, `${most} ms waited`);
  assert.equal(queue.underruns, 0);
  assert.ok(queue.skippedSamples > 500);
  assert.ok(made * 0.7 + 250 - heard < 800, "every word was heard, but for what still waits");
});

test("over an hour a slower clock of the server makes few gaps, and each buys a bigger cushion", () => {
  const { queue } = hourOf(0.9999);
  assert.ok(queue.underruns <= 2, `${queue.underruns} gaps`);
  assert.equal(queue.skippedSamples, 0);
});

test("what the network held back and gives at once is caught up in the pauses", () => {
  const queue = queueAt1kHz();
  queue.begin("a");
  queue.push(Float32Array.from({ length: 4000 }, (_, i) => (i % 1000 < 700 ? 1 : 0)));
  for (let i = 0; i < 100; i += 1) pull(queue, 10);
  assert.equal(queue.queuedSamples, 4000 - 1000 - queue.skippedSamples);
  assert.ok(queue.skippedSamples >= 100 && queue.skippedSamples <= 180, `${queue.skippedSamples}`);
  assert.equal(queue.position.playedSamples, 1000 + queue.skippedSamples);
});

const rounded = (values) => [...values].map((value) => Math.round(value * 10) / 10);

test("a flush leaves only a short fade and nothing of it returns", () => {
  const queue = queueAt1kHz();
  queue.begin("a");
  queue.push(level(1, 500));
  pull(queue, 100);
  assert.deepEqual(queue.flush("a"), { playedSamples: 100, droppedSamples: 400 });
  assert.equal(queue.queuedSamples, 0);
  const { out, happened } = pull(queue, 10);
  assert.deepEqual(out.map((value) => Math.round(value * 10) / 10), [0.8, 0.6, 0.4, 0.2, 0, 0, 0, 0, 0, 0]);
  assert.deepEqual(happened, []);
  queue.push(level(1, 500));
  queue.end("a");
  assert.deepEqual(pull(queue, 2), { out: [0, 0], happened: [] });
});

test("a fade spans as many pulls as it needs", () => {
  const queue = queueAt1kHz();
  queue.begin("a");
  queue.push(level(1, 100));
  pull(queue, 10);
  queue.flush("a");
  const out = [...pull(queue, 2).out, ...pull(queue, 2).out, ...pull(queue, 2).out];
  assert.deepEqual(out.map((value) => Math.round(value * 10) / 10), [0.8, 0.6, 0.4, 0.2, 0, 0]);
});

test("a flush before the first sound is silent", () => {
  const queue = queueAt1kHz();
  queue.begin("a");
  queue.push(level(1, 30));
  assert.deepEqual(queue.flush("a"), { playedSamples: 0, droppedSamples: 30 });
  assert.deepEqual(pull(queue, 6).out, [0, 0, 0, 0, 0, 0]);
});

test("the next response plays after a flush, and only its own samples", () => {
  const queue = queueAt1kHz();
  queue.begin("a");
  queue.push(level(1, 200));
  pull(queue, 10);
  queue.flush("a");
  queue.begin("b");
  queue.push(level(3, 60));
  assert.deepEqual(pull(queue, 8).out.slice(5), [3, 3, 3]);
});

test("flushing a response takes the tail before it along, not the one behind it", () => {
  const queue = queueAt1kHz();
  queue.begin("a");
  queue.push(level(1, 70));
  queue.end("a");
  queue.begin("b");
  queue.push(level(2, 70));
  queue.begin("c");
  queue.push(level(3, 70));
  assert.deepEqual(queue.flush("b"), { playedSamples: 0, droppedSamples: 140 });
  assert.deepEqual(pull(queue, 2), { out: [3, 3], happened: ["started c"] });
});

test("the tail of a finished answer can be flushed too", () => {
  const queue = queueAt1kHz();
  queue.begin("a");
  queue.push(level(1, 200));
  queue.end("a");
  pull(queue, 20);
  assert.deepEqual(queue.flush("a"), { playedSamples: 20, droppedSamples: 180 });
});

test("flushing what is not queued changes nothing", () => {
  const queue = queueAt1kHz();
  queue.begin("a");
  queue.push(level(1, 100));
  assert.deepEqual(queue.flush("z"), { playedSamples: 0, droppedSamples: 0 });
  assert.deepEqual(queue.flush(undefined), { playedSamples: 0, droppedSamples: 0 });
  assert.equal(queue.queuedSamples, 100);
});

test("audio of no response is dropped; too much is refused and counted", () => {
  const queue = queueAt1kHz();
  queue.push(level(1, 100));
  assert.equal(queue.queuedSamples, 0);
  queue.begin("a");
  queue.push(level(1, 30_000));
  queue.push(level(1, 7));
  assert.equal(queue.queuedSamples, 30_000);
  assert.equal(queue.refusedSamples, 7);
});

test("a hold fades down, keeps the rest, and goes on with the very next sample", () => {
  const queue = queueAt1kHz();
  queue.begin("a");
  queue.push(new Float32Array(100).map((_, i) => i + 1));
  pull(queue, 10);
  queue.hold();
  assert.deepEqual(rounded(pull(queue, 8).out), rounded([11 * 0.8, 12 * 0.6, 13 * 0.4, 14 * 0.2, 0, 0, 0, 0]));
  assert.deepEqual(pull(queue, 500).out, Array(500).fill(0));
  assert.deepEqual(queue.position, { responseId: "a", playedSamples: 15 });
  assert.equal(queue.queuedSamples, 85);
  queue.release();
  assert.deepEqual(rounded(pull(queue, 7).out), rounded([16 * 0.2, 17 * 0.4, 18 * 0.6, 19 * 0.8, 20, 21, 22]));
  assert.equal(queue.underruns, 0);
});

test("a fade of a hold spans as many pulls as it needs, and may turn round", () => {
  const queue = queueAt1kHz();
  queue.begin("a");
  queue.push(level(1, 100));
  pull(queue, 10);
  queue.hold();
  assert.deepEqual(rounded([...pull(queue, 2).out, ...pull(queue, 1).out]), [0.8, 0.6, 0.4]);
  queue.release();
  assert.deepEqual(rounded(pull(queue, 4).out), [0.6, 0.8, 1, 1]);
});

test("what begins while held waits, and starts with a fade", () => {
  const queue = queueAt1kHz();
  queue.hold();
  queue.begin("a");
  queue.push(level(1, 100));
  assert.deepEqual(pull(queue, 3), { out: [0, 0, 0], happened: [] });
  queue.release();
  assert.deepEqual(pull(queue, 1).happened, ["started a"]);
});

test("running dry in the fade of a hold is silent until the release", () => {
  const queue = queueAt1kHz();
  queue.begin("a");
  queue.push(level(1, 60));
  pull(queue, 57);
  queue.hold();
  assert.deepEqual(rounded(pull(queue, 4).out), [0.4, 0.2, 0, 0]);
  queue.push(level(1, 400));
  assert.deepEqual(pull(queue, 2).out, [0, 0]);
  queue.release();
  assert.notEqual(pull(queue, 2).out[1], 0);
});

test("a flush ends a hold without another sound of the old answer", () => {
  const queue = queueAt1kHz();
  queue.begin("a");
  queue.push(level(1, 200));
  pull(queue, 10);
  queue.hold();
  pull(queue, 10);
  assert.deepEqual(queue.flush("a"), { playedSamples: 15, droppedSamples: 185 });
  queue.begin("b");
  queue.push(level(3, 60));
  assert.deepEqual(pull(queue, 2).out, [3, 3]);
});

test("a flush in the middle of the fade goes on fading from where it is", () => {
  const queue = queueAt1kHz();
  queue.begin("a");
  queue.push(level(1, 200));
  pull(queue, 10);
  queue.hold();
  pull(queue, 2);
  queue.flush("a");
  const { out } = pull(queue, 6);
  assert.ok(out[0] <= 0.6 && out[0] > 0 && out[5] === 0);
});

test("a flush of what is not queued ends a hold all the same", () => {
  const queue = queueAt1kHz();
  queue.begin("a");
  queue.push(level(1, 200));
  queue.hold();
  queue.flush("z");
  assert.deepEqual(pull(queue, 2).out, [1, 1]);
});
