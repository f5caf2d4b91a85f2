/** A fixed ring of float samples. One thread writes and reads; nothing is allocated after construction. */
export class SampleRing {
  #samples;
  #readIndex = 0;
  #available = 0;

  /** @param {number} capacity how many samples fit; a positive integer */
  constructor(capacity) {
    if (!Number.isInteger(capacity) || capacity <= 0) throw new RangeError("capacity must be a positive integer");
    this.#samples = new Float32Array(capacity);
  }

  /** Samples waiting to be read. */
  get available() {
    return this.#available;
  }

  /** Samples that still fit. */
  get free() {
    return this.#samples.length - this.#available;
  }

  /**
   * Appends what fits. The rest is refused rather than overwriting the oldest, so that what is heard has no hole.
   * @param {Float32Array} samples
   * @returns {number} how many were taken
   */
  write(samples) {
    const capacity = this.#samples.length;
    const count = Math.min(samples.length, this.free);
    const start = (this.#readIndex + this.#available) % capacity;
    const untilWrap = Math.min(count, capacity - start);
    this.#samples.set(samples.subarray(0, untilWrap), start);
    this.#samples.set(samples.subarray(untilWrap, count), 0);
    this.#available += count;
    return count;
  }

  /**
   * Moves up to `count` samples into `target` from `offset` on. What was read once is never read again.
   * @param {Float32Array} target
   * @returns {number} how many were there; the rest of `target` is left alone
   */
  read(target, offset = 0, count = target.length - offset) {
    const capacity = this.#samples.length;
    const taken = Math.min(count, this.#available, target.length - offset);
    const untilWrap = Math.min(taken, capacity - this.#readIndex);
    target.set(this.#samples.subarray(this.#readIndex, this.#readIndex + untilWrap), offset);
    target.set(this.#samples.subarray(0, taken - untilWrap), offset + untilWrap);
    this.skip(taken);
    return taken;
  }

  /**
   * Throws away up to `count` of the oldest samples.
   * @returns {number} how many there were to throw away
   */
  skip(count) {
    const skipped = Math.min(count, this.#available);
    this.#readIndex = (this.#readIndex + skipped) % this.#samples.length;
    this.#available -= skipped;
    return skipped;
  }
}
