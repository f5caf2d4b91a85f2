import { parseEvent } from "./protocol.js";

// Two seconds of microphone audio. More than that in the socket means the network is too slow for a
// conversation: new audio is dropped until it has drained.
const MAX_BUFFERED_BYTES = 64000;
// A network that takes nothing at all for so long is gone, although nobody has said so: a phone that changed from one
// to another notices after minutes.
const STALLED_MS = 5000;

/** One WebSocket of the binary dialect: events as text, audio as binary, both ways. */
export class Connection {
  #socket;
  #dropping = false;
  #stuck = { bytes: 0, sinceMs: 0 };
  #onCongested;
  #onStalled;

  /**
   * @param {{
   *   url: string, protocols: string[],
   *   onOpen: () => void,
   *   onEvent: (event: {type: string}) => void,
   *   onAudio: (bytes: ArrayBuffer) => void,
   *   onCongested: () => void,
   *   onStalled: () => void,
   *   onClose: (close: {code: number, reason: string}) => void,
   * }} handlers `onClose` comes once, unless `close` or `drop` was called first: then never
   */
  constructor({ url, protocols, onOpen, onEvent, onAudio, onCongested, onStalled, onClose }) {
    this.#socket = new WebSocket(url, protocols);
    this.#socket.binaryType = "arraybuffer";
    this.#socket.onopen = onOpen;
    this.#socket.onmessage = ({ data: message }) => {
      if (typeof message !== "string") {
        onAudio(message);
        return;
      }
      const event = parseEvent(message);
      if (event) onEvent(event);
    };
    this.#socket.onclose = ({ code, reason }) => onClose({ code, reason });
    this.#onCongested = onCongested;
    this.#onStalled = onStalled;
  }

  /**
   * @param {ArrayBuffer} pcm one frame
   * @returns {boolean} false when it was dropped, because the socket is not open or too far behind
   */
  sendAudio(pcm) {
    if (this.#socket.readyState !== WebSocket.OPEN) return false;
    const congested = this.#socket.bufferedAmount > MAX_BUFFERED_BYTES;
    if (congested && !this.#dropping) this.#onCongested();
    this.#dropping = congested;
    if (congested) this.#watch();
    else this.#socket.send(pcm);
    return !congested;
  }

  #watch() {
    const bytes = this.#socket.bufferedAmount;
    const nowMs = performance.now();
    if (bytes !== this.#stuck.bytes) this.#stuck = { bytes, sinceMs: nowMs };
    else if (nowMs - this.#stuck.sinceMs > STALLED_MS) this.#onStalled();
  }

  /** @param {{type: string}} event dropped when the socket is not open */
  sendEvent(event) {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(event));
  }

  /** Ends the conversation from this side. Nothing is reported afterwards. */
  close() {
    this.#leave(1000);
  }

  /** Gives the connection up, but not the conversation. Nothing is reported afterwards. */
  drop() {
    // Without a code the server takes it for a lost client, whom it waits for.
    this.#leave();
  }

  #leave(...code) {
    this.#socket.onopen = this.#socket.onmessage = this.#socket.onclose = null;
    this.#socket.close(...code);
  }
}
