import assert from "node:assert/strict";
import { test } from "node:test";

import { admitsAudio, initialState, isAnswering, phaseOf, reduce } from "../../../web/static/state.js";

/** Plays events onto a state. A number among them is the time, in ms, from then on. */
function play(events, from = initialState) {
  let nowMs = 0;
  let state = from;
  for (const event of events) {
    if (typeof event === "number") nowMs = event;
    else state = reduce(state, event, nowMs);
  }
  return state;
}

const opening = { type: "page.opening" };
const connecting = { type: "page.connecting" };
const sessionCreated = { type: "session.created", session: { id: "s1" } };
const OPEN = [opening, connecting, sessionCreated];
const speechStarted = { type: "input_audio_buffer.speech_started", audio_start_ms: 100, item_id: "u1" };
const speechStopped = { type: "input_audio_buffer.speech_stopped", audio_end_ms: 2400, item_id: "u1" };
const created = (id) => ({ type: "response.created", response: { id } });
const delta = (id, text) => ({ type: "response.output_audio_transcript.delta", response_id: id, delta: text });
const cleared = (id) => ({ type: "output_audio_buffer.cleared", response_id: id });
const done = (id, status = "completed", metadata = {}) => ({ type: "response.done", response: { id, status, metadata } });
const sound = (what, responseId) => ({ type: `page.sound_${what}`, responseId });
const stop = { type: "page.stop" };

test("the link is walked in order", () => {
  assert.equal(phaseOf(initialState), "off");
  assert.equal(phaseOf(play([opening])), "opening");
  assert.equal(phaseOf(play([opening, connecting])), "connecting");
  assert.equal(phaseOf(play([opening, connecting, { type: "page.waiting", reason: "loading" }])), "waiting");
  assert.equal(phaseOf(play(OPEN)), "listening");
});

test("listening, the user speaks, listening, an answer, listening", () => {
  const phases = [];
  let state = play(OPEN);
  for (const event of [speechStarted, speechStopped, created("r1"), sound("started", "r1"), done("r1"), sound("ended", "r1")]) {
    state = play([event], state);
    phases.push(phaseOf(state));
  }
  assert.deepEqual(phases, ["user-speaking", "listening", "answering", "answering", "answering", "listening"]);
});

test("an answer without sound ends with its done", () => {
  assert.equal(phaseOf(play([...OPEN, created("r1"), done("r1")])), "listening");
});

test("a break shows Interrupted until it has been shown, then who holds the floor", () => {
  const broken = play([...OPEN, created("r1"), sound("started", "r1"), speechStarted, cleared("r1")]);
  assert.equal(phaseOf(broken), "interrupted");
  assert.equal(isAnswering(broken), false);
  assert.equal(phaseOf(play([done("r1", "cancelled")], broken)), "interrupted");
  assert.equal(phaseOf(play([{ type: "page.interruption_shown" }], broken)), "user-speaking");
  assert.equal(phaseOf(play([{ type: "page.interruption_shown" }, speechStopped], broken)), "listening");
  assert.equal(phaseOf(play([created("r2")], play([speechStopped], broken))), "answering");
});

test("a broken answer keeps the words that were heard", () => {
  const events = [...OPEN, created("r1"), delta("r1", "one two three"), sound("started", "r1")];
  const textAfter = (event) => play([event], play(events)).log.at(-1).text;
  assert.equal(textAfter({ ...cleared("r1"), transcript: "one two" }), "one two");
  assert.equal(textAfter(cleared("r1")), "one two three");
  assert.equal(textAfter(stop), "one two three");
});

test("audio is admitted from created to done, never after a break", () => {
  const admitted = (...events) => admitsAudio(play([...OPEN, ...events]));
  assert.equal(admitted(), false);
  assert.equal(admitted(created("r1")), true);
  assert.equal(admitted(created("r1"), cleared("r1")), false);
  assert.equal(admitted(created("r1"), stop), false);
  assert.equal(admitted(created("r1"), done("r1")), false);
  assert.equal(admitted(created("r1"), done("r1", "cancelled")), false);
  assert.equal(admitted(created("r1"), cleared("r1"), created("r2")), true);
  assert.equal(admitted(created("r1"), { type: "page.off" }), false);
});

test("cleared of an answer that is over or unknown changes nothing", () => {
  const state = play([...OPEN, created("r1"), sound("started", "r1"), done("r1"), sound("ended", "r1"), created("r2")]);
  for (const id of ["r1", "zz"]) assert.deepEqual(play([cleared(id)], state), state);
  const heard = play([...OPEN, created("r1"), sound("started", "r1"), done("r1"), sound("ended", "r1")]);
  assert.deepEqual(play([cleared("r1")], heard), heard);
});

test("an answer that came too fast to have been heard yet can be cut", () => {
  const state = play([...OPEN, created("r1"), done("r1"), cleared("r1"), sound("flushed", "r1")]);
  assert.equal(state.log.at(-1).status, "interrupted");
});

test("a report of sound that crossed with the break brings no answer back", () => {
  const state = play([
    ...OPEN, created("r1"), cleared("r1"), sound("started", "r1"), sound("flushed", "r1"), { type: "page.interruption_shown" },
  ]);
  assert.equal(phaseOf(state), "listening");
  assert.equal(isAnswering(state), false);
});

test("the tail of a finished answer can be cut", () => {
  const tail = play([...OPEN, created("r1"), delta("r1", "Hello"), sound("started", "r1"), done("r1")]);
  const cut = play([cleared("r1")], tail);
  assert.equal(phaseOf(cut), "interrupted");
  assert.equal(cut.log.at(-1).status, "interrupted");
  assert.equal(cut.soundingId, null);
});

test("the transcript gathers deltas and says how each answer ended", () => {
  const state = play([
    ...OPEN, speechStarted, speechStopped,
    created("r1"), delta("r1", "I heard "), delta("r1", "2.3 s."), done("r1"),
    created("r2"), delta("r2", "Once up"), cleared("r2"), done("r2", "cancelled"),
    created("r3"), delta("r3", "And"),
  ]);
  assert.deepEqual(
    state.log.map(({ kind, text, status, durationMs }) => [kind, text ?? durationMs, status]),
    [["user", 2300, "completed"], ["answer", "I heard 2.3 s.", "completed"], ["answer", "Once up", "interrupted"], ["answer", "And", "open"]],
  );
  assert.equal(play([{ type: "page.off" }], state).log.at(-1).status, "ended");
  assert.deepEqual(play([opening], state).log, []);
});

test("a cancelled done without cleared breaks the answer as well", () => {
  const state = play([...OPEN, created("r1"), done("r1", "cancelled")]);
  assert.equal(phaseOf(state), "interrupted");
  assert.equal(state.log.at(-1).status, "interrupted");
});

test("ids that start over after a reconnect do not reach into the past", () => {
  const state = play([...OPEN, created("r1"), delta("r1", "old"), done("r1"), connecting, sessionCreated, created("r1"), delta("r1", "new")]);
  assert.deepEqual(state.log.map(({ text }) => text), ["old", "new"]);
  assert.equal(new Set(state.log.map(({ key }) => key)).size, 2);
});

test("the log is bounded", () => {
  const many = Array.from({ length: 500 }, (_, i) => [created(`r${i}`), done(`r${i}`)]).flat();
  const { log } = play([...OPEN, ...many]);
  assert.equal(log.length, 200);
  assert.equal(log.at(-1).id, "r499");
  assert.equal(new Set(log.map(({ key }) => key)).size, 200);
});

test("the break is measured from the user's first word to the silence", () => {
  const state = play([
    ...OPEN, created("r1"), sound("started", "r1"), 1000, speechStarted, 1030, cleared("r1"), 1042, sound("flushed", "r1"),
    9000, sound("flushed", "r1"),
  ]);
  assert.equal(state.latency.breakMs, 42);
});

test("the break is measured from the stop button too", () => {
  const state = play([...OPEN, created("r1"), sound("started", "r1"), 500, stop, 507, sound("flushed", "r1"), 600, cleared("r1"), 610, sound("flushed", "r1")]);
  assert.equal(state.latency.breakMs, 7);
  assert.equal(phaseOf(state), "interrupted");
});

test("the next answer may begin before the last one's silence is confirmed", () => {
  const state = play([...OPEN, created("r1"), sound("started", "r1"), 100, speechStarted, cleared("r1"), created("r2"), 120, sound("flushed", "r1")]);
  assert.equal(state.latency.breakMs, 20);
});

test("speech that breaks nothing is no break", () => {
  const state = play([...OPEN, 1000, speechStarted, speechStopped, created("r1"), 3000, sound("flushed", "r1"), sound("flushed", undefined)]);
  assert.equal(state.latency.breakMs, null);
});

test("stop without an answer changes nothing", () => {
  const state = play(OPEN);
  assert.deepEqual(play([stop], state), state);
});

test("the first sound is the page's own figure until the server tells better", () => {
  const heard = play([...OPEN, speechStarted, 2000, speechStopped, created("r1"), 2345, sound("started", "r1")]);
  assert.deepEqual([heard.latency.firstSoundMs, heard.latency.firstSoundBy], [345, "page"]);
  const metadata = { "omni_duplex.latency": '{"speech_end_to_first_audio_ms":912.4}' };
  const told = play([done("r1", "completed", metadata)], heard);
  assert.deepEqual([told.latency.firstSoundMs, told.latency.firstSoundBy], [912, "server"]);
  assert.deepEqual(told.latency.ledger, { speech_end_to_first_audio_ms: 912.4 });
});

test("warnings and errors are shown and can be dismissed; a late cancel is neither", () => {
  assert.equal(play([{ type: "session.warning", code: "engine_restarted", message: "The engine restarted." }]).warning, "The engine restarted.");
  assert.equal(play([{ type: "error", error: { code: "x", message: "No." } }]).warning, "No.");
  assert.equal(play([{ type: "error", error: { code: "response_cancel_not_active", message: "No." } }]).warning, null);
  assert.equal(play([{ type: "session.warning", code: "c" }, { type: "page.dismissed" }]).warning, null);
});

test("the engine is introduced; strangers change nothing", () => {
  const state = play([...OPEN, { type: "session.model_info", engine: "parrot", stand_in: true, conversation: "duplex", ignored: [] }]);
  assert.deepEqual(state.engine, { kind: "parrot", standIn: true });
  assert.equal(state.conversation, "duplex");
  for (const type of ["response.listen", "made.up", "toString", "constructor"]) assert.equal(reduce(state, { type }, 0), state);
});

test("the state is never changed in place", () => {
  const freeze = (value) => (value && typeof value === "object" ? (Object.values(value).forEach(freeze), Object.freeze(value)) : value);
  let state = freeze(structuredClone(initialState));
  for (const event of [...OPEN, speechStarted, speechStopped, created("r1"), delta("r1", "x"), sound("started", "r1"), cleared("r1"), done("r1", "cancelled")]) {
    state = freeze(reduce(state, event, 0));
  }
  assert.equal(phaseOf(state), "interrupted");
});
