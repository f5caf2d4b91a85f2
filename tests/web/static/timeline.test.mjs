import assert from "node:assert/strict";
import { test } from "node:test";

import { Timeline, sizeOf } from "../../../web/static/timeline.js";
import { drawTimeline, PICTURE_HEIGHT } from "../../../web/static/timeline-picture.js";
import { LANGUAGES } from "../../../web/static/words.js";

test("stretches open and close, and close only once", () => {
  const timeline = new Timeline();
  timeline.end("speech", 5);
  timeline.begin("speech", 10);
  timeline.begin("speech", 20);
  timeline.end("speech", 30);
  timeline.end("speech", 40);
  timeline.begin("speech", 50);
  assert.deepEqual(timeline.view(60).spans.speech, [{ fromMs: 10, toMs: 30 }, { fromMs: 50, toMs: null }]);
});

test("a stretch never ends before it begins", () => {
  const timeline = new Timeline();
  timeline.begin("held", 10);
  timeline.end("held", 5);
  assert.deepEqual(timeline.view(60).spans.held, [{ fromMs: 10, toMs: 10 }]);
});

test("pieces that touch are one stretch", () => {
  const timeline = new Timeline();
  timeline.span("sent", 0, 100);
  timeline.span("sent", 130, 230, 50);
  timeline.span("sent", 500, 600, 50);
  assert.deepEqual(timeline.view(600).spans.sent, [{ fromMs: 0, toMs: 230 }, { fromMs: 500, toMs: 600 }]);
});

test("a snapshot stays as it is", () => {
  const timeline = new Timeline();
  timeline.begin("speech", 10);
  const before = timeline.snapshot(20);
  timeline.end("speech", 30);
  timeline.mark("break", 30, 120);
  assert.deepEqual(before.spans.speech, [{ fromMs: 10, toMs: null }]);
  assert.deepEqual(before.marks, []);
});

test("an hour of it takes no more room than a few minutes", () => {
  const timeline = new Timeline();
  for (let ms = 0; ms < 3_600_000; ms += 20) timeline.level("microphone", ms, 0.5, 20);
  for (let ms = 0; ms < 3_600_000; ms += 1000) timeline.mark("break", ms);
  assert.ok(sizeOf(timeline.view(3_600_000)) < 8000);
});

/** A canvas that remembers what was drawn on it. */
function recorder() {
  const calls = [];
  const notes = {
    measureText: (text) => ({ width: text.length * 6 }),
    fillText: (text, x, y) => calls.push({ text, x, y }),
    fillRect: (x, y, width, height) => calls.push({ rect: [x, y, width, height] }),
    roundRect: (x, y, width, height) => calls.push({ span: [x, y, width, height] }),
  };
  const canvas = new Proxy(notes, { get: (target, name) => target[name] ?? (() => {}), set: () => true });
  return { canvas, calls };
}

const look = {
  width: 1000, spanMs: 10000, font: "sans-serif", words: { lanes: LANGUAGES.en.inside.lanes, marks: LANGUAGES.en.inside.marks },
  colours: { ground: "#fff", line: "#ddd", ink: "#000", quiet: "#555", user: "#a50", answer: "#44e", cut: "#b13" },
};

test("the picture shows each thing where it was, and nothing from before", () => {
  const timeline = new Timeline();
  timeline.level("microphone", 1000, 1, 20);
  timeline.level("microphone", 15000, 1, 20);
  timeline.span("speech", 14000, 16000);
  timeline.begin("held", 19000);
  timeline.mark("break", 18000, 131.6);
  const { canvas, calls } = recorder();
  drawTimeline(canvas, timeline.view(20000), look);
  const rects = calls.filter(({ rect }) => rect).slice(1);
  assert.deepEqual(rects.map(({ rect: [x, , width] }) => [x, width]), [[500, 2]]);
  assert.deepEqual(calls.filter(({ span }) => span).map(({ span: [x, , width] }) => [x, width]), [[400, 200], [900, 100]]);
  assert.ok(calls.some(({ text, x }) => text === "cut off 132 ms" && x === 805));
  for (const { rect, span } of calls) if (rect ?? span) assert.ok((rect ?? span)[1] + (rect ?? span)[3] <= PICTURE_HEIGHT);
});

test("marks that would write over each other take another row, or say nothing", () => {
  const timeline = new Timeline();
  for (const atMs of [15000, 15001, 15002]) timeline.mark("underrun", atMs);
  const { canvas, calls } = recorder();
  drawTimeline(canvas, timeline.view(20000), look);
  const rows = calls.filter(({ text }) => text === "gap").map(({ y }) => y);
  assert.equal(rows.length, 2);
  assert.notEqual(rows[0], rows[1]);
});
