import { float32ToInt16, rms } from "./pcm.js";
import { writeWav } from "./wav.js";

const RATE_HZ = 16000;
const SHORTEST_S = 3;
const LONGEST_S = 30;
// -50 dBFS: fainter than a whisper into a bad microphone.
const SILENT_RMS = 0.003;

/**
 * @param {Float32Array} samples mono at 16 kHz
 * @returns {{wav: Uint8Array, seconds: number, fault: null} | {wav: null, seconds: number, fault: "short" | "silent"}}
 *   a voice for the server, its first 30 s, or why it is none
 */
export function voiceFrom(samples) {
  const kept = samples.subarray(0, LONGEST_S * RATE_HZ);
  const seconds = kept.length / RATE_HZ;
  if (seconds < SHORTEST_S) return { wav: null, seconds, fault: "short" };
  if (rms(kept) < SILENT_RMS) return { wav: null, seconds, fault: "silent" };
  return { wav: writeWav([float32ToInt16(kept)], RATE_HZ), seconds, fault: null };
}

/**
 * Reads a sound file of any kind the browser knows. Throws what `decodeAudioData` throws.
 * @param {Blob} file
 * @returns {Promise<Float32Array>} mono at 16 kHz
 */
export async function decodeSound(file) {
  // Decoding into a context resamples to its rate.
  const context = new OfflineAudioContext(1, 1, RATE_HZ);
  const sound = await context.decodeAudioData(await file.arrayBuffer());
  const mixed = new OfflineAudioContext(1, sound.length, RATE_HZ);
  const source = mixed.createBufferSource();
  source.buffer = sound;
  source.connect(mixed.destination);
  source.start();
  return (await mixed.startRendering()).getChannelData(0);
}

/**
 * Leaves the voice with the server for the next conversations.
 * @param {Uint8Array} wav
 * @param {string | null} key
 * @returns {Promise<string | null>} its name for `?voice=`; null when the server did not take it
 */
export async function sendVoice(wav, key) {
  try {
    const headers = { "Content-Type": "audio/wav", ...(key ? { Authorization: `Bearer ${key}` } : {}) };
    const response = await fetch("/v1/realtime/voices", { method: "POST", headers, body: wav });
    return response.ok ? (await response.json()).id : null;
  } catch {
    return null;
  }
}
