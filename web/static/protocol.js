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
 * @param {{protocol: string, host: string}} location where the page came from
 * @param {"duplex" | "simplex" | null} conversation null leaves the choice to the server
 */
export function realtimeUrl(location, conversation) {
  const url = new URL(`${location.protocol === "https:" ? "wss:" : "ws:"}//${location.host}/v1/realtime`);
  url.searchParams.set("audio", "binary");
  url.searchParams.set("input_rate", String(INPUT_RATE_HZ));
  url.searchParams.set("output_rate", String(OUTPUT_RATE_HZ));
  // The page asks the browser for echo cancellation (audio.js).
  url.searchParams.set("echo", "cancelled");
  if (conversation) url.searchParams.set("conversation", conversation);
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
