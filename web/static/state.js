import { latencyLedger } from "./protocol.js";

const LOG_LIMIT = 200;

/**
 * What the page knows, as one immutable value, and how every event changes it. Times are milliseconds on one
 * monotonic clock handed in by the caller.
 *
 * link: "off" | "opening" (microphone) | "connecting" (no engine yet) | "waiting" (tries again by itself) | "open".
 */
export const initialState = Object.freeze({
  link: "off",
  waitingFor: "",
  engine: null,
  conversation: null,
  userSpeaking: false,
  response: null,
  soundingId: null,
  interruptionShown: false,
  log: Object.freeze([]),
  latency: Object.freeze({ firstSoundMs: null, firstSoundBy: null, breakMs: null, ledger: Object.freeze({}) }),
  speechStoppedAtMs: null,
  breakStart: null,
  problem: null,
  warning: null,
});

/** @returns {"off" | "opening" | "connecting" | "waiting" | "interrupted" | "user-speaking" | "answering" | "listening"} */
export function phaseOf(state) {
  if (state.link !== "open") return state.link;
  if (state.interruptionShown) return "interrupted";
  if (state.userSpeaking) return "user-speaking";
  return isAnswering(state) ? "answering" : "listening";
}

/** Whether there is an answer that could be stopped: being made, or still heard. */
export function isAnswering(state) {
  return (state.response !== null && !state.response.broken && !state.response.done) || state.soundingId !== null;
}

/** Whether a binary message that arrives now is to be played. */
export function admitsAudio(state) {
  return state.link === "open" && state.response !== null && !state.response.broken && !state.response.done;
}

/**
 * @param {typeof initialState} state
 * @param {{type: string}} event a server event, or one of the page's own (`page.…`); others change nothing
 * @param {number} nowMs
 */
export function reduce(state, event, nowMs) {
  return Object.hasOwn(STEPS, event.type) ? { ...state, ...STEPS[event.type](state, event, nowMs) } : state;
}

const QUIET = {
  userSpeaking: false,
  response: null,
  soundingId: null,
  interruptionShown: false,
  speechStoppedAtMs: null,
  breakStart: null,
};

const STEPS = {
  "page.opening": () => ({ ...QUIET, link: "opening", log: [], problem: null, warning: null }),
  "page.connecting": () => ({ ...QUIET, link: "connecting", problem: null }),
  "page.waiting": (state, { reason }) => ({
    ...QUIET,
    link: "waiting",
    waitingFor: reason,
    log: closeOpenEntries(state.log),
  }),
  "page.off": (state, { problem }) => ({
    ...QUIET,
    link: "off",
    problem: problem ?? null,
    log: closeOpenEntries(state.log),
  }),
  "page.stop": (state, _event, nowMs) =>
    isAnswering(state) ? { ...broken(state, currentId(state)), breakStart: breakStart(state, nowMs) } : {},
  "page.interruption_shown": () => ({ interruptionShown: false }),
  "page.sound_started": soundStarted,
  "page.sound_ended": soundEnded,
  "page.sound_flushed": soundFlushed,
  "page.warning": (_state, { message }) => ({ warning: message }),
  "page.dismissed": () => ({ problem: null, warning: null }),

  "session.created": () => ({ link: "open" }),
  "session.model_info": (_state, { engine, stand_in: standIn, conversation }) => ({
    engine: { kind: engine, standIn: standIn === true },
    conversation,
  }),
  "session.warning": (_state, { code, message }) => ({ warning: message || code }),
  "session.closed": (_state, { reason }) => (reason ? { warning: `The conversation ended: ${reason}` } : {}),
  error: serverError,

  "input_audio_buffer.speech_started": speechStarted,
  "input_audio_buffer.speech_stopped": speechStopped,

  "response.created": (state, { response }) => ({
    response: { id: response.id, broken: false, done: false, heard: false },
    interruptionShown: false,
    log: append(state.log, { kind: "answer", id: response.id, text: "", status: "open" }),
  }),
  "response.output_audio_transcript.delta": (state, { response_id: id, delta }) => ({
    log: amend(state.log, id, (entry) => ({ ...entry, text: entry.text + delta })),
  }),
  "output_audio_buffer.cleared": (state, { response_id: id, transcript }) =>
    currentId(state) === id || state.soundingId === id ? broken(state, id, transcript) : {},
  "response.done": responseDone,
};

/** The answer a break would hit: the one being made or waiting to be heard, else the one still heard. */
function currentId({ response, soundingId }) {
  return response !== null && !response.broken && !response.heard ? response.id : soundingId;
}

/** `heard` is what of the answer's text was heard, where the server tells. */
function broken(state, id, heard) {
  return {
    response: state.response?.id === id ? { ...state.response, broken: true } : state.response,
    soundingId: null,
    interruptionShown: true,
    log: amend(state.log, id, (entry) => ({ ...entry, status: "interrupted", text: heard ?? entry.text })),
  };
}

function breakStart(state, nowMs) {
  return { responseId: currentId(state), atMs: nowMs };
}

function soundFlushed({ soundingId, breakStart: start, latency }, { responseId }, nowMs) {
  const silent = { soundingId: soundingId === responseId ? null : soundingId };
  if (start === null || start.responseId !== responseId) return silent;
  return {
    ...silent,
    breakStart: null,
    latency: { ...latency, breakMs: Math.max(0, Math.round(nowMs - start.atMs)) },
  };
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
  return {
    soundingId: responseId,
    speechStoppedAtMs: null,
    latency: { ...state.latency, firstSoundMs: Math.max(0, Math.round(nowMs - since)), firstSoundBy: "page" },
  };
}

function serverError(_state, { error }) {
  // The answer ended while the cancel was on its way: what the user wanted has happened.
  if (error?.code === "response_cancel_not_active") return {};
  return { warning: error?.message || error?.code || "The server reported an error" };
}

function speechStarted(state, { audio_start_ms: startMs = 0, item_id: itemId }, nowMs) {
  return {
    userSpeaking: true,
    speechStoppedAtMs: null,
    breakStart: isAnswering(state) ? breakStart(state, nowMs) : null,
    log: append(state.log, { kind: "user", id: itemId ?? `user-${startMs}`, startMs, durationMs: null, status: "open" }),
  };
}

function speechStopped(state, { audio_end_ms: endMs }, nowMs) {
  const entry = state.log.findLast(({ kind, status }) => kind === "user" && status === "open");
  return {
    userSpeaking: false,
    speechStoppedAtMs: nowMs,
    log: entry
      ? amend(state.log, entry.id, (open) => ({
          ...open,
          status: "completed",
          durationMs: Number.isFinite(endMs) ? Math.max(0, endMs - open.startMs) : null,
        }))
      : state.log,
  };
}

function responseDone(state, { response }) {
  const ledger = latencyLedger(response);
  const measured = ledger.speech_end_to_first_audio_ms;
  const latency = {
    ...state.latency,
    ...(measured === undefined ? {} : { firstSoundMs: Math.round(measured), firstSoundBy: "server" }),
    ...(Object.keys(ledger).length > 0 ? { ledger } : {}),
  };
  if (response.status === "cancelled") {
    const alreadyShown = state.log.some(({ id, status }) => id === response.id && status === "interrupted");
    const stopped = alreadyShown ? {} : broken(state, response.id);
    const current = stopped.response ?? state.response;
    return { ...stopped, latency, response: current?.id === response.id ? { ...current, done: true } : current };
  }
  return {
    latency,
    response: state.response?.id === response.id ? { ...state.response, done: true } : state.response,
    log: amend(state.log, response.id, (entry) => (entry.status === "open" ? { ...entry, status: "completed" } : entry)),
  };
}

function append(log, entry) {
  const key = (log.at(-1)?.key ?? 0) + 1;
  return [...log, { ...entry, key }].slice(-LOG_LIMIT);
}

function amend(log, id, change) {
  // The last one: after a reconnect a server may count its ids from the start again.
  const index = log.findLastIndex((entry) => entry.id === id);
  return index < 0 ? log : log.with(index, change(log[index]));
}

function closeOpenEntries(log) {
  return log.map((entry) => (entry.status === "open" ? { ...entry, status: "ended" } : entry));
}
