import { INPUT_RATE_HZ } from "./protocol.js";

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

  /** What the browser really does to the sound, such as `echoCancellation`; null before `open`. */
  get settings() {
    return this.#stream?.getAudioTracks()[0]?.getSettings() ?? null;
  }

  /** The audio context, to follow its state; another one may have taken its place after `open`. */
  get context() {
    return this.#context;
  }

  /**
   * Asks for the microphone and starts it. Throws what `getUserMedia` throws.
   * @param {{onFrame: (pcm: ArrayBuffer, level: number) => void, onLost: () => void}} handlers
   * @param {{deviceId?: string | null, cancelsEcho?: boolean}} wishes the device is the system's when none is named
   */
  async open({ onFrame, onLost }, { deviceId = null, cancelsEcho = true } = {}) {
    this.#stream = await navigator.mediaDevices.getUserMedia({
      audio: {
        channelCount: 1,
        echoCancellation: cancelsEcho,
        noiseSuppression: cancelsEcho,
        autoGainControl: cancelsEcho,
        ...(deviceId ? { deviceId: { exact: deviceId } } : {}),
      },
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
