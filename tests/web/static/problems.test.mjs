import assert from "node:assert/strict";
import { test } from "node:test";

import { audioProblem, closeProblem, engineProblem, environmentProblem, keyProblem, lossProblem, microphoneLost } from "../../../web/static/problems.js";
import { LANGUAGES, problemWords } from "../../../web/static/words.js";

const able = { isSecureContext: true, hasMediaDevices: true, hasAudioWorklet: true };
const none = { isSecureContext: false, hasMediaDevices: false, hasAudioWorklet: false };

test("nothing stands in the way of a secure page in a current browser", () => {
  assert.equal(environmentProblem(able, { port: "9060" }), null);
});

test("an insecure address is explained before anything else, with the address that works", () => {
  const problem = environmentProblem(none, { port: "9060" });
  assert.equal(problem.id, "insecure");
  assert.equal(problem.retry, false);
  for (const words of Object.values(LANGUAGES)) {
    assert.match(problemWords(words, problem).advice, /http:\/\/localhost:9060[ ，]/);
    assert.match(problemWords(words, environmentProblem(none, { port: "" })).advice, /http:\/\/localhost[ ，]/);
  }
});

test("a browser without live audio is told so", () => {
  assert.equal(environmentProblem({ ...able, hasMediaDevices: false }, { port: "" }).id, "unsupported");
  assert.equal(environmentProblem({ ...able, hasAudioWorklet: false }, { port: "" }).id, "unsupported");
});

test("each way a microphone fails has its own words", () => {
  const names = ["NotAllowedError", "NotFoundError", "OverconstrainedError", "NotReadableError", "OtherError", "toString"];
  const ids = names.map((name) => audioProblem({ name }).id);
  assert.deepEqual(ids, ["denied", "no-microphone", "no-microphone", "microphone-taken", "audio", "audio"]);
  assert.equal(audioProblem({ name: "X", message: "the graph is full" }).said, "the graph is full");
  assert.equal(audioProblem(undefined).said, "");
});

test("a wanted end is no problem, every other close code is", () => {
  assert.equal(closeProblem(1000, "", true), null);
  assert.deepEqual(closeProblem(1008, "Wrong key.", false), { id: "unauthorised", said: "Wrong key.", retry: false });
  assert.deepEqual(closeProblem(1008, "You stopped reading.", true), { id: "closed", said: "You stopped reading.", retry: true });
  assert.equal(closeProblem(1008, "session_replaced", true).id, "replaced");
  assert.deepEqual(closeProblem(1011, "The engine died.", true), { id: "engine-lost", said: "The engine died.", retry: true });
  assert.equal(closeProblem(4001, "", true).said, "4001");
});

test("a server that does not answer is explained by whether it is still there", () => {
  assert.equal(lossProblem({ serverAnswers: false }).id, "server-gone");
  assert.equal(lossProblem({ serverAnswers: true }).id, "refused");
});

test("busy and failed engines differ; the server's detail is kept", () => {
  assert.equal(engineProblem("busy", "").id, "busy");
  assert.equal(engineProblem("failed", "no model file").said, "no model file");
});

test("every problem has a title and advice in every language, with and without a word of the server's", () => {
  const all = [
    environmentProblem(none, { port: "" }), environmentProblem({ ...able, hasAudioWorklet: false }, { port: "" }),
    ...["NotAllowedError", "NotFoundError", "NotReadableError", "OtherError"].map((name) => audioProblem({ name })),
    keyProblem(), microphoneLost(), engineProblem("busy", ""), engineProblem("failed", ""),
    closeProblem(1008, "", false), closeProblem(1008, "session_replaced", true), closeProblem(1011, "", true), closeProblem(4001, "", true),
    lossProblem({ serverAnswers: true }), lossProblem({ serverAnswers: false }),
  ];
  for (const words of Object.values(LANGUAGES)) {
    assert.deepEqual(Object.keys(words.problems).sort(), [...new Set(all.map(({ id }) => id))].sort());
    for (const problem of all) {
      const { title, advice } = problemWords(words, problem);
      assert.ok(title.length > 3 && advice.length > 5, problem.id);
      const told = problemWords(words, { ...problem, said: "http://x.test" }).advice;
      assert.ok(told.length > 5 && !told.includes("undefined"), problem.id);
    }
  }
});
