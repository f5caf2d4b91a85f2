// RFC 3550: each difference moves the estimate by a sixteenth.
const GAIN = 1 / 16;
// After a pause the server may send a quarter of a second at once: what lies further apart is no series.
const PAUSE_MS = 400;

/**
 * Interarrival jitter of the answers' sound: how far apart pieces arrive, compared with how much sound the piece before
 * held. Times in ms.
 */
export class NetworkMeter {
  #last = null;
  #jitterMs = 0;

  bytesReceived = 0;
  piecesReceived = 0;

  /** The estimate so far; 0 before the second piece. */
  get jitterMs() {
    return this.#jitterMs;
  }

  /** A piece arrived that holds `lastsMs` of sound. */
  arrived(bytes, lastsMs, atMs) {
    this.bytesReceived += bytes;
    this.piecesReceived += 1;
    const last = this.#last;
    this.#last = { atMs, lastsMs };
    if (last === null || atMs - last.atMs > PAUSE_MS) return;
    // At the beginning of an answer the server runs ahead; that is no jitter, but early.
    const late = Math.max(0, atMs - last.atMs - last.lastsMs);
    this.#jitterMs += (late - this.#jitterMs) * GAIN;
  }
}
