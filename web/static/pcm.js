import { StreamResampler } from "./resampler.js";

// Speech at a desk moves between these levels; below and above the meter rests.
const METER_FLOOR_DBFS = -55;
const METER_CEILING_DBFS = -12;

/**
 * @param {Int16Array} pcm
 * @returns {Float32Array} the same samples in [-1, 1)
 */
export function int16ToFloat32(pcm) {
  const samples = new Float32Array(pcm.length);
  for (let i = 0; i < pcm.length; i += 1) samples[i] = pcm[i] / 32768;
  return samples;
}

/**
 * @param {Float32Array} samples in [-1, 1]; what lies outside is clipped
 * @returns {Int16Array}
 */
export function float32ToInt16(samples) {
  const pcm = new Int16Array(samples.length);
  for (let i = 0; i < samples.length; i += 1) pcm[i] = Math.max(-32768, Math.min(32767, Math.round(samples[i] * 32768)));
  return pcm;
}

/**
 * Reads a binary message: 16-bit little-endian PCM. A dangling odd byte is left out.
 * @param {ArrayBuffer} bytes
 * @returns {Float32Array}
 */
export function samplesFromBytes(bytes) {
  return int16ToFloat32(new Int16Array(bytes, 0, bytes.byteLength >> 1));
}

/** Root mean square of `samples`, 0 to 1; 0 for none. */
export function rms(samples) {
  if (samples.length === 0) return 0;
  let sum = 0;
  for (const value of samples) sum += value * value;
  return Math.sqrt(sum / samples.length);
}

/** Where a meter stands for an RMS value: 0 at rest, 1 full, even steps of loudness between. */
export function meterLevel(rmsValue) {
  if (!(rmsValue > 0)) return 0;
  const dbfs = 20 * Math.log10(rmsValue);
  return Math.max(0, Math.min(1, (dbfs - METER_FLOOR_DBFS) / (METER_CEILING_DBFS - METER_FLOOR_DBFS)));
}

/** Any blocks in, whole int16 frames of one rate out. */
export class CaptureFramer {
  #resampler;
  #frame;
  #filled = 0;

  /** @param {{fromHz: number, toHz: number, frameMs: number}} format */
  constructor({ fromHz, toHz, frameMs }) {
    this.#resampler = new StreamResampler(fromHz, toHz);
    this.#frame = new Float32Array((toHz * frameMs) / 1000);
  }

  /**
   * @param {Float32Array} block
   * @returns {{pcm: Int16Array, level: number}[]} the frames this block completed; `level` as `meterLevel` gives it
   */
  push(block) {
    const samples = this.#resampler.push(block);
    const frames = [];
    let taken = 0;
    while (taken < samples.length) {
      const count = Math.min(samples.length - taken, this.#frame.length - this.#filled);
      this.#frame.set(samples.subarray(taken, taken + count), this.#filled);
      this.#filled += count;
      taken += count;
      if (this.#filled === this.#frame.length) {
        frames.push({ pcm: float32ToInt16(this.#frame), level: meterLevel(rms(this.#frame)) });
        this.#filled = 0;
      }
    }
    return frames;
  }
}
