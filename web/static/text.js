/** @param {number | null} value milliseconds @returns {string} such as `132 ms` or `12.3 s` */
export function milliseconds(value) {
  if (value === null) return "–";
  return value < 9999.5 ? `${Math.round(value)} ms` : `${(value / 1000).toFixed(1)} s`;
}

/** A name for a file of this moment, such as `omni-duplex-2026-11-25-14-03-09.wav`. @param {Date} at */
export function fileName(at, ending) {
  const stamp = new Date(at.getTime() - at.getTimezoneOffset() * 60000).toISOString().slice(0, 19).replace(/[T:]/g, "-");
  return `omni-duplex-${stamp}.${ending}`;
}
