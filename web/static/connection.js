import { parseEvent } from "./protocol.js";

// Two seconds of microphone audio. More than that in the socket means the network is too slow for a
// conversation: new audio is dropped until it has drained.
const MAX_BUFFERED_BYTES = 64000;

/** One WebSocket of the binary dialect: events as text, audio as binary, both ways. */
export class Connection {
  #socket;
  #dropping = false;
  #onCongested;

  /**
   * @param {{
   *   url: string, protocols: string[],
   *   onEvent: (event: {type: string}) => void,
   *   onAudio: (bytes: ArrayBuffer) => void,
   *   onCongested: () => void,
   *   onClose: (close: {code: number, reason: string}) => void,
   * }} handlers `onClose` comes once, unless `close` was called first: then never
   */
  constructor({ url, protocols, onEvent, onAudio, onCongested, onClose }) {
    this.#socket = new WebSocket(url, protocols);
    this.#socket.binaryType = "arraybuffer";
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
  }

  /** @param {ArrayBuffer} pcm one frame; dropped when the socket is not open or too far behind */
  sendAudio(pcm) {
    if (this.#socket.readyState !== WebSocket.OPEN) return;
    const congested = this.#socket.bufferedAmount > MAX_BUFFERED_BYTES;
    if (congested && !this.#dropping) this.#onCongested();
    this.#dropping = congested;
    if (!congested) this.#socket.send(pcm);
  }

  /** @param {{type: string}} event dropped when the socket is not open */
  sendEvent(event) {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(event));
  }

  /** Ends the conversation from this side. Nothing is reported afterwards. */
  close() {
    this.#socket.onmessage = null;
    this.#socket.onclose = null;
    this.#socket.close(1000);
  }
}
