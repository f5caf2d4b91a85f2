// Enough to ride out one late message; every millisecond of it is heard as delay.
const LEAST_MS = 60;
// Inside an answer: more than the quarter of a second a server sends ahead at once, so that it is a real delay. An
// engine that makes one second of speech per second would otherwise run dry again at every piece.
const LEAST_LATE_MS = 320;
const MOST_MS = 400;
const MOST_LATE_MS = 1200;
const GROWTH = 1.5;
// So much sound without a gap, and the cushion gives back a little of what it took.
const CALM_MS = 10000;
const RELIEF_MS = 20;

/**
 * How much sound must wait before playing begins, and before it goes on after running dry. Both grow with every gap
 * that was heard and shrink again while there is none, so that a bad minute does not make the rest of the hour slow.
 */
export class Cushion {
  #startMs = LEAST_MS;
  #lateMs = LEAST_LATE_MS;
  #calmMs = 0;

  /** Before the first sound of an answer, in ms: 60 to 400. */
  get startMs() {
    return this.#startMs;
  }

  /** After running dry inside an answer, in ms: 320 to 1200. */
  get lateMs() {
    return this.#lateMs;
  }

  /** There was a gap in the middle of an answer. */
  ranDry() {
    this.#calmMs = 0;
    this.#startMs = Math.min(MOST_MS, this.#startMs * GROWTH);
    this.#lateMs = Math.min(MOST_LATE_MS, this.#lateMs * GROWTH);
  }

  /** So many milliseconds were played without a gap. */
  played(ms) {
    this.#calmMs += ms;
    while (this.#calmMs >= CALM_MS) {
      this.#calmMs -= CALM_MS;
      this.#startMs = Math.max(LEAST_MS, this.#startMs - RELIEF_MS);
      this.#lateMs = Math.max(LEAST_LATE_MS, this.#lateMs - RELIEF_MS * 4);
    }
  }
}
