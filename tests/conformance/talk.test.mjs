// What the scripts of the Node clients share: which step follows what, and when it is over.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { fromBase64, Talk, toBase64 } from "../../conformance/callers/talk.mjs";

const CASES = JSON.parse(readFileSync(new URL("steps.json", import.meta.url)));
const PIECE = 960;
const FIRST = Buffer.alloc(2 * PIECE, 1);
const SECOND = Buffer.alloc(2 * PIECE, 2);
const LOUD = new Int16Array(12_000).fill(16_384).buffer;
const QUIET = new ArrayBuffer(LOUD.byteLength);

function talkAfter(...steps) {
  const talk = new Talk([FIRST, SECOND]);
  for (const step of steps) {
    const [what, answer] = step.split(" ");
    if (what === "connected") talk.connected();
    else if (what === "interrupted") talk.interrupted();
    else talk.heard({ heard: LOUD, silence: QUIET }[what], answer);
  }
  return talk;
}

for (const { steps, passed } of CASES) {
  test(`steps are passed in order: ${steps.join(", ")}`, () => {
    const talk = talkAfter(...steps);
    assert.deepEqual(talk.passed, passed);
    assert.equal(talk.error, null);
    assert.equal(talk.isOver, passed.length === 4);
  });
}

test("sound of the interrupted answer ends it, and the first reason stays", async () => {
  const talk = talkAfter("connected", "heard 1", "interrupted", "heard 1");
  talk.fail("Something else.");
  await talk.over;
  assert.match(talk.error, /interrupted answer/);
});

test("the microphone says each sentence once and is silent otherwise", async () => {
  const talk = talkAfter();
  const said = [];
  await talk.speak((piece) => {
    said.push(Buffer.from(piece));
    if (said.length === 2) talk.connected();
    if (said.length === 6) talk.heard(LOUD, "1");
    if (said.length === 10) talk.fail("enough");
  });
  const silence = Buffer.alloc(2 * PIECE);
  assert.deepEqual(Buffer.concat(said), Buffer.concat([silence, FIRST, silence, SECOND, silence]));
});

test("base64 gives a buffer of its own, and comes back", () => {
  const pcm = fromBase64("AQIDBA==");
  assert.deepEqual([...new Uint8Array(pcm)], [1, 2, 3, 4]);
  assert.equal(pcm.byteLength, 4);
  assert.equal(toBase64(pcm), "AQIDBA==");
});
