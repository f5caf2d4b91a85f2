/**
 * What the panel shows of a turn: moments after the user's last word, or after the first word of an interruption, in
 * order of time.
 */

const ORDER = [
  "speech_end_to_detected_ms",
  "speech_end_to_request_ms",
  "speech_end_to_first_text_ms",
  "speech_end_to_first_audio_ms",
];
const WITHOUT_SPEECH = ["request_to_first_text_ms", "request_to_first_audio_ms"];
const BREAK_ORDER = ["onset_to_hold_ms", "onset_to_break_ms"];

/**
 * @param {{ledger: Record<string, number>, firstSoundMs: number | null}} latency
 * @returns {{name: string, ms: number}[]} by time; empty when nothing was measured
 */
export function answerStages({ ledger, firstSoundMs }) {
  const known = ORDER.filter((name) => name in ledger);
  const names = known.length > 0 ? known : WITHOUT_SPEECH.filter((name) => name in ledger);
  const stages = names.map((name) => ({ name, ms: ledger[name] }));
  if (firstSoundMs !== null) stages.push({ name: "played", ms: firstSoundMs });
  return stages.sort((a, b) => a.ms - b.ms);
}

/**
 * @param {{breakLedger: Record<string, number>, breakMs: number | null}} latency
 * @returns {{name: string, ms: number}[]} by time; empty when nothing was measured
 */
export function breakStages({ breakLedger, breakMs }) {
  const stages = BREAK_ORDER.filter((name) => name in breakLedger).map((name) => ({ name, ms: breakLedger[name] }));
  if (breakMs !== null) stages.push({ name: "silent", ms: breakMs });
  return stages.sort((a, b) => a.ms - b.ms);
}
