import { INPUT_RATE_HZ, OUTPUT_RATE_HZ } from "./protocol.js";

/** What this browser offers on this page, for `environmentProblem`. */
export function audioAbilities() {
  return {
    isSecureContext: window.isSecureContext,
    hasMediaDevices: Boolean(navigator.mediaDevices?.getUserMedia),
    hasAudioWorklet: "AudioWorkletNode" in window,
  };
}

/** The user's microphone as 20 ms int16 frames at `INPUT_RATE_HZ`. */
export class Microphone {
  #context;
  #stream = null;

  /** Call it inside a click: some browsers start a context only there. Throws what `AudioContext` throws. */
  constructor() {
    this.#context = new AudioContext({ sampleRate: INPUT_RATE_HZ, latencyHint: "interactive" });
  }

  /**
   * Asks for the microphone and starts it. Throws what `getUserMedia` throws.
   * @param {{onFrame: (pcm: ArrayBuffer, level: number) => void, onLost: () => void}} handlers
   */
  async open({ onFrame, onLost }) {
    this.#stream = await navigator.mediaDevices.getUserMedia({
      audio: { channelCount: 1, echoCancellation: true, noiseSuppression: true, autoGainControl: true },
    });
    for (const track of this.#stream.getAudioTracks()) track.onended = onLost;

    const source = await this.#openSource();
    await this.#context.audioWorklet.addModule(new URL("./capture-worklet.js", import.meta.url));
    const capture = new AudioWorkletNode(this.#context, "capture", {
      channelCount: 1,
      channelCountMode: "explicit",
      processorOptions: { toHz: INPUT_RATE_HZ },
    });
    capture.port.onmessage = ({ data: { pcm, level } }) => onFrame(pcm, level);
    // A node nobody listens to may never be run. Its output is silence.
    source.connect(capture).connect(this.#context.destination);
    await this.#context.resume();
  }

  async #openSource() {
    try {
      return this.#context.createMediaStreamSource(this.#stream);
    } catch {
      // Firefox connects a microphone only to a context of the microphone's own rate; the worklet resamples.
      await this.#context.close();
      this.#context = new AudioContext({ latencyHint: "interactive" });
      return this.#context.createMediaStreamSource(this.#stream);
    }
  }

  /** Lets go of the microphone. */
  close() {
    for (const track of this.#stream?.getTracks() ?? []) {
      track.onended = null;
      track.stop();
    }
    return this.#context.state === "closed" ? Promise.resolve() : this.#context.close();
  }
}

/** The answers' way to the loudspeaker. */
export class Speaker {
  #context;
  #node = null;

  /** Call it inside a click, as for `Microphone`. */
  constructor() {
    this.#context = new AudioContext({ sampleRate: OUTPUT_RATE_HZ, latencyHint: "interactive" });
  }

  /** The node the answers come out of, for taps. */
  get node() {
    return this.#node;
  }

  /** How much later than its position a sample is heard, in ms; 0 where the browser does not say. */
  get latencyMs() {
    return (this.#context.outputLatency || 0) * 1000;
  }

  /** @param {(report: {type: string, responseId: string, playedMs: number}) => void} onReport see playback-worklet.js */
  async open(onReport) {
    await this.#context.audioWorklet.addModule(new URL("./playback-worklet.js", import.meta.url));
    this.#node = new AudioWorkletNode(this.#context, "playback", {
      numberOfInputs: 0,
      outputChannelCount: [1],
      processorOptions: { fromHz: OUTPUT_RATE_HZ },
    });
    this.#node.port.onmessage = ({ data: report }) => onReport(report);
    this.#node.connect(this.#context.destination);
    await this.#context.resume();
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
    return this.#context.state === "closed" ? Promise.resolve() : this.#context.close();
  }
}
