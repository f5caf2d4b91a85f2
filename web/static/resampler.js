// Half the filter's width, in samples of the lower of the two rates: with a Blackman window this puts
// everything that would fold back more than 60 dB down and delays the sound by less than 1 ms.
const HALF_WIDTH = 14;
// Where the filter starts to fall, as a part of the lower rate's band: the rest is room for its slope.
const PASSBAND = 0.9;

/** Changes the rate of a stream piece by piece: windowed sinc, one filter per phase, any two integer rates. */
export class StreamResampler {
  #up;
  #down;
  #halfTaps;
  #filters;
  #history;
  #phase = 0;

  /**
   * @param {number} fromHz rate of what is pushed
   * @param {number} toHz rate of what comes out
   */
  constructor(fromHz, toHz) {
    if (!(Number.isInteger(fromHz) && Number.isInteger(toHz) && fromHz > 0 && toHz > 0)) {
      throw new RangeError("rates must be positive integers");
    }
    const divisor = greatestCommonDivisor(fromHz, toHz);
    this.#up = toHz / divisor;
    this.#down = fromHz / divisor;
    if (fromHz === toHz) return;
    const band = Math.min(1, toHz / fromHz);
    this.#halfTaps = Math.ceil(HALF_WIDTH / band);
    this.#filters = Array.from({ length: this.#up }, (_, phase) =>
      filterFor(phase / this.#up, this.#halfTaps, band * PASSBAND),
    );
    this.#history = new Float32Array(this.#halfTaps - 1);
  }

  /**
   * @param {Float32Array} samples the next piece, of any length
   * @returns {Float32Array} what is ready; may be empty; the input itself when the rates are equal
   */
  push(samples) {
    if (this.#up === this.#down) return samples;
    const line = new Float32Array(this.#history.length + samples.length);
    line.set(this.#history);
    line.set(samples, this.#history.length);

    const taps = 2 * this.#halfTaps;
    const ready = new Float32Array(Math.ceil((line.length * this.#up) / this.#down) + 1);
    let first = 0;
    let count = 0;
    while (first + taps <= line.length) {
      const filter = this.#filters[this.#phase];
      let sum = 0;
      for (let tap = 0; tap < taps; tap += 1) sum += line[first + tap] * filter[tap];
      ready[count] = sum;
      count += 1;
      this.#phase += this.#down;
      first += Math.floor(this.#phase / this.#up);
      this.#phase %= this.#up;
    }
    // One step is down/up input samples, always less than the filter is wide: `first` never passes the end.
    this.#history = line.slice(first);
    return ready.subarray(0, count);
  }
}

function filterFor(fraction, halfTaps, cutoff) {
  const filter = new Float32Array(2 * halfTaps);
  let sum = 0;
  for (let tap = 0; tap < filter.length; tap += 1) {
    const x = tap - (halfTaps - 1) - fraction;
    filter[tap] = sinc(cutoff * x) * blackman(x / halfTaps);
    sum += filter[tap];
  }
  return filter.map((value) => value / sum);
}

function sinc(x) {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}

function blackman(x) {
  return 0.42 + 0.5 * Math.cos(Math.PI * x) + 0.08 * Math.cos(2 * Math.PI * x);
}

function greatestCommonDivisor(a, b) {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}
