import assert from "node:assert/strict";
import { test } from "node:test";

import { heardAndCut } from "../../../web/static/log.js";
import { admitsAudio, initialState, isAnswering, isHeard, phaseOf, reduce } from "../../../web/static/state.js";

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

test("a broken answer knows at which word it was cut, whoever says so first", () => {
  const events = [...OPEN, created("r1"), delta("r1", "one two three"), sound("started", "r1")];
  const after = (...more) => heardAndCut(play(more, play(events)).log.at(-1));
  const told = { ...cleared("r1"), transcript: "one two" };
  const item = { content: [{ transcript: "one two" }] };
  const toldAtTheEnd = { type: "response.done", response: { id: "r1", status: "cancelled", output: [item] } };
  assert.deepEqual(after(told), { heard: "one two", cut: " three" });
  assert.deepEqual(after(stop, told), { heard: "one two", cut: " three" });
  assert.deepEqual(after(toldAtTheEnd), { heard: "one two", cut: " three" });
  assert.deepEqual(after(cleared("r1")), { heard: "one two three", cut: "" });
  assert.deepEqual(after(stop), { heard: "one two three", cut: "" });
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
  for (const id of ["r1", "zz"]) assert.deepEqual(play([{ ...cleared(id), transcript: "" }], state), state);
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

test("ids that start over after a restart do not reach into the past", () => {
  const state = play([...OPEN, created("r1"), delta("r1", "old"), done("r1"), connecting, sessionCreated, created("r1"), delta("r1", "new")]);
  assert.deepEqual(state.log.map(({ kind, id, text }) => text ?? `${kind} ${id}`), ["old", "note anew", "new"]);
  assert.equal(new Set(state.log.map(({ key }) => key)).size, 3);
});

test("a lost connection keeps the conversation, and both ends of the gap are in the log", () => {
  const before = play([...OPEN, created("r1"), delta("r1", "Once"), sound("started", "r1")]);
  const lost = play([{ type: "page.resuming", reason: "" }], before);
  assert.equal(phaseOf(lost), "resuming");
  assert.equal(admitsAudio(lost), false);
  assert.equal(play([{ type: "page.resuming", reason: "" }], lost).log.length, lost.log.length);
  const back = play([{ type: "session.resumed" }, delta("r1", " upon")], lost);
  assert.equal(phaseOf(back), "answering");
  assert.equal(admitsAudio(back), true);
  assert.deepEqual(back.log.map(({ id, text }) => text ?? id), ["Once upon", "lost", "resumed"]);
});

test("a session that could not be resumed is followed by a new one, and nobody is warned", () => {
  const refused = { type: "error", error: { code: "session_resume_expired", message: "It has ended." } };
  const state = play([...OPEN, created("r1"), delta("r1", "Once"), { type: "page.resuming", reason: "" }, refused, sessionCreated]);
  assert.equal(phaseOf(state), "listening");
  assert.equal(isAnswering(state), false);
  assert.equal(state.warning, null);
  assert.deepEqual(state.log.map(({ id, status }) => `${id} ${status}`), ["r1 ended", "lost completed", "anew completed"]);
});

test("a place in the queue is shown until an engine is there", () => {
  const queued = play([opening, connecting, { type: "session.queued", position: 3, estimated_wait_s: 90, ticket: "t" }]);
  assert.equal(phaseOf(queued), "queued");
  assert.deepEqual(queued.queue, { position: 3, estimatedWaitS: 90 });
  const nearer = play([{ type: "session.queue_update", position: 1 }], queued);
  assert.deepEqual(nearer.queue, { position: 1, estimatedWaitS: null });
  const over = play([{ type: "session.queue_done" }], nearer);
  assert.equal(phaseOf(over), "connecting");
  assert.equal(phaseOf(play([sessionCreated], over)), "listening");
  assert.equal(play([{ type: "page.off" }], queued).queue, null);
});

test("muted, nobody is heard; a new call begins unmuted", () => {
  const muted = play([...OPEN, { type: "page.muted", muted: true }]);
  assert.equal(phaseOf(muted), "muted");
  assert.equal(isHeard(muted), false);
  assert.equal(phaseOf(play([created("r1")], muted)), "answering");
  assert.equal(isHeard(play([opening], muted)), true);
});

test("in push to talk the user is heard while the button is held, and the turn is in the log", () => {
  const ready = play([{ type: "page.opening", turns: "hold" }, connecting, sessionCreated]);
  assert.equal(isHeard(ready), false);
  const held = play([1000, { type: "page.talk_pressed" }], ready);
  assert.equal(isHeard(held), true);
  assert.equal(phaseOf(held), "user-speaking");
  const let_go = play([2500, { type: "page.talk_released" }], held);
  assert.equal(isHeard(let_go), false);
  assert.deepEqual(let_go.log.map(({ kind, durationMs, status }) => [kind, durationMs, status]), [["user", 1500, "completed"]]);
  assert.equal(play([2900, created("r1"), sound("started", "r1")], let_go).latency.firstSoundMs, 400);
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

test("the first sound is measured from the last word, not from when its end was noticed", () => {
  const told = { ...speechStopped, spokenAtMs: 1400 };
  const heard = play([...OPEN, speechStarted, 2000, told, created("r1"), 2345, sound("started", "r1")]);
  assert.equal(heard.latency.firstSoundMs, 945);
  assert.equal(play([...OPEN, speechStarted, 2000, speechStopped, created("r1"), 2345, sound("started", "r1")]).latency.firstSoundMs, 345);
});

test("the server's own times of an answer and of a break are kept apart", () => {
  const times = (of) => ({ "omni_duplex.latency": JSON.stringify(of) });
  const state = play([
    ...OPEN, created("r1"), done("r1", "completed", times({ speech_end_to_first_audio_ms: 912.4 })),
    created("r2"), done("r2", "cancelled", times({ onset_to_break_ms: 380 })), created("r3"), done("r3"),
  ]);
  assert.deepEqual(state.latency.ledger, { speech_end_to_first_audio_ms: 912.4 });
  assert.deepEqual(state.latency.breakLedger, { onset_to_break_ms: 380 });
});

test("a break that was held first is silent from the hold on, and began with the first word", () => {
  const ducked = { type: "output_audio_buffer.ducked", response_id: "r1", gain: 0 };
  const said = { ...speechStarted, spokenAtMs: 930 };
  const held = play([...OPEN, created("r1"), sound("started", "r1"), 1000, ducked, 1008, sound("held", "r1")]);
  const cut = play([1290, said, 1291, cleared("r1"), 1296, sound("flushed", "r1")], held);
  assert.equal(cut.latency.breakMs, 78);
  const released = play([1200, { type: "output_audio_buffer.resumed", response_id: "r1" }, 3000, speechStarted, cleared("r1"), 3010, sound("flushed", "r1")], held);
  assert.equal(released.latency.breakMs, 10);
});

test("warnings and errors are shown and can be dismissed; a late cancel is neither", () => {
  assert.deepEqual(play([{ type: "session.warning", code: "engine_restarted", message: "The engine restarted." }]).warning, { id: "engine_restarted", said: "The engine restarted." });
  assert.deepEqual(play([{ type: "error", error: { code: "x", message: "No." } }]).warning, { id: "x", said: "No." });
  assert.equal(play([{ type: "error", error: { code: "response_cancel_not_active", message: "No." } }]).warning, null);
  assert.equal(play([{ type: "error", error: { code: "server_busy", message: "Loading." } }]).warning, null);
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
