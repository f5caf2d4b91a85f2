import assert from "node:assert/strict";
import { test } from "node:test";

import { audioProblem, closeProblem, engineProblem, environmentProblem, lossProblem } from "../../../web/static/problems.js";

const able = { isSecureContext: true, hasMediaDevices: true, hasAudioWorklet: true };

test("nothing stands in the way of a secure page in a current browser", () => {
  assert.equal(environmentProblem(able, { port: "9060" }), null);
});

test("an insecure address is explained before anything else, with the address that works", () => {
  const none = { isSecureContext: false, hasMediaDevices: false, hasAudioWorklet: false };
  const problem = environmentProblem(none, { port: "9060" });
  assert.equal(problem.id, "insecure");
  assert.match(problem.advice, /http:\/\/localhost:9060 /);
  assert.match(environmentProblem(none, { port: "" }).advice, /http:\/\/localhost /);
  assert.equal(problem.retry, false);
});

test("a browser without live audio is told so", () => {
  assert.equal(environmentProblem({ ...able, hasMediaDevices: false }, { port: "" }).id, "unsupported");
  assert.equal(environmentProblem({ ...able, hasAudioWorklet: false }, { port: "" }).id, "unsupported");
});

test("each way a microphone fails has its own words", () => {
  const ids = ["NotAllowedError", "NotFoundError", "NotReadableError", "OtherError"].map((name) => audioProblem({ name }).id);
  assert.deepEqual(ids, ["denied", "no-microphone", "microphone-taken", "audio"]);
  assert.equal(audioProblem({ name: "X", message: "the graph is full" }).advice, "the graph is full");
  assert.ok(audioProblem(undefined).advice.length > 10);
});

test("a wanted end is no problem, every other close code is", () => {
  assert.equal(closeProblem(1000, "", true), null);
  assert.equal(closeProblem(1008, "", false).id, "unauthorised");
  assert.match(closeProblem(1008, "Wrong key.", false).advice, /^Wrong key\. .*#key=/);
  assert.deepEqual(closeProblem(1008, "You stopped reading.", true).advice, "You stopped reading.");
  assert.equal(closeProblem(1011, "", true).id, "engine-lost");
  assert.equal(closeProblem(1011, "The engine died.", true).advice, "The engine died.");
  assert.match(closeProblem(4001, "", true).advice, /4001/);
});

test("a lost socket is explained by whether the server still answers", () => {
  assert.equal(lossProblem({ serverAnswers: false, wasOpen: true }).id, "server-gone");
  assert.equal(lossProblem({ serverAnswers: true, wasOpen: true }).id, "connection-lost");
  assert.equal(lossProblem({ serverAnswers: true, wasOpen: false }).id, "refused");
});

test("busy and failed engines differ; the server's detail is shown", () => {
  assert.equal(engineProblem("busy", "").id, "busy");
  assert.equal(engineProblem("failed", "no model file").advice, "no model file");
  assert.ok(engineProblem("failed", "").advice.length > 10);
});
