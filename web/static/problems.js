import { CloseCode } from "./protocol.js";

/**
 * What went wrong. The words for it are in words-en.js and words-zh.js under `problems`, by its `id`; `said` is what
 * the server or the browser said about it, which may be empty.
 * @typedef {{id: string, said: string, retry: boolean}} Problem
 */

function problem(id, { said = "", retry = true } = {}) {
  return { id, said, retry };
}

/**
 * Why this page cannot use a microphone at all.
 * @param {{isSecureContext: boolean, hasMediaDevices: boolean, hasAudioWorklet: boolean}} abilities
 * @param {{port: string}} location
 * @returns {Problem | null} null when nothing stands in the way
 */
export function environmentProblem(abilities, location) {
  if (!abilities.isSecureContext) {
    const address = `http://localhost${location.port ? `:${location.port}` : ""}`;
    return problem("insecure", { said: address, retry: false });
  }
  if (!abilities.hasMediaDevices || !abilities.hasAudioWorklet) return problem("unsupported", { retry: false });
  return null;
}

const MICROPHONE_PROBLEMS = {
  NotAllowedError: "denied",
  NotFoundError: "no-microphone",
  NotReadableError: "microphone-taken",
  // The microphone that was chosen is not there any more.
  OverconstrainedError: "no-microphone",
};

/**
 * @param {{name?: string, message?: string}} error what `getUserMedia` or the audio graph threw
 * @returns {Problem}
 */
export function audioProblem(error) {
  const id = Object.hasOwn(MICROPHONE_PROBLEMS, error?.name) ? MICROPHONE_PROBLEMS[error.name] : null;
  return id ? problem(id) : problem("audio", { said: error?.message ?? "" });
}

/** The key in the page's address has characters that no browser can send. */
export function keyProblem() {
  return problem("key", { retry: false });
}

/** The microphone went away in the middle of a call. */
export function microphoneLost() {
  return problem("microphone-lost");
}

/** @param {"busy" | "failed"} readiness as `engineReadiness` gives it */
export function engineProblem(readiness, detail) {
  return readiness === "busy" ? problem("busy") : problem("engine-failed", { said: detail });
}

/**
 * @param {number} code close code of the socket
 * @param {string} reason the server's words, may be empty
 * @param {boolean} wasOpen whether a conversation ran
 * @returns {Problem | null} null for an end everybody wanted
 */
export function closeProblem(code, reason, wasOpen) {
  if (code === CloseCode.NORMAL) return null;
  if (code === CloseCode.NOT_AUTHORISED && reason === "session_replaced") return problem("replaced");
  if (code === CloseCode.NOT_AUTHORISED && !wasOpen) return problem("unauthorised", { said: reason, retry: false });
  if (code === CloseCode.ENGINE_LOST) return problem("engine-lost", { said: reason });
  return problem("closed", { said: reason || String(code) });
}

/**
 * The server did not answer, or ended the socket without a word.
 * @param {{serverAnswers: boolean}} facts whether `/status` still answers
 * @returns {Problem}
 */
export function lossProblem({ serverAnswers }) {
  return problem(serverAnswers ? "refused" : "server-gone");
}
