import { chirp, isHarmless, verdictOn, weigh } from "./echo-test.js";
import { Loopback } from "./loopback.js";
import { Microphone } from "./microphone.js";
import { int16ToFloat32 } from "./pcm.js";
import { INPUT_RATE_HZ } from "./protocol.js";

const CHIRPS = 4;
const EVERY_S = 0.5;
const QUIET_S = 0.3;

/**
 * Plays chirps and listens, without and with echo cancellation, and once more through a loopback where that is not
 * enough. Call it inside a click. Throws what `getUserMedia` throws.
 * @param {{microphoneId: string | null, speakerId: string | null}} devices
 * @returns {Promise<{verdict: ReturnType<typeof verdictOn>, delayMs: number | null, levelDbfs: number,
 *   cancelsEcho: boolean | null}>} `cancelsEcho` is what the browser says of itself; null when it says nothing
 */
export async function probeEcho(devices) {
  const raw = await round(devices, { cancelsEcho: false });
  const cancelled = await round(devices, { cancelsEcho: true });
  const needsMore = raw.weighed.found && !isHarmless(cancelled.weighed);
  const loopback = needsMore ? await round(devices, { cancelsEcho: true, loops: true }) : null;
  return {
    verdict: verdictOn({ raw: raw.weighed, cancelled: cancelled.weighed, loopback: loopback?.weighed ?? null }),
    delayMs: raw.weighed.delayMs,
    levelDbfs: Math.round(raw.weighed.quietDbfs),
    cancelsEcho: cancelled.settings?.echoCancellation ?? null,
  };
}

async function round({ microphoneId, speakerId }, { cancelsEcho, loops = false }) {
  const speaker = new AudioContext({ latencyHint: "interactive" });
  const microphone = new Microphone();
  const loopback = loops ? new Loopback() : null;
  try {
    const ears = new Ears();
    const source = chirps(speaker);
    if (loopback) await loopback.open(source, speakerId);
    else {
      if (speakerId && "setSinkId" in speaker) await speaker.setSinkId(speakerId);
      source.connect(speaker.destination);
    }
    await microphone.open({ onFrame: (pcm) => ears.hear(pcm), onLost: () => {} }, { deviceId: microphoneId, cancelsEcho });
    await speaker.resume();
    await ears.hasHeard(QUIET_S);
    const beganMs = performance.now();
    source.start();
    await ears.hasHeard(QUIET_S + CHIRPS * EVERY_S + EVERY_S);
    const first = ears.positionAt(beganMs);
    const playedAt = Array.from({ length: CHIRPS }, (_, i) => first + i * EVERY_S * INPUT_RATE_HZ);
    return { weighed: weigh(ears.samples(), playedAt, INPUT_RATE_HZ, { last: cancelsEcho }), settings: microphone.settings };
  } finally {
    loopback?.close();
    await Promise.all([microphone.close(), speaker.close()]);
  }
}

function chirps(context) {
  const one = chirp(context.sampleRate);
  const buffer = context.createBuffer(1, Math.ceil(CHIRPS * EVERY_S * context.sampleRate), context.sampleRate);
  for (let i = 0; i < CHIRPS; i += 1) buffer.copyToChannel(one, 0, Math.round(i * EVERY_S * context.sampleRate));
  const source = context.createBufferSource();
  source.buffer = buffer;
  return source;
}

/** What the microphone has heard since the beginning, and when. */
class Ears {
  #frames = [];
  #count = 0;
  #beganMs = Infinity;
  #waiting = null;

  hear(pcm) {
    const samples = new Int16Array(pcm);
    this.#frames.push(samples);
    this.#count += samples.length;
    // The earliest frame tells most truly when the first sample was.
    this.#beganMs = Math.min(this.#beganMs, performance.now() - (this.#count * 1000) / INPUT_RATE_HZ);
    if (this.#waiting && this.#count >= this.#waiting.samples) this.#waiting.done();
  }

  hasHeard(seconds) {
    const { promise, resolve } = withResolvers();
    this.#waiting = { samples: seconds * INPUT_RATE_HZ, done: resolve };
    return promise;
  }

  positionAt(atMs) {
    return ((atMs - this.#beganMs) * INPUT_RATE_HZ) / 1000;
  }

  samples() {
    const all = new Int16Array(this.#count);
    let at = 0;
    for (const frame of this.#frames) {
      all.set(frame, at);
      at += frame.length;
    }
    return int16ToFloat32(all);
  }
}

function withResolvers() {
  let resolve;
  const promise = new Promise((done) => {
    resolve = done;
  });
  return { promise, resolve };
}
