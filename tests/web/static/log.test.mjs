import assert from "node:assert/strict";
import { test } from "node:test";

import { amend, append, closeOpenEntries, heardAndCut, interrupted } from "../../../web/static/log.js";

const answer = { kind: "answer", id: "a", text: "one two three", heard: null, status: "open" };

test("keys are unique however much is dropped", () => {
  let log = [];
  for (let i = 0; i < 450; i += 1) log = append(log, { ...answer, id: `a${i}` });
  assert.equal(log.length, 200);
  assert.equal(new Set(log.map(({ key }) => key)).size, 200);
  assert.equal(log.at(-1).key, 450);
});

test("the newest entry of an id is changed, and a stranger changes nothing", () => {
  const log = append(append([], answer), answer);
  const changed = amend(log, "a", (entry) => ({ ...entry, text: "new" }));
  assert.deepEqual(changed.map(({ text }) => text), ["one two three", "new"]);
  assert.equal(amend(log, "b", () => assert.fail()), log);
});

test("the cut is at the last character that was heard", () => {
  for (const [heardText, heard, cut] of [
    ["one two", "one two", " three"],
    ["", "", "one two three"],
    ["one two three", "one two three", ""],
    ["one four", "one ", "two three"],
    [undefined, "one two three", ""],
  ]) {
    assert.deepEqual(heardAndCut(interrupted(answer, heardText)), { heard, cut });
  }
});

test("what is still open when nothing more will come has ended", () => {
  const log = closeOpenEntries([answer, { ...answer, status: "completed" }]);
  assert.deepEqual(log.map(({ status }) => status), ["ended", "completed"]);
});
