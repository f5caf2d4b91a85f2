/** The wire of `/v1/realtime` in its binary dialect, as far as a page needs it. */

export const INPUT_RATE_HZ = 16000;
export const OUTPUT_RATE_HZ = 24000;

/** WebSocket close codes the server uses on purpose. */
export const CloseCode = Object.freeze({
  NORMAL: 1000,
  GOING_AWAY: 1001,
  ABNORMAL: 1006,
  NOT_AUTHORISED: 1008,
  TOO_BIG: 1009,
  ENGINE_LOST: 1011,
  RESTARTING: 1012,
  NO_ENGINE: 1013,
});

/**
 * How turns are taken, as the page offers it, and which conversation of the server each one is.
 * @typedef {"duplex" | "simplex" | "hold"} Turns
 */
const CONVERSATIONS = Object.freeze({ duplex: "duplex", simplex: "simplex", hold: "simplex" });

/**
 * @param {{protocol: string, host: string}} location where the page came from
 * @param {{turns?: Turns | null, language?: string, voice?: string | null, bargeIn?: string | null,
 *   echo?: "cancelled" | "open", pictures?: "normal" | "high", resume?: boolean}} wishes what is missing is left to the
 *   server
 */
export function realtimeUrl(location, wishes) {
  const { turns, language, voice, bargeIn, echo = "cancelled", pictures, resume } = wishes;
  const url = new URL(`${location.protocol === "https:" ? "wss:" : "ws:"}//${location.host}/v1/realtime`);
  const parameters = {
    audio: "binary",
    input_rate: String(INPUT_RATE_HZ),
    output_rate: String(OUTPUT_RATE_HZ),
    echo,
    conversation: CONVERSATIONS[turns],
    barge_in: bargeIn,
    language,
    voice,
    pictures: pictures === "high" ? "high" : null,
    resume: resume ? "1" : null,
  };
  for (const [name, value] of Object.entries(parameters)) if (value) url.searchParams.set(name, value);
  return url.href;
}

/**
 * Browsers cannot set headers on a WebSocket, so a key travels as a subprotocol.
 * @param {string | null} key
 * @returns {string[]}
 */
export function subprotocols(key) {
  return key ? ["realtime", `openai-insecure-api-key.${key}`] : [];
}

/**
 * @param {string} text a text message from the server
 * @returns {{type: string} | null} null for anything that is no event
 */
export function parseEvent(text) {
  try {
    const event = JSON.parse(text);
    return typeof event?.type === "string" ? event : null;
  } catch {
    return null;
  }
}

/**
 * Reads the latency ledger of a `response.done`.
 * @returns {Record<string, number>} the ledger's numbers by name, names ending in `_ms`; empty when there is none
 */
export function latencyLedger(response) {
  try {
    const ledger = JSON.parse(response.metadata["omni_duplex.latency"]);
    return Object.fromEntries(
      Object.entries(ledger).filter(([name, value]) => name.endsWith("_ms") && Number.isFinite(value)),
    );
  } catch {
    return {};
  }
}

/** Tells the server how much of a response has been heard. */
export function playbackAck(responseId, playedMs) {
  return { type: "playback.ack", response_id: responseId, played_ms: Math.max(0, Math.round(playedMs)) };
}

/** Asks the server to end the running response. */
export function responseCancel() {
  return { type: "response.cancel" };
}

/** Ends the session in an orderly way: the engine is free at once. */
export function sessionClose() {
  return { type: "session.close" };
}

/** From now on the page says itself when the user has finished. */
export function pushToTalk() {
  return { type: "session.update", session: { type: "realtime", audio: { input: { turn_detection: null } } } };
}

/** Push to talk: forget what was heard before the button was pressed. */
export function talkPressed() {
  return [{ type: "input_audio_buffer.clear" }];
}

/** Push to talk: what was said since is a turn, and is to be answered. */
export function talkReleased() {
  return [{ type: "input_audio_buffer.commit" }, { type: "response.create" }];
}

/** Pictures the model sees with the sound that follows. @param {string[]} jpegs base64 */
export function showPictures(jpegs) {
  return { type: "input_audio_buffer.append", audio: "", video_frames: jpegs };
}

/**
 * What `GET /status` means for someone who wants to talk.
 * @param {{engines: {state: string, detail?: string}[]}} status
 * @returns {{readiness: "ready" | "loading" | "busy" | "failed", detail: string}} `detail` is one line
 */
export function engineReadiness(status) {
  const engines = Array.isArray(status?.engines) ? status.engines : [];
  const first = (...states) => engines.find((engine) => states.includes(engine.state));
  for (const [readiness, engine] of [
    ["ready", first("ready")],
    ["loading", first("starting", "restarting")],
    ["busy", first("leased", "finishing")],
  ]) {
    if (engine) return { readiness, detail: firstLine(engine.detail) };
  }
  return { readiness: "failed", detail: firstLine(engines[0]?.detail) };
}

/** An engine that failed may tell its last output: that belongs in the server's log, not on a page. */
function firstLine(text) {
  return typeof text === "string" ? text.split("\n", 1)[0] : "";
}
