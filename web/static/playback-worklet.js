import { meterLevel, rms, samplesFromBytes } from "./pcm.js";
import { PlaybackQueue } from "./playback-queue.js";
import { StreamResampler } from "./resampler.js";

const REPORT_EVERY_S = 0.1;

/**
 * Plays int16 PCM of the rate named in `processorOptions.fromHz`.
 *
 * Takes `{type: "begin" | "end" | "flush", responseId}`, `{type: "hold" | "release"}` and `{type: "audio", bytes}`;
 * posts `started`, `ended`, `flushed` (each with `responseId, playedMs`) and, every 100 ms while a response is queued,
 * `position` (also `queuedMs, level, underruns`).
 */
class PlaybackProcessor extends AudioWorkletProcessor {
  #queue = new PlaybackQueue(sampleRate);
  #resampler;
  #fromHz;
  #samplesToReport = 0;
  #loudestBlock = 0;

  constructor({ processorOptions }) {
    super();
    this.#fromHz = processorOptions.fromHz;
    this.#resampler = new StreamResampler(this.#fromHz, sampleRate);
    this.port.onmessage = ({ data: message }) => this.#receive(message);
  }

  process(_inputs, [[out]]) {
    for (const { kind, responseId, playedSamples } of this.#queue.pull(out)) {
      this.port.postMessage({ type: kind, responseId, playedMs: this.#toMs(playedSamples) });
    }
    this.#loudestBlock = Math.max(this.#loudestBlock, rms(out));
    this.#samplesToReport -= out.length;
    if (this.#samplesToReport <= 0) this.#report();
    return true;
  }

  #receive({ type, responseId, bytes }) {
    if (type === "begin") {
      this.#resampler = new StreamResampler(this.#fromHz, sampleRate);
      this.#queue.begin(responseId);
    } else if (type === "audio") {
      this.#queue.push(this.#resampler.push(samplesFromBytes(bytes)));
    } else if (type === "end") {
      this.#queue.end(responseId);
    } else if (type === "hold") {
      this.#queue.hold();
    } else if (type === "release") {
      this.#queue.release();
    } else if (type === "flush") {
      const { playedSamples, droppedSamples } = this.#queue.flush(responseId);
      this.port.postMessage({
        type: "flushed",
        responseId,
        playedMs: this.#toMs(playedSamples),
        droppedMs: this.#toMs(droppedSamples),
        queuedMs: this.#toMs(this.#queue.queuedSamples),
      });
    }
  }

  #report() {
    const position = this.#queue.position;
    if (!position) return;
    this.#samplesToReport = sampleRate * REPORT_EVERY_S;
    const level = meterLevel(this.#loudestBlock);
    this.#loudestBlock = 0;
    this.port.postMessage({
      type: "position",
      responseId: position.responseId,
      playedMs: this.#toMs(position.playedSamples),
      queuedMs: this.#toMs(this.#queue.queuedSamples),
      level,
      underruns: this.#queue.underruns,
    });
  }

  #toMs(samples) {
    return Math.floor((samples * 1000) / sampleRate);
  }
}

registerProcessor("playback", PlaybackProcessor);
