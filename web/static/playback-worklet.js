import { float32ToInt16, meterLevel, rms, samplesFromBytes } from "./pcm.js";
import { PlaybackQueue } from "./playback-queue.js";
import { StreamResampler } from "./resampler.js";

const REPORT_EVERY_S = 0.1;

/**
 * Plays int16 PCM of the rate named in `processorOptions.fromHz`.
 *
 * Takes `{type: "begin" | "end" | "flush", responseId}`, `{type: "hold" | "release"}` and `{type: "audio", bytes}`;
 * posts `started`, `ended`, `flushed`, `held`, `dry` (each with `responseId, playedMs`); every 100 ms while a response is
 * queued `position` (also `queuedMs, cushionMs, level, underruns, skippedMs`); and every 100 ms always `rendered`: what
 * went out, as `{samples: Int16Array | null, count, level}` at `fromHz`, null for silence.
 */
class PlaybackProcessor extends AudioWorkletProcessor {
  #queue = new PlaybackQueue(sampleRate);
  #resampler;
  #back;
  #fromHz;
  #samplesToReport = 0;
  #loudestBlock = 0;
  #rendered = new Float32Array(Math.ceil((sampleRate * REPORT_EVERY_S) / 128) * 128);
  #renderedCount = 0;
  #renderedSilence = true;

  constructor({ processorOptions }) {
    super();
    this.#fromHz = processorOptions.fromHz;
    this.#resampler = new StreamResampler(this.#fromHz, sampleRate);
    this.#back = new StreamResampler(sampleRate, this.#fromHz);
    this.port.onmessage = ({ data: message }) => this.#receive(message);
  }

  process(_inputs, [[out]]) {
    for (const { kind, responseId, playedSamples } of this.#queue.pull(out)) {
      this.port.postMessage({ type: kind, responseId, playedMs: this.#toMs(playedSamples) });
    }
    const loudness = rms(out);
    this.#loudestBlock = Math.max(this.#loudestBlock, loudness);
    this.#keep(out, loudness === 0);
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

  #keep(out, silent) {
    this.#rendered.set(out, this.#renderedCount);
    this.#renderedCount += out.length;
    this.#renderedSilence &&= silent;
    if (this.#renderedCount < this.#rendered.length) return;
    const back = this.#back.push(this.#rendered);
    const samples = this.#renderedSilence ? null : float32ToInt16(back);
    const message = { type: "rendered", samples, count: back.length, level: meterLevel(rms(back)) };
    this.port.postMessage(message, samples ? [samples.buffer] : []);
    this.#renderedCount = 0;
    this.#renderedSilence = true;
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
      cushionMs: Math.round(this.#queue.cushionMs),
      level,
      underruns: this.#queue.underruns,
      skippedMs: this.#toMs(this.#queue.skippedSamples),
    });
  }

  #toMs(samples) {
    return Math.floor((samples * 1000) / sampleRate);
  }
}

registerProcessor("playback", PlaybackProcessor);
