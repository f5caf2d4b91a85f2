import { SampleRing } from "./ring.js";

// Enough to ride out one late message; every millisecond of it is heard as delay.
const CUSHION_MS = 60;
// After running dry. More than the quarter of a second a server sends ahead at once, so that it is a real delay: an
// engine that makes one second of speech per second would otherwise run dry again at every piece.
const LATE_CUSHION_MS = 320;
// Short enough to feel like silence at once, long enough not to click.
const FADE_MS = 5;
// The server stays within a quarter of a second of real time; this bound is for a server that does not.
const CAPACITY_S = 30;

/**
 * What is to be played, response by response, and how far each has come. All counts are samples at `rateHz`.
 *
 * Overflow refuses the newest samples (`refusedSamples`). Running dry inside a response (`underruns`) waits for
 * a bigger cushion. Audio that belongs to no running response is dropped.
 */
export class PlaybackQueue {
  #ring;
  #cushion;
  #lateCushion;
  #fade;
  #fadeLeft = 0;
  #segments = [];
  #writing = null;
  #flowing = false;
  #held = false;
  #gain = 1;

  underruns = 0;
  refusedSamples = 0;

  /** @param {number} rateHz rate of the samples pushed and pulled */
  constructor(rateHz) {
    this.#ring = new SampleRing(rateHz * CAPACITY_S);
    this.#cushion = Math.round((rateHz * CUSHION_MS) / 1000);
    this.#lateCushion = Math.round((rateHz * LATE_CUSHION_MS) / 1000);
    this.#fade = new Float32Array(Math.round((rateHz * FADE_MS) / 1000));
  }

  /** Samples waiting, the closing fade not counted. */
  get queuedSamples() {
    return this.#ring.available;
  }

  /** The response at the head of the queue and how much of it went out; null when nothing is due. */
  get position() {
    const head = this.#segments[0];
    return head ? { responseId: head.responseId, playedSamples: head.played } : null;
  }

  /** From now on pushed samples belong to this response. A predecessor still open gets no more. */
  begin(responseId) {
    if (this.#writing) this.#writing.ended = true;
    this.#writing = { responseId, queued: 0, played: 0, ended: false };
    this.#segments.push(this.#writing);
  }

  /** @param {Float32Array} samples the next samples of the response begun last */
  push(samples) {
    if (!this.#writing) return;
    const taken = this.#ring.write(samples);
    this.#writing.queued += taken;
    this.refusedSamples += samples.length - taken;
  }

  /** No more samples of this response will come: what is queued plays out without waiting for a cushion. */
  end(responseId) {
    if (this.#writing?.responseId !== responseId) return;
    this.#writing.ended = true;
    this.#writing = null;
  }

  /**
   * Stops within a short fade and keeps what is queued, until `release` or any `flush`. Samples of the fade count as
   * played: they were heard.
   */
  hold() {
    this.#held = true;
    if (!this.#flowing) this.#gain = 0;
  }

  /** Goes on with the very next sample. */
  release() {
    this.#held = false;
  }

  /**
   * Silence now: drops what is queued of this response and of all before it, but for a short fade.
   * @returns {{playedSamples: number, droppedSamples: number}} of this response; zeros when it is not queued
   */
  flush(responseId) {
    const gain = this.#gain;
    this.#held = false;
    this.#gain = 1;
    const index = this.#segments.findIndex((segment) => segment.responseId === responseId);
    if (index < 0) return { playedSamples: 0, droppedSamples: 0 };
    const target = this.#segments[index];
    const doomed = this.#segments.splice(0, index + 1).reduce((sum, segment) => sum + segment.queued, 0);
    if (this.#writing === target) this.#writing = null;

    const faded = this.#flowing && gain > 0 ? this.#startFade(doomed, gain) : 0;
    this.#ring.skip(doomed - faded);
    this.#flowing = false;
    return { playedSamples: target.played, droppedSamples: doomed };
  }

  /**
   * Fills `out` wholly, with silence where nothing is due.
   * @param {Float32Array} out
   * @returns {{kind: "started" | "ended", responseId: string, playedSamples: number}[]} what happened meanwhile
   */
  pull(out) {
    const happened = [];
    let filled = this.#pullFade(out);
    while (filled < out.length && this.#segments.length > 0 && !(this.#held && this.#gain === 0)) {
      const head = this.#segments[0];
      if (head.queued === 0 && head.ended) {
        this.#segments.shift();
        this.#flowing = false;
        happened.push({ kind: "ended", responseId: head.responseId, playedSamples: head.played });
        continue;
      }
      if (!this.#mayFlow(head)) break;
      if (head.played === 0) happened.push({ kind: "started", responseId: head.responseId, playedSamples: 0 });
      const count = this.#ring.read(out, filled, this.#stretch(Math.min(head.queued, out.length - filled)));
      this.#ramp(out, filled, count);
      head.queued -= count;
      head.played += count;
      filled += count;
    }
    out.fill(0, filled);
    return happened;
  }

  #mayFlow(head) {
    if (this.#flowing && head.queued === 0) {
      this.#flowing = false;
      if (this.#held) this.#gain = 0;
      this.underruns += 1;
    }
    if (!this.#flowing) this.#flowing = head.queued > 0 && (head.ended || head.queued >= (head.played > 0 ? this.#lateCushion : this.#cushion));
    return this.#flowing;
  }

  /** How many samples go out in one piece: a fade down ends where its last sample is. */
  #stretch(count) {
    return this.#held ? Math.min(count, Math.round(this.#gain * this.#fade.length)) : count;
  }

  /** Moves the gain towards silence while held and towards full after it, a step a sample. */
  #ramp(out, start, count) {
    const steps = this.#fade.length;
    let step = Math.round(this.#gain * steps);
    if (!this.#held && step === steps) return;
    for (let i = start; i < start + count; i += 1) {
      step = this.#held ? Math.max(0, step - 1) : Math.min(steps, step + 1);
      out[i] *= step / steps;
    }
    this.#gain = step / steps;
  }

  #startFade(available, gain) {
    const count = Math.min(available, this.#fade.length);
    const start = this.#fade.length - count;
    this.#ring.read(this.#fade, start, count);
    for (let i = 0; i < count; i += 1) this.#fade[start + i] *= gain * (1 - (i + 1) / count);
    this.#fadeLeft = count;
    return count;
  }

  #pullFade(out) {
    const start = this.#fade.length - this.#fadeLeft;
    const count = Math.min(this.#fadeLeft, out.length);
    out.set(this.#fade.subarray(start, start + count));
    this.#fadeLeft -= count;
    return count;
  }
}
