import { CloseCode } from "./protocol.js";

/**
 * What went wrong, in words for the person at the page.
 * @typedef {{id: string, title: string, advice: string, retry: boolean}} Problem
 */

function problem(id, title, advice, retry = true) {
  return { id, title, advice, retry };
}

/**
 * Why this page cannot use a microphone at all.
 * @param {{isSecureContext: boolean, hasMediaDevices: boolean, hasAudioWorklet: boolean}} abilities
 * @param {{port: string}} location
 * @returns {Problem | null} null when nothing stands in the way
 */
export function environmentProblem(abilities, location) {
  if (!abilities.isSecureContext) {
    const local = `http://localhost${location.port ? `:${location.port}` : ""}`;
    return problem(
      "insecure",
      "This address is not secure, so the browser keeps the microphone closed",
      `Open ${local} on the machine that runs the server, or reach it over https or through an SSH tunnel.`,
      false,
    );
  }
  if (!abilities.hasMediaDevices || !abilities.hasAudioWorklet) {
    return problem(
      "unsupported",
      "This browser cannot do live audio",
      "Use a current Chrome, Edge, Firefox or Safari.",
      false,
    );
  }
  return null;
}

const MICROPHONE_PROBLEMS = {
  NotAllowedError: problem(
    "denied",
    "The microphone is not allowed",
    "Allow it for this page (the icon left of the address), and check the system's privacy settings. Then try again.",
  ),
  NotFoundError: problem("no-microphone", "No microphone was found", "Plug one in or switch it on, then try again."),
  NotReadableError: problem(
    "microphone-taken",
    "The microphone cannot be opened",
    "Another program may be using it. Close that program, then try again.",
  ),
};

/**
 * @param {{name?: string, message?: string}} error what `getUserMedia` or the audio graph threw
 * @returns {Problem}
 */
export function audioProblem(error) {
  return (
    MICROPHONE_PROBLEMS[error?.name] ??
    problem("audio", "The audio could not be started", error?.message || "Reload the page and try again.")
  );
}

/** The key in the page's address has characters that no browser can send. */
export function keyProblem() {
  return problem(
    "key",
    "The key in the address cannot be sent",
    "Keys for pages may hold letters, digits and -._~ only. Check the address, or give the server another key.",
    false,
  );
}

/** The microphone went away in the middle of a call. */
export function microphoneLost() {
  return problem("microphone-lost", "The microphone went away", "Plug it in again, then start a new conversation.");
}

/** @param {"busy" | "failed"} readiness as `engineReadiness` gives it */
export function engineProblem(readiness, detail) {
  if (readiness === "busy") {
    return problem("busy", "Someone else is talking right now", "Every engine is in use. Try again in a moment.");
  }
  return problem("engine-failed", "The engine is not running", detail || "Look at the server's log, then try again.");
}

/**
 * @param {number} code close code of the socket
 * @param {string} reason the server's words, may be empty
 * @param {boolean} wasOpen whether a conversation ran
 * @returns {Problem | null} null for an end everybody wanted
 */
export function closeProblem(code, reason, wasOpen) {
  if (code === CloseCode.NORMAL) return null;
  if (code === CloseCode.NOT_AUTHORISED && !wasOpen) {
    const advice = "Open it under the address the server printed, with #key=… if the server asks for a key.";
    return problem("unauthorised", "The server does not let this page in", `${reason} ${advice}`.trim(), false);
  }
  if (code === CloseCode.ENGINE_LOST) {
    return problem("engine-lost", "The engine stopped working", reason || "It is being restarted. Try again in a moment.");
  }
  return problem("closed", "The server ended the conversation", reason || `It gave the code ${code}.`);
}

/**
 * The socket ended without a word.
 * @param {{serverAnswers: boolean, wasOpen: boolean}} facts whether `/status` still answers, and whether a conversation ran
 * @returns {Problem}
 */
export function lossProblem({ serverAnswers, wasOpen }) {
  if (!serverAnswers) {
    return problem(
      "server-gone",
      "The server is gone",
      "Check that it is still running and that you are online, then try again.",
    );
  }
  return wasOpen
    ? problem("connection-lost", "The connection broke", "The server is still there. Start a new conversation.")
    : problem(
        "refused",
        "The server refused the conversation",
        "Open the page under the address the server printed, with #key=… if it asks for a key.",
      );
}
