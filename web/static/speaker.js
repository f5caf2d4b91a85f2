import { Loopback } from "./loopback.js";
import { OUTPUT_RATE_HZ } from "./protocol.js";

/** Whether a loudspeaker can be chosen in this browser. */
export function canChooseSpeaker() {
  return "setSinkId" in AudioContext.prototype;
}

/** The answers' way to the loudspeaker. */
export class Speaker {
  #context;
  #gain;
  #node = null;
  #loopback = null;

  /** Call it inside a click, as for `Microphone`. */
  constructor() {
    this.#context = new AudioContext({ sampleRate: OUTPUT_RATE_HZ, latencyHint: "interactive" });
    this.#gain = this.#context.createGain();
  }

  /** The node the answers come out of, before the volume, for taps. */
  get node() {
    return this.#node;
  }

  /** The audio context, to follow its state. */
  get context() {
    return this.#context;
  }

  /** How much later than its position a sample is heard, in ms; 0 where the browser does not say. */
  get latencyMs() {
    return (this.#context.outputLatency || 0) * 1000;
  }

  /**
   * @param {(report: {type: string}) => void} onReport see playback-worklet.js
   * @param {{deviceId?: string | null, route?: "direct" | "loopback"}} wishes the device is the system's when none is
   *   named; `loopback` plays through a call of the browser with itself, which its echo cancellation always knows
   */
  async open(onReport, { deviceId = null, route = "direct" } = {}) {
    await this.#context.audioWorklet.addModule(new URL("./playback-worklet.js", import.meta.url));
    this.#node = new AudioWorkletNode(this.#context, "playback", {
      numberOfInputs: 0,
      outputChannelCount: [1],
      processorOptions: { fromHz: OUTPUT_RATE_HZ },
    });
    this.#node.port.onmessage = ({ data: report }) => onReport(report);
    this.#node.connect(this.#gain);
    if (route === "loopback") {
      this.#loopback = new Loopback();
      await this.#loopback.open(this.#gain, deviceId);
    } else {
      if (deviceId && canChooseSpeaker()) await this.#context.setSinkId(deviceId);
      this.#gain.connect(this.#context.destination);
    }
    await this.#context.resume();
  }

  /** @param {number} volume 0 to 1, as the ear judges it */
  setVolume(volume) {
    // Loudness goes with about the cube of a slider; a short ramp keeps it from crackling.
    this.#gain.gain.setTargetAtTime(volume ** 3, this.#context.currentTime, 0.02);
  }

  /** What is played from now on belongs to this response. */
  begin(responseId) {
    this.#node?.port.postMessage({ type: "begin", responseId });
  }

  /** @param {ArrayBuffer} bytes int16 PCM at `OUTPUT_RATE_HZ`; handed over, not copied */
  play(bytes) {
    this.#node?.port.postMessage({ type: "audio", bytes }, [bytes]);
  }

  /** No more audio of this response will come. */
  end(responseId) {
    this.#node?.port.postMessage({ type: "end", responseId });
  }

  /** Silence now, but nothing is dropped: somebody seems to speak. `release` or a `flush` follows. */
  hold() {
    this.#node?.port.postMessage({ type: "hold" });
  }

  /** Goes on where `hold` stopped. */
  release() {
    this.#node?.port.postMessage({ type: "release" });
  }

  /** Silence now: drops what is queued of this response. A `flushed` report follows. */
  flush(responseId) {
    this.#node?.port.postMessage({ type: "flush", responseId });
  }

  /** Ends all sound. */
  close() {
    this.#loopback?.close();
    return this.#context.state === "closed" ? Promise.resolve() : this.#context.close();
  }
}
