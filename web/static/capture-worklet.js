import { CaptureFramer } from "./pcm.js";

/** Posts `{pcm: ArrayBuffer, level}` for every frame: int16, 20 ms at the rate named in `processorOptions.toHz`. */
class CaptureProcessor extends AudioWorkletProcessor {
  #framer;

  constructor({ processorOptions }) {
    super();
    this.#framer = new CaptureFramer({ fromHz: sampleRate, toHz: processorOptions.toHz, frameMs: 20 });
  }

  process([input]) {
    if (input.length > 0) {
      for (const { pcm, level } of this.#framer.push(input[0])) {
        this.port.postMessage({ pcm: pcm.buffer, level }, [pcm.buffer]);
      }
    }
    return true;
  }
}

registerProcessor("capture", CaptureProcessor);
