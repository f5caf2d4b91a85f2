import { float32ToInt16, int16ToFloat32 } from "./pcm.js";
import { StreamResampler } from "./resampler.js";
import { writeWav } from "./wav.js";

const RATE_HZ = 24000;
const LONGEST_MS = 30 * 60 * 1000;
// A stretch is laid down where its earliest piece says it began. A new one each minute keeps sound cards that run fast
// or slow from adding up; a piece that comes later than this after the one before belongs to a new one at once.
const STRETCH_MS = 60000;
const GAP_MS = 250;

/** One side of a conversation: stretches of samples, each with the moment it began. */
class Track {
  #rateHz;
  #stretches = [];

  constructor(rateHz) {
    this.#rateHz = rateHz;
  }

  get stretches() {
    return this.#stretches;
  }

  /** @param {Int16Array | null} samples the next ones, or so many `count` of silence; the last arrived at `atMs` */
  push(samples, count, atMs) {
    const current = this.#stretches.at(-1);
    const began = (counted) => atMs - (counted * 1000) / this.#rateHz;
    const lasts = current ? (current.count * 1000) / this.#rateHz : Infinity;
    const late = current ? began(current.count + count) - current.beganMs : Infinity;
    if (late > GAP_MS || lasts >= STRETCH_MS) {
      this.#stretches.push({ beganMs: began(count), count: 0, pieces: [] });
    }
    const stretch = this.#stretches.at(-1);
    stretch.pieces.push({ at: stretch.count, samples });
    stretch.count += count;
    // Messages come late, never early: the earliest tells most truly when the first sample was.
    stretch.beganMs = Math.min(stretch.beganMs, began(stretch.count));
    const oldest = atMs - LONGEST_MS;
    while (this.#stretches.length > 1 && this.#stretches[1].beganMs < oldest) this.#stretches.shift();
  }
}

/** Both sides of a conversation on one clock: at most its last half hour. */
export class Recording {
  #user;
  #answer;

  /** @param {{userHz: number, answerHz: number}} rates */
  constructor({ userHz, answerHz }) {
    this.#user = { track: new Track(userHz), rateHz: userHz };
    this.#answer = { track: new Track(answerHz), rateHz: answerHz };
  }

  /** @param {Int16Array} samples what the microphone heard until `atMs`, in ms */
  user(samples, atMs) {
    this.#user.track.push(samples, samples.length, atMs);
  }

  /** @param {Int16Array | null} samples what was played until `atMs`; null for `count` samples of silence */
  answer(samples, count, atMs) {
    this.#answer.track.push(samples, count, atMs);
  }

  /** How long it is, in ms. */
  get lastsMs() {
    const { beganMs, endedMs } = this.#bounds();
    return Math.max(0, endedMs - beganMs);
  }

  /** @returns {Uint8Array} a stereo WAV at 24 kHz: user left, answer right, both from the same moment on */
  toWav() {
    const { beganMs } = this.#bounds();
    const frames = Math.ceil((this.lastsMs * RATE_HZ) / 1000);
    return writeWav([this.#user, this.#answer].map((side) => layDown(side, beganMs, frames)), RATE_HZ);
  }

  #bounds() {
    const all = [this.#user, this.#answer].flatMap(({ track, rateHz }) =>
      track.stretches.map(({ beganMs, count }) => [beganMs, beganMs + (count * 1000) / rateHz]),
    );
    return { beganMs: Math.min(...all.map(([from]) => from)), endedMs: Math.max(...all.map(([, to]) => to)) };
  }
}

/** One channel of `frames` samples from `beganMs` on. */
function layDown({ track, rateHz }, beganMs, frames) {
  const channel = new Int16Array(frames);
  for (const stretch of track.stretches) {
    const resampler = new StreamResampler(rateHz, RATE_HZ);
    let at = Math.round(((stretch.beganMs - beganMs) * RATE_HZ) / 1000);
    for (const samples of joined(stretch)) {
      const ready = float32ToInt16(resampler.push(int16ToFloat32(samples)));
      channel.set(ready.subarray(Math.max(0, -at), Math.max(0, frames - at)), Math.max(0, at));
      at += ready.length;
    }
  }
  return channel;
}

/** The samples of a stretch, silence written out. */
function* joined({ pieces, count }) {
  for (const [i, { at, samples }] of pieces.entries()) {
    yield samples ?? new Int16Array((pieces[i + 1]?.at ?? count) - at);
  }
}
