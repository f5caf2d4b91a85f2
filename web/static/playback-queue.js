import { Cushion } from "./cushion.js";
import { SampleRing } from "./ring.js";

// Short enough to feel like silence at once, long enough not to click.
const FADE_MS = 5;
// The server stays within a quarter of a second of real time; this bound is for a server that does not.
const CAPACITY_S = 30;
// What waits beyond the cushion and the server's lead is delay that nobody needs: pauses are shortened to get rid of it.
const LEAD_MS = 250;
const SURPLUS_MS = 150;
// -60 dBFS: a pause between words, not the end of one. A pause keeps this much of its length.
const PAUSE_PEAK = 0.001;
const PAUSE_KEPT_MS = 120;

/**
 * What is to be played, response by response, and how far each has come. All counts are samples at `rateHz`.
 *
 * Overflow refuses the newest samples (`refusedSamples`). Running dry inside a response (`underruns`) fades out, waits
 * for a bigger cushion and fades in. Audio that belongs to no running response is dropped. Where more waits than a
 * server sends ahead, because its clock is faster or the network gave back what it held, pauses are shortened
 * (`skippedSamples`, which count as played) until it is gone.
 */
export class PlaybackQueue {
  #ring;
  #rateHz;
  #cushion = new Cushion();
  #fade;
  #fadeLeft = 0;
  #segments = [];
  #writing = null;
  #flowing = false;
  #held = false;
  #gain = 1;
  #pause = 0;

  underruns = 0;
  refusedSamples = 0;
  skippedSamples = 0;

  /** @param {number} rateHz rate of the samples pushed and pulled */
  constructor(rateHz) {
    this.#rateHz = rateHz;
    this.#ring = new SampleRing(rateHz * CAPACITY_S);
    this.#fade = new Float32Array(this.#samples(FADE_MS));
  }

  /** Samples waiting, the closing fade not counted. */
  get queuedSamples() {
    return this.#ring.available;
  }

  /** What has to wait before an answer begins, in ms. */
  get cushionMs() {
    return this.#cushion.startMs;
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
   * @returns {{kind: "started" | "dry" | "held" | "ended", responseId: string, playedSamples: number}[]} what happened
   *   meanwhile; `held` when the fade of a hold has come to silence
   */
  pull(out) {
    const happened = [];
    const tell = (kind, { responseId, played }) => happened.push({ kind, responseId, playedSamples: played });
    let filled = this.#pullFade(out);
    while (filled < out.length && this.#segments.length > 0 && !this.#isSilent()) {
      const head = this.#segments[0];
      if (head.queued === 0 && head.ended) {
        this.#segments.shift();
        this.#flowing = false;
        tell("ended", head);
        continue;
      }
      if (!this.#mayFlow(head)) break;
      if (head.played === 0) tell("started", head);
      filled += this.#pullFrom(head, out, filled, tell);
    }
    out.fill(0, filled);
    return happened;
  }

  #isSilent() {
    return this.#held && this.#gain === 0;
  }

  #mayFlow(head) {
    if (this.#flowing) return true;
    const wait = head.played > 0 ? this.#cushion.lateMs : this.#cushion.startMs;
    this.#flowing = head.queued > 0 && (head.ended || head.queued >= this.#samples(wait));
    if (this.#flowing && head.played > 0) this.#gain = 0;
    return this.#flowing;
  }

  /** Moves the next stretch of this response; a stretch ends where a fade does. Returns its length. */
  #pullFrom(head, out, start, tell) {
    // The last samples are kept for the fade, as long as it is not known whether more will come.
    const spare = head.ended ? head.queued : head.queued - this.#fade.length;
    const falls = this.#held || spare <= 0;
    const steps = Math.round(this.#gain * this.#fade.length);
    const count = Math.min(out.length - start, falls ? Math.min(head.queued, steps) : spare);
    this.#ring.read(out, start, count);
    this.#ramp(out, start, count, falls);
    head.queued -= count;
    head.played += count;
    this.#cushion.played((count * 1000) / this.#rateHz);
    if (falls && (this.#gain === 0 || head.queued === 0)) this.#stop(head, tell);
    else if (!falls && this.#shortens(out, start, count)) {
      this.skippedSamples += count;
      return 0;
    }
    return count;
  }

  #stop(head, tell) {
    if (this.#held) {
      this.#gain = 0;
      tell("held", head);
      return;
    }
    this.#flowing = false;
    this.#gain = 1;
    this.underruns += 1;
    this.#cushion.ranDry();
    tell("dry", head);
  }

  /** Whether these samples are part of a pause that may be left out because too much waits. */
  #shortens(out, start, count) {
    for (let i = start; i < start + count; i += 1) {
      if (Math.abs(out[i]) > PAUSE_PEAK) {
        this.#pause = 0;
        return false;
      }
    }
    this.#pause += count;
    const enough = this.#samples(this.#cushion.startMs + LEAD_MS + SURPLUS_MS);
    return this.#pause > this.#samples(PAUSE_KEPT_MS) && this.#ring.available > enough;
  }

  /** Moves the gain towards silence or towards full, a step a sample. */
  #ramp(out, start, count, falls) {
    const steps = this.#fade.length;
    let step = Math.round(this.#gain * steps);
    if (!falls && step === steps) return;
    for (let i = start; i < start + count; i += 1) {
      step = falls ? Math.max(0, step - 1) : Math.min(steps, step + 1);
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

  #samples(ms) {
    return Math.round((this.#rateHz * ms) / 1000);
  }
}
