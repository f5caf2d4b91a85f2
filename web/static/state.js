import { amend, append, closeOpenEntries, interrupted } from "./log.js";
import { latencyLedger } from "./protocol.js";

/**
 * What the page knows, as one immutable value, and how every event changes it. Times are milliseconds on one
 * monotonic clock handed in by the caller.
 *
 * link: "off" | "opening" (microphone) | "connecting" (no engine yet) | "queued" (others are before us) |
 * "waiting" (tries again by itself) | "resuming" (the connection was lost, the conversation was not) | "open".
 */
export const initialState = Object.freeze({
  link: "off",
  waitingFor: "",
  queue: null,
  engine: null,
  conversation: null,
  turns: null,
  muted: false,
  holding: false,
  userSpeaking: false,
  response: null,
  soundingId: null,
  interruptionShown: false,
  log: Object.freeze([]),
  latency: Object.freeze({ firstSoundMs: null, breakMs: null, ledger: Object.freeze({}), breakLedger: Object.freeze({}) }),
  speechStoppedAtMs: null,
  breakStart: null,
  problem: null,
  warning: null,
});

/**
 * @returns {"off" | "opening" | "connecting" | "queued" | "waiting" | "resuming" | "interrupted" | "user-speaking" |
 *   "answering" | "muted" | "listening"}
 */
export function phaseOf(state) {
  if (state.link !== "open") return state.link;
  if (state.interruptionShown) return "interrupted";
  if (state.userSpeaking || state.holding) return "user-speaking";
  if (isAnswering(state)) return "answering";
  return state.muted ? "muted" : "listening";
}

/** Whether there is an answer that could be stopped: being made, or still heard. */
export function isAnswering(state) {
  return (state.response !== null && !state.response.broken && !state.response.done) || state.soundingId !== null;
}

/** Whether a binary message that arrives now is to be played. */
export function admitsAudio(state) {
  return state.link === "open" && state.response !== null && !state.response.broken && !state.response.done;
}

/** Whether what the microphone hears now is for the server; else it is sent silence. */
export function isHeard(state) {
  return state.turns === "hold" ? state.holding : !state.muted;
}

/**
 * @param {typeof initialState} state
 * @param {{type: string}} event a server event, or one of the page's own (`page.…`); others change nothing. Events
 *   about speech may carry `spokenAtMs`: when it was said into the microphone, on the page's clock
 * @param {number} nowMs
 */
export function reduce(state, event, nowMs) {
  return Object.hasOwn(STEPS, event.type) ? { ...state, ...STEPS[event.type](state, event, nowMs) } : state;
}

const QUIET = {
  queue: null,
  userSpeaking: false,
  holding: false,
  response: null,
  soundingId: null,
  interruptionShown: false,
  speechStoppedAtMs: null,
  breakStart: null,
};

const STEPS = {
  "page.opening": (_state, { turns }) => ({
    ...QUIET,
    link: "opening",
    turns: turns ?? null,
    muted: false,
    log: [],
    problem: null,
    warning: null,
  }),
  "page.connecting": () => ({ ...QUIET, link: "connecting", problem: null }),
  "page.waiting": (state, { reason }) => ({
    ...QUIET,
    link: "waiting",
    waitingFor: reason,
    log: closeOpenEntries(state.log),
  }),
  "page.resuming": (state, { reason }, nowMs) =>
    state.link === "resuming" ? {} : { link: "resuming", waitingFor: reason, log: note(state.log, "lost", nowMs) },
  "page.off": (state, { problem }) => ({
    ...QUIET,
    link: "off",
    problem: problem ?? null,
    log: closeOpenEntries(state.log),
  }),
  "page.stop": (state, _event, nowMs) =>
    isAnswering(state) ? { ...broken(state, currentId(state)), breakStart: breakStart(state, nowMs) } : {},
  "page.muted": (_state, { muted }) => ({ muted }),
  "page.talk_pressed": (state, _event, nowMs) => ({
    holding: true,
    speechStoppedAtMs: null,
    log: append(state.log, { kind: "user", id: "held", atMs: nowMs, startMs: nowMs, durationMs: null, status: "open" }),
  }),
  "page.talk_released": (state, _event, nowMs) => ({
    holding: false,
    speechStoppedAtMs: nowMs,
    log: endSpeech(state.log, nowMs),
  }),
  "page.interruption_shown": () => ({ interruptionShown: false }),
  "page.sound_started": soundStarted,
  "page.sound_held": (state, _event, nowMs) =>
    state.breakStart ? { breakStart: { ...state.breakStart, silentAtMs: state.breakStart.silentAtMs ?? nowMs } } : {},
  "page.sound_ended": soundEnded,
  "page.sound_flushed": soundFlushed,
  "page.warning": (_state, { id }) => ({ warning: { id } }),
  "page.dismissed": () => ({ problem: null, warning: null }),

  "session.queued": queued,
  "session.queue_update": queued,
  "session.queue_done": () => ({ link: "connecting", queue: null }),
  "session.created": sessionCreated,
  "session.resumed": (state, _event, nowMs) => ({ link: "open", log: note(state.log, "resumed", nowMs) }),
  "session.model_info": (_state, { engine, stand_in: standIn, conversation }) => ({
    engine: { kind: engine, standIn: standIn === true },
    conversation,
  }),
  "session.warning": (_state, { code, message }) => ({ warning: { id: code, said: message } }),
  "session.closed": (_state, { reason }) => (reason ? { warning: { id: "closed", said: reason } } : {}),
  error: serverError,

  "input_audio_buffer.speech_started": speechStarted,
  "input_audio_buffer.speech_stopped": speechStopped,

  "response.created": (state, { response }, nowMs) => ({
    response: { id: response.id, broken: false, done: false, heard: false },
    interruptionShown: false,
    log: append(state.log, { kind: "answer", id: response.id, atMs: nowMs, text: "", heard: null, status: "open" }),
  }),
  "response.output_audio_transcript.delta": (state, { response_id: id, delta }) => ({
    log: amend(state.log, id, (entry) => ({ ...entry, text: entry.text + delta })),
  }),
  "output_audio_buffer.ducked": (state, { spokenAtMs }, nowMs) => ({ breakStart: breakStart(state, spokenAtMs ?? nowMs) }),
  "output_audio_buffer.resumed": () => ({ breakStart: null }),
  "output_audio_buffer.cleared": (state, { response_id: id, transcript }) =>
    currentId(state) === id || state.soundingId === id ? broken(state, id, transcript) : { log: cut(state.log, id, transcript) },
  "response.done": responseDone,
};

function queued(_state, { position, estimated_wait_s: estimatedWaitS }) {
  return { link: "queued", queue: { position, estimatedWaitS: estimatedWaitS ?? null } };
}

function sessionCreated(state, _event, nowMs) {
  if (state.log.length === 0) return { link: "open" };
  return { ...QUIET, link: "open", log: note(closeOpenEntries(state.log), "anew", nowMs) };
}

function note(log, id, nowMs) {
  return append(log, { kind: "note", id, atMs: nowMs, status: "completed" });
}

/** The answer a break would hit: the one being made or waiting to be heard, else the one still heard. */
function currentId({ response, soundingId }) {
  return response !== null && !response.broken && !response.heard ? response.id : soundingId;
}

/** `heardText` is what of the answer's text was heard, where the server tells. */
function broken(state, id, heardText) {
  return {
    response: state.response?.id === id ? { ...state.response, broken: true } : state.response,
    soundingId: null,
    interruptionShown: true,
    log: amend(state.log, id, (entry) => interrupted(entry, heardText)),
  };
}

/** What the server says of an answer that the page has stopped itself. */
function cut(log, id, heardText) {
  return amend(log, id, (entry) => (entry.status === "interrupted" ? interrupted(entry, heardText) : entry));
}

function breakStart(state, atMs) {
  return { responseId: currentId(state), atMs, silentAtMs: null };
}

function soundFlushed({ soundingId, breakStart: start, latency }, { responseId }, nowMs) {
  const silent = { soundingId: soundingId === responseId ? null : soundingId };
  if (start === null || start.responseId !== responseId) return silent;
  const breakMs = Math.max(0, Math.round((start.silentAtMs ?? nowMs) - start.atMs));
  return { ...silent, breakStart: null, latency: { ...latency, breakMs } };
}

function soundEnded({ soundingId, response }, { responseId }) {
  return {
    soundingId: soundingId === responseId ? null : soundingId,
    response: response?.id === responseId ? { ...response, heard: true } : response,
  };
}

function soundStarted(state, { responseId }, nowMs) {
  // Reports cross with the break on their way from the audio thread.
  if (state.response?.id === responseId && state.response.broken) return {};
  const since = state.speechStoppedAtMs;
  if (since === null) return { soundingId: responseId };
  const firstSoundMs = Math.max(0, Math.round(nowMs - since));
  return { soundingId: responseId, speechStoppedAtMs: null, latency: { ...state.latency, firstSoundMs } };
}

const RESUME_REFUSALS = new Set([
  "session_resume_expired",
  "invalid_resume_token",
  "invalid_session_resume",
  "session_resync_required",
]);

// The close that follows says the same, and what can be done about it.
const LAST_WORDS = new Set(["server_busy", "engine_lost", "invalid_api_key", "origin_refused"]);

function serverError(_state, { error }) {
  // The answer ended while the cancel was on its way: what the user wanted has happened.
  if (error?.code === "response_cancel_not_active") return {};
  // A new session begins on the same connection, and the log says so.
  if (RESUME_REFUSALS.has(error?.code) || LAST_WORDS.has(error?.code)) return {};
  return { warning: { id: error?.code ?? "error", said: error?.message ?? "" } };
}

function speechStarted(state, { audio_start_ms: startMs = 0, item_id: itemId, spokenAtMs }, nowMs) {
  const atMs = spokenAtMs ?? nowMs;
  const entry = { kind: "user", id: itemId ?? `user-${startMs}`, atMs, startMs, durationMs: null, status: "open" };
  // A hold began before it was known that somebody speaks; since when, is known only now.
  const held = state.breakStart?.responseId === currentId(state) ? state.breakStart : null;
  const start = { ...(held ?? breakStart(state, atMs)), atMs: Math.min(held?.atMs ?? atMs, atMs) };
  return {
    userSpeaking: true,
    speechStoppedAtMs: null,
    breakStart: isAnswering(state) ? start : null,
    log: append(state.log, entry),
  };
}

function speechStopped(state, { audio_end_ms: endMs, spokenAtMs }, nowMs) {
  return { userSpeaking: false, speechStoppedAtMs: spokenAtMs ?? nowMs, log: endSpeech(state.log, endMs) };
}

function endSpeech(log, endMs) {
  const entry = log.findLast(({ kind, status }) => kind === "user" && status === "open");
  if (!entry) return log;
  const durationMs = Number.isFinite(endMs) ? Math.max(0, Math.round(endMs - entry.startMs)) : null;
  return amend(log, entry.id, (open) => ({ ...open, status: "completed", durationMs }));
}

function responseDone(state, { response }) {
  const ledger = latencyLedger(response);
  const cancelled = response.status === "cancelled";
  const latency = Object.keys(ledger).length > 0 ? { ...state.latency, [cancelled ? "breakLedger" : "ledger"]: ledger } : state.latency;
  if (cancelled) {
    const alreadyShown = state.log.some(({ id, status }) => id === response.id && status === "interrupted");
    const stopped = alreadyShown ? {} : broken(state, response.id, heardTranscript(response));
    const current = stopped.response ?? state.response;
    return { ...stopped, latency, response: current?.id === response.id ? { ...current, done: true } : current };
  }
  return {
    latency,
    response: state.response?.id === response.id ? { ...state.response, done: true } : state.response,
    log: amend(state.log, response.id, (entry) => (entry.status === "open" ? { ...entry, status: "completed" } : entry)),
  };
}

function heardTranscript(response) {
  return response.output?.[0]?.content?.[0]?.transcript;
}
