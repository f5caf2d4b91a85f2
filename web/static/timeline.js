/** Lanes of a timeline from top to bottom. Two show levels over time, three show stretches. */
const LEVEL_LANES = Object.freeze(["microphone", "played"]);
const SPAN_LANES = Object.freeze(["speech", "sent", "held"]);

// Long enough to scroll back to what just happened; levels come fifty times a second.
const KEPT_MS = 120000;
const TRIM_EVERY = 500;

/**
 * What happened in the last two minutes, on one clock in ms: levels from 0 to 1, stretches that may still be open, and
 * marks (`break`, `underrun`, `first`, `lost`) with a number of ms or null.
 */
export class Timeline {
  #levels = Object.fromEntries(LEVEL_LANES.map((lane) => [lane, []]));
  #spans = Object.fromEntries(SPAN_LANES.map((lane) => [lane, []]));
  #marks = [];
  #untrimmed = 0;

  /** The level of `lane` from `atMs` on for `lastsMs`. */
  level(lane, atMs, value, lastsMs) {
    this.#levels[lane].push({ atMs, value, lastsMs });
    this.#count(atMs);
  }

  /** A stretch of `lane` begins; one that is still open goes on. */
  begin(lane, atMs) {
    if (this.#open(lane)) return;
    this.#spans[lane].push({ fromMs: atMs, toMs: null });
    this.#count(atMs);
  }

  /** The open stretch of `lane` ends, if there is one. */
  end(lane, atMs) {
    const open = this.#open(lane);
    if (open) open.toMs = Math.max(open.fromMs, atMs);
  }

  /** A stretch of `lane` that is over, joined to the last one when they touch within `gapMs`. */
  span(lane, fromMs, toMs, gapMs = 0) {
    const last = this.#spans[lane].at(-1);
    if (last && last.toMs !== null && fromMs - last.toMs <= gapMs) last.toMs = Math.max(last.toMs, toMs);
    else this.#spans[lane].push({ fromMs, toMs });
    this.#count(toMs);
  }

  /** @param {number | null} ms what was measured there */
  mark(kind, atMs, ms = null) {
    this.#marks.push({ kind, atMs, ms });
    this.#count(atMs);
  }

  /** Everything there is, as plain values of its own: it does not change any more. */
  snapshot(nowMs) {
    return structuredClone({ nowMs, levels: this.#levels, spans: this.#spans, marks: this.#marks });
  }

  /** What a picture of `fromMs` to `nowMs` needs, without a copy: look at it at once. */
  view(nowMs) {
    return { nowMs, levels: this.#levels, spans: this.#spans, marks: this.#marks };
  }

  #open(lane) {
    const last = this.#spans[lane].at(-1);
    return last && last.toMs === null ? last : null;
  }

  #count(nowMs) {
    this.#untrimmed += 1;
    if (this.#untrimmed < TRIM_EVERY) return;
    this.#untrimmed = 0;
    const oldest = nowMs - KEPT_MS;
    for (const lane of LEVEL_LANES) this.#levels[lane] = this.#levels[lane].filter(({ atMs }) => atMs >= oldest);
    for (const lane of SPAN_LANES) {
      this.#spans[lane] = this.#spans[lane].filter(({ toMs }) => toMs === null || toMs >= oldest);
    }
    this.#marks = this.#marks.filter(({ atMs }) => atMs >= oldest);
  }
}

/** How many entries a picture or an export holds, for tests and bounds. */
export function sizeOf({ levels, spans, marks }) {
  const lists = [...Object.values(levels), ...Object.values(spans), marks];
  return lists.reduce((sum, list) => sum + list.length, 0);
}
