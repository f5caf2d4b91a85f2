/**
 * When a moment of the microphone's stream, as the server counts it, was on the page's clock. Frames are counted as they
 * are sent; the earliest tells most truly when the stream began. All in ms.
 */
export class MicrophoneClock {
  #sentMs = 0;
  #beganMs = null;
  #minute = 0;
  #isTrue = true;

  /** So much of the stream has been sent. */
  get sentMs() {
    return this.#sentMs;
  }

  /** A frame of `lastsMs` is complete and sent at `atMs`. */
  sent(lastsMs, atMs) {
    this.#sentMs += lastsMs;
    const began = atMs - this.#sentMs;
    const minute = Math.floor(this.#sentMs / 60000);
    // Two clocks drift apart; each minute the newer one counts afresh.
    if (this.#beganMs === null || minute !== this.#minute) this.#beganMs = began;
    this.#minute = minute;
    this.#beganMs = Math.min(this.#beganMs, began);
  }

  /** The server may have gone on counting while nothing could be sent: nothing is known from now on. */
  lose() {
    this.#isTrue = false;
  }

  /** @returns {number | null} when `streamMs` was spoken; null when that is not known */
  at(streamMs) {
    return this.#isTrue && this.#beganMs !== null ? this.#beganMs + streamMs : null;
  }
}
