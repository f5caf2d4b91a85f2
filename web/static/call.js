import { audioAbilities, Microphone, Speaker } from "./audio.js";
import { Connection } from "./connection.js";
import {
  audioProblem,
  closeProblem,
  engineProblem,
  environmentProblem,
  keyProblem,
  lossProblem,
  microphoneLost,
} from "./problems.js";
import { CloseCode, engineReadiness, playbackAck, realtimeUrl, responseCancel, subprotocols } from "./protocol.js";
import { admitsAudio, isAnswering } from "./state.js";

const RETRY_AFTER_MS = 2000;
// A server that restarts is back within seconds; after a minute of nothing it is gone.
const GIVE_UP_AFTER_MS = 60000;
const ACK_EVERY_MS = 200;
const STATUS_TIMEOUT_MS = 3000;
// Closes after which it is worth asking the server how it is.
const TEMPORARY = new Set([CloseCode.NO_ENGINE, CloseCode.RESTARTING, CloseCode.GOING_AWAY, CloseCode.ABNORMAL]);

/** One conversation: microphone, loudspeaker and socket, opened together and closed together. */
export class Call {
  #dispatch;
  #getState;
  #onLevels;
  #key;
  #microphone = null;
  #speaker = null;
  #playback = null;
  #connection = null;
  #retryTimer = null;
  #conversation = null;
  #attempt = 0;
  #lastAckAtMs = 0;
  #unreachableSinceMs = null;

  /**
   * @param {{
   *   dispatch: (event: {type: string}) => void,
   *   getState: () => typeof import("./state.js").initialState,
   *   onLevels: (levels: {microphone?: number, answer?: number}) => void,
   *   key: string | null,
   * }} page `onLevels` gets meter positions from 0 to 1
   */
  constructor({ dispatch, getState, onLevels, key }) {
    this.#dispatch = dispatch;
    this.#getState = getState;
    this.#onLevels = onLevels;
    this.#key = key;
  }

  /** The loudspeaker of the running call, for taps; null between calls. */
  get speaker() {
    return this.#speaker;
  }

  /** The loudspeaker's last report (see playback-worklet.js), for taps; null before the first. */
  get playback() {
    return this.#playback;
  }

  /** @param {"duplex" | "simplex" | null} conversation */
  async start(conversation) {
    this.#close();
    const attempt = this.#attempt;
    const obstacle = environmentProblem(audioAbilities(), window.location);
    if (obstacle) {
      this.end(obstacle);
      return;
    }
    this.#conversation = conversation;
    this.#dispatch({ type: "page.opening" });
    try {
      await this.#openAudio(attempt);
    } catch (error) {
      if (attempt === this.#attempt) this.end(audioProblem(error));
      return;
    }
    if (attempt === this.#attempt) this.#connect();
  }

  /** Silences the running answer at once and asks the server to end it. */
  stopAnswer() {
    const state = this.#getState();
    if (state.link !== "open" || !isAnswering(state)) return;
    this.#dispatch({ type: "page.stop" });
    this.#silence(state);
    this.#connection?.sendEvent(responseCancel());
  }

  /** @param {import("./problems.js").Problem | null} problem why, unless somebody wanted it */
  end(problem = null) {
    this.#close();
    this.#dispatch({ type: "page.off", problem });
  }

  async #openAudio(attempt) {
    const speaker = new Speaker();
    this.#speaker = speaker;
    const microphone = new Microphone();
    this.#microphone = microphone;
    try {
      // What a closed one still had on its way must not reach the next call.
      await speaker.open((report) => {
        if (speaker === this.#speaker) this.#onPlayback(report);
      });
      await microphone.open({
        onFrame: (pcm, level) => {
          if (microphone === this.#microphone) this.#onFrame(pcm, level);
        },
        onLost: () => this.end(microphoneLost()),
      });
    } finally {
      // Ended while the browser was asking: what was opened since has no owner any more.
      if (attempt !== this.#attempt) await Promise.all([speaker.close(), microphone.close()]);
    }
  }

  #connect() {
    this.#dispatch({ type: "page.connecting" });
    try {
      this.#connection = this.#newConnection();
    } catch {
      // The address is our own, so it can only be the subprotocol that carries the key.
      this.end(keyProblem());
    }
  }

  #newConnection() {
    return new Connection({
      url: realtimeUrl(window.location, this.#conversation),
      protocols: subprotocols(this.#key),
      onEvent: (event) => this.#onEvent(event),
      onAudio: (bytes) => {
        if (admitsAudio(this.#getState())) this.#speaker?.play(bytes);
      },
      onCongested: () =>
        this.#dispatch({ type: "page.warning", message: "The network is too slow: some of your speech was not sent." }),
      onClose: ({ code, reason }) => this.#onClose(code, reason),
    });
  }

  #onEvent(event) {
    this.#dispatch(event);
    if (event.type === "session.created") this.#unreachableSinceMs = null;
    else if (event.type === "response.created") this.#speaker?.begin(event.response.id);
    else if (event.type === "response.output_audio.done") this.#speaker?.end(event.response_id);
    else if (event.type === "response.done") this.#speaker?.end(event.response.id);
    else if (event.type === "output_audio_buffer.ducked") this.#speaker?.hold();
    else if (event.type === "output_audio_buffer.resumed") this.#speaker?.release();
    else if (event.type === "output_audio_buffer.cleared") this.#speaker?.flush(event.response_id);
  }

  #onFrame(pcm, level) {
    this.#onLevels({ microphone: level });
    if (this.#getState().link === "open") this.#connection?.sendAudio(pcm);
  }

  #onPlayback(report) {
    const { type, responseId, playedMs, level } = report;
    this.#playback = report;
    if (type === "position") {
      this.#onLevels({ answer: level });
      const nowMs = performance.now();
      if (nowMs - this.#lastAckAtMs < ACK_EVERY_MS) return;
      this.#lastAckAtMs = nowMs;
      this.#connection?.sendEvent(playbackAck(responseId, playedMs - (this.#speaker?.latencyMs ?? 0)));
      return;
    }
    if (type !== "started") this.#onLevels({ answer: 0 });
    if (type === "ended") this.#connection?.sendEvent(playbackAck(responseId, playedMs));
    this.#dispatch({ type: `page.sound_${type}`, responseId });
  }

  #onClose(code, reason) {
    this.#connection = null;
    const state = this.#getState();
    if (!TEMPORARY.has(code)) {
      this.end(closeProblem(code, reason, state.link === "open"));
      return;
    }
    this.#silence(state);
    this.#dispatch({ type: "page.waiting", reason });
    if (code === CloseCode.ABNORMAL) void this.#explainLoss(state.link === "open");
    else void this.#checkEngine({ patient: code !== CloseCode.NO_ENGINE, waited: false });
  }

  async #explainLoss(wasOpen) {
    const attempt = this.#attempt;
    const status = await fetchStatus(this.#key);
    if (attempt === this.#attempt) this.end(lossProblem({ serverAnswers: status !== null, wasOpen }));
  }

  /**
   * Decides whether waiting makes sense; if so, tries again by itself.
   * @param {{patient: boolean, waited: boolean}} how patient: a server that does not answer may come back
   */
  async #checkEngine({ patient, waited }) {
    const attempt = this.#attempt;
    const status = await fetchStatus(this.#key);
    if (attempt !== this.#attempt) return;
    if (status === null && !(patient && this.#mayComeBack())) {
      this.end(lossProblem({ serverAnswers: false, wasOpen: false }));
      return;
    }
    const { readiness, detail } = status === null ? { readiness: "loading", detail: "" } : engineReadiness(status);
    if (readiness === "busy" || readiness === "failed") {
      this.end(engineProblem(readiness, detail));
    } else if (readiness === "ready" && waited) {
      this.#connect();
    } else {
      if (detail) this.#dispatch({ type: "page.waiting", reason: detail });
      this.#retryTimer = setTimeout(() => this.#checkEngine({ patient, waited: true }), RETRY_AFTER_MS);
    }
  }

  #mayComeBack() {
    const nowMs = performance.now();
    this.#unreachableSinceMs ??= nowMs;
    return nowMs - this.#unreachableSinceMs <= GIVE_UP_AFTER_MS;
  }

  #silence({ response, soundingId }) {
    const responseIds = new Set([soundingId, response?.id ?? null]);
    responseIds.delete(null);
    for (const responseId of responseIds) this.#speaker?.flush(responseId);
  }

  #close() {
    this.#attempt += 1;
    clearTimeout(this.#retryTimer);
    this.#connection?.close();
    this.#connection = null;
    this.#unreachableSinceMs = null;
    void this.#microphone?.close();
    void this.#speaker?.close();
    this.#microphone = null;
    this.#speaker = null;
    this.#onLevels({ microphone: 0, answer: 0 });
  }
}

/**
 * Asks the server how its engines are.
 * @param {string | null} key
 * @returns {Promise<object | null>} null when there is no readable answer
 */
export async function fetchStatus(key) {
  try {
    const headers = key ? { Authorization: `Bearer ${key}` } : {};
    const response = await fetch("/status", {
      headers,
      cache: "no-store",
      signal: AbortSignal.timeout(STATUS_TIMEOUT_MS),
    });
    return response.ok ? await response.json() : null;
  } catch {
    return null;
  }
}
