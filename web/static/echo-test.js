/**
 * Does the microphone hear the loudspeaker, and does the browser take that away? A few chirps are played and looked for
 * in what the microphone heard. Everything here is a function of samples; echo-probe.js plays and listens.
 */

const CHIRP_S = 0.12;
const FROM_HZ = 600;
const TO_HZ = 4000;
const CHIRP_LEVEL = 0.5;
// So alike must what was heard be to what was played; noise reaches 0.1.
const ALIKE = 0.25;
// Fainter than this part of what is played, an echo stays below what the server takes for speech.
const HARMLESS_DB = -40;
const DEAF_DBFS = -90;
const NOISY_DBFS = -30;
const FLOOR_DB = -90;
// Bluetooth takes a quarter of a second; the next chirp comes after half of one.
const LATEST_S = 0.36;
const STEP = 3;
const CLOSER_LOOKS = 8;

/** @returns {Float32Array} one chirp: 120 ms that rise from 600 to 4000 Hz, faded at both ends */
export function chirp(rateHz) {
  const count = Math.round(CHIRP_S * rateHz);
  return Float32Array.from({ length: count }, (_, i) => {
    const s = i / rateHz;
    const phase = 2 * Math.PI * (FROM_HZ * s + ((TO_HZ - FROM_HZ) * s * s) / (2 * CHIRP_S));
    return CHIRP_LEVEL * Math.sin(phase) * Math.sin((Math.PI * i) / count) ** 2;
  });
}

/**
 * Looks for one chirp.
 * @param {Float32Array} heard what the microphone heard from the moment the chirp was played on
 * @param {Float32Array} played the chirp at the same rate
 * @param {number} within how many samples late it may be
 * @returns {{at: number, gainDb: number, likeness: number}} where it fits best, how loud it is there compared with what
 *   was played, and how alike, 0 to 1
 */
export function findChirp(heard, played, within) {
  const energy = dot(played, played, 0);
  const last = Math.min(within, heard.length - played.length);
  const tried = [];
  let around = dot(heard, heard.subarray(0, played.length), 0);
  const likeness = (at) => {
    const product = Math.abs(dot(heard, played, at));
    return { at, product, likeness: around > 1e-9 ? product / Math.sqrt(around * energy) : 0 };
  };
  // A step of three samples still meets more than half of the peak; the most promising places are looked at closely.
  for (let at = 0; at <= last; at += 1) {
    if (at % STEP === 0) tried.push({ ...likeness(at), around });
    around += heard[at + played.length] ** 2 - heard[at] ** 2 || 0;
  }
  const promising = tried.sort((a, b) => b.likeness - a.likeness).slice(0, CLOSER_LOOKS);
  let best = { at: 0, product: 0, likeness: 0 };
  for (const { at: near, around: level } of promising) {
    around = level;
    for (let at = Math.max(0, near - STEP + 1); at < near + STEP && at <= last; at += 1) {
      const seen = likeness(at);
      if (seen.likeness > best.likeness) best = seen;
    }
  }
  const gainDb = best.product > 0 ? Math.max(FLOOR_DB, 20 * Math.log10(best.product / energy)) : FLOOR_DB;
  return { at: best.at, gainDb, likeness: Math.min(1, best.likeness) };
}

function dot(heard, played, at) {
  let sum = 0;
  for (let i = 0; i < played.length; i += 1) sum += heard[at + i] * played[i];
  return sum;
}

/**
 * One round of chirps.
 * @param {Float32Array} heard the microphone's samples, from before the first chirp on
 * @param {number[]} playedAt at which of them each chirp was played
 * @param {number} rateHz
 * @param {{last?: boolean}} what `last`: only the last chirp counts, because the canceller learns from the others
 * @returns {{found: boolean, delayMs: number | null, gainDb: number, quietDbfs: number}} `quietDbfs` is the level of
 *   what came before the first chirp
 */
export function weigh(heard, playedAt, rateHz, { last = false } = {}) {
  const pattern = chirp(rateHz);
  const within = Math.round(rateHz * LATEST_S);
  const looked = (last ? playedAt.slice(-1) : playedAt).map((at) => {
    const from = Math.max(0, Math.round(at));
    return findChirp(heard.subarray(from, from + within + pattern.length), pattern, within);
  });
  const hits = looked.filter(({ likeness }) => likeness >= ALIKE);
  const found = hits.length * 2 > looked.length;
  const middle = [...(found ? hits : looked)].sort((a, b) => a.at - b.at)[Math.floor((found ? hits : looked).length / 2)];
  return {
    found,
    delayMs: found ? Math.round((middle.at * 1000) / rateHz) : null,
    gainDb: found ? middle.gainDb : FLOOR_DB,
    quietDbfs: dbfs(heard.subarray(0, Math.max(1, Math.round(playedAt[0])))),
  };
}

/**
 * @param {{raw: ReturnType<typeof weigh>, cancelled: ReturnType<typeof weigh>,
 *   loopback?: ReturnType<typeof weigh> | null}} rounds without and with the browser's echo cancellation, and with it
 *   through a loopback
 * @returns {{id: "deaf" | "noisy" | "silent" | "cancelled" | "loopback" | "leaks", echo: "cancelled" | "open",
 *   route: "direct" | "loopback", lossDb: number | null}} the verdict and the settings that follow from it
 */
export function verdictOn({ raw, cancelled, loopback = null }) {
  const lossDb = raw.found ? Math.round(raw.gainDb - cancelled.gainDb) : null;
  const verdict = (id, echo = "cancelled", route = "direct") => ({ id, echo, route, lossDb });
  if (raw.quietDbfs <= DEAF_DBFS && !raw.found) return verdict("deaf");
  if (!raw.found) return verdict(raw.quietDbfs > NOISY_DBFS ? "noisy" : "silent");
  if (isHarmless(cancelled)) return verdict("cancelled");
  if (loopback && isHarmless(loopback)) return verdict("loopback", "cancelled", "loopback");
  return verdict("leaks", "open");
}

/** Whether an echo that was weighed needs no further measures. */
export function isHarmless({ found, gainDb }) {
  return !found || gainDb < HARMLESS_DB;
}

/** @param {Float32Array} samples @returns {number} their level, at least -120 */
export function dbfs(samples) {
  let sum = 0;
  for (const value of samples) sum += value * value;
  return Math.max(-120, 10 * Math.log10(sum / samples.length || 1e-12));
}
