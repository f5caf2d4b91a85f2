/** What a user chose and wants to find again, as one plain object. */
export const usualPreferences = Object.freeze({
  language: null,
  turns: null,
  volume: 1,
  bargeIn: null,
  microphoneId: null,
  speakerId: null,
  echo: "cancelled",
  route: "direct",
  refresh: false,
  hd: false,
  insideOpen: false,
});

const ALLOWED = {
  language: ["en", "zh"],
  turns: ["duplex", "simplex", "hold"],
  bargeIn: ["eager", "balanced", "calm"],
  echo: ["cancelled", "open"],
  route: ["direct", "loopback"],
};

/**
 * @param {string | null} text what `preferencesText` made, or anything else
 * @returns {typeof usualPreferences} what of it can be used; the usual for the rest
 */
export function readPreferences(text) {
  let kept = {};
  try {
    kept = JSON.parse(text ?? "{}") ?? {};
  } catch {
    // Somebody else's, or half of it: as good as none.
  }
  const usable = Object.entries(usualPreferences).map(([name, usual]) => [name, isUsable(name, kept[name]) ? kept[name] : usual]);
  return Object.fromEntries(usable);
}

/** @param {typeof usualPreferences} preferences */
export function preferencesText(preferences) {
  return JSON.stringify(preferences);
}

function isUsable(name, value) {
  if (name in ALLOWED) return ALLOWED[name].includes(value);
  if (name === "volume") return typeof value === "number" && value >= 0 && value <= 1;
  return typeof value === (name.endsWith("Id") ? "string" : "boolean");
}
