import { Connection } from "./connection.js";
import { closeProblem, engineProblem, keyProblem, lossProblem } from "./problems.js";
import { CloseCode, engineReadiness, realtimeUrl, sessionClose, subprotocols } from "./protocol.js";
import { Resumption } from "./resumption.js";
import { fetchStatus } from "./status.js";

const RETRY_AFTER_MS = 2000;
// A connection that was lost is tried again at once, then ever more slowly.
const FIRST_PAUSE_MS = 250;
// A server that restarts is back within seconds; after a minute of nothing it is gone.
const GIVE_UP_AFTER_MS = 60000;
// Closes after which it is worth trying again.
const TEMPORARY = new Set([CloseCode.NO_ENGINE, CloseCode.RESTARTING, CloseCode.GOING_AWAY, CloseCode.ABNORMAL]);

/**
 * The way to the server, over as many connections as it takes: waits while an engine loads, and goes on with the
 * conversation when a connection was lost.
 */
export class Line {
  #handlers;
  #key;
  #wishes = {};
  #connection = null;
  #resumption = new Resumption();
  #timer = null;
  #isOpen = false;
  #isResuming = false;
  #tries = 0;
  #unreachableSinceMs = null;
  #closed = false;

  /**
   * @param {{
   *   key: string | null,
   *   onEvent: (event: {type: string}) => void,
   *   onAudio: (bytes: ArrayBuffer) => void,
   *   onSent: (event: {type: string}) => void,
   *   dispatch: (event: {type: string}) => void,
   *   onEnd: (problem: import("./problems.js").Problem | null) => void,
   * }} page `dispatch` takes the page's own events; `onEnd` comes once, and nothing after it
   */
  constructor({ key, ...handlers }) {
    this.#key = key;
    this.#handlers = handlers;
    window.addEventListener("online", this.#hurry);
    window.addEventListener("offline", this.#lose);
  }

  /** @param {object} wishes see `realtimeUrl` */
  open(wishes) {
    this.#wishes = wishes;
    this.#connect();
  }

  /** @param {ArrayBuffer} pcm one frame @returns {boolean} false when it was dropped */
  sendAudio(pcm) {
    return this.#isOpen && this.#connection !== null && this.#connection.sendAudio(pcm);
  }

  /** @param {{type: string}} event lost when no connection is open */
  sendEvent(event) {
    if (!this.#isOpen) return;
    this.#connection?.sendEvent(event);
    this.#handlers.onSent(event);
  }

  /** Ends the session: its engine is free at once. */
  close() {
    if (this.#closed) return;
    this.#closed = true;
    window.removeEventListener("online", this.#hurry);
    window.removeEventListener("offline", this.#lose);
    clearTimeout(this.#timer);
    if (this.#isOpen) this.#connection?.sendEvent(sessionClose());
    this.#connection?.close();
    this.#connection = null;
  }

  #end(problem) {
    if (this.#closed) return;
    this.close();
    this.#handlers.onEnd(problem);
  }

  #connect() {
    this.#isResuming = this.#resumption.possible;
    if (!this.#isResuming) this.#handlers.dispatch({ type: "page.connecting" });
    try {
      this.#connection = new Connection({
        url: realtimeUrl(window.location, { ...this.#wishes, resume: this.#isResuming }),
        protocols: subprotocols(this.#key),
        onOpen: () => {
          if (this.#isResuming) this.#connection.sendEvent(this.#resumption.request());
        },
        onEvent: (event) => this.#onEvent(event),
        onAudio: (bytes) => {
          this.#resumption.receivedBinary();
          this.#handlers.onAudio(bytes);
          this.#acknowledge();
        },
        onCongested: () => this.#handlers.dispatch({ type: "page.warning", id: "congested" }),
        onStalled: this.#lose,
        onClose: ({ code, reason }) => this.#onClose(code, reason),
      });
    } catch {
      // The address is our own, so it can only be the subprotocol that carries the key.
      this.#end(keyProblem());
    }
  }

  #onEvent(event) {
    this.#resumption.receivedEvent(event);
    if (event.type === "session.created" || event.type === "session.resumed") {
      this.#isOpen = true;
      this.#tries = 0;
      this.#unreachableSinceMs = null;
    }
    this.#handlers.onEvent(event);
    this.#acknowledge();
  }

  #acknowledge() {
    const acknowledgement = this.#isOpen ? this.#resumption.acknowledgement() : null;
    if (acknowledgement) this.#connection?.sendEvent(acknowledgement);
  }

  #onClose(code, reason) {
    const wasOpen = this.#isOpen;
    this.#connection = null;
    this.#isOpen = false;
    if (!TEMPORARY.has(code)) {
      this.#end(closeProblem(code, reason, wasOpen || this.#resumption.possible));
    } else if (code === CloseCode.NO_ENGINE || code === CloseCode.RESTARTING) {
      // Nobody is there any more to go on with.
      this.#resumption.forget();
      this.#handlers.dispatch({ type: "page.waiting", reason });
      void this.#checkEngine({ patient: code === CloseCode.RESTARTING, waited: false });
    } else if (this.#resumption.possible) {
      this.#handlers.dispatch({ type: "page.resuming", reason });
      this.#tryAgain();
    } else {
      this.#handlers.dispatch({ type: "page.waiting", reason });
      void this.#explainLoss();
    }
  }

  #tryAgain() {
    if (!this.#mayComeBack()) {
      void this.#explainLoss();
      return;
    }
    const pauseMs = this.#tries === 0 ? 0 : Math.min(RETRY_AFTER_MS, FIRST_PAUSE_MS * 2 ** (this.#tries - 1));
    this.#tries += 1;
    this.#timer = setTimeout(() => this.#connect(), pauseMs);
  }

  /** The network is back: what was to be tried later is tried now. */
  #hurry = () => {
    if (this.#closed || this.#connection !== null || !this.#resumption.possible) return;
    clearTimeout(this.#timer);
    this.#connect();
  };

  /** The connection is of no use any more, although it has not ended. */
  #lose = () => {
    if (this.#closed || this.#connection === null || !this.#resumption.possible) return;
    this.#connection.drop();
    this.#onClose(CloseCode.ABNORMAL, "");
  };

  async #explainLoss() {
    const status = await fetchStatus(this.#key);
    this.#end(lossProblem({ serverAnswers: status !== null }));
  }

  /**
   * Decides whether waiting makes sense; if so, tries again by itself.
   * @param {{patient: boolean, waited: boolean}} how patient: a server that does not answer may come back
   */
  async #checkEngine({ patient, waited }) {
    const status = await fetchStatus(this.#key);
    if (this.#closed) return;
    if (status === null && !(patient && this.#mayComeBack())) {
      this.#end(lossProblem({ serverAnswers: false }));
      return;
    }
    const { readiness, detail } = status === null ? { readiness: "loading", detail: "" } : engineReadiness(status);
    if (readiness === "busy" || readiness === "failed") {
      this.#end(engineProblem(readiness, detail));
    } else if (readiness === "ready" && waited) {
      this.#connect();
    } else {
      if (detail) this.#handlers.dispatch({ type: "page.waiting", reason: detail });
      this.#timer = setTimeout(() => this.#checkEngine({ patient, waited: true }), RETRY_AFTER_MS);
    }
  }

  #mayComeBack() {
    const nowMs = performance.now();
    this.#unreachableSinceMs ??= nowMs;
    return nowMs - this.#unreachableSinceMs <= GIVE_UP_AFTER_MS;
  }
}
