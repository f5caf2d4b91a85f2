const LIMIT = 200;

/**
 * The log of a conversation: immutable lists of entries, oldest first, at most 200 of them. An entry is
 *
 *     {key, kind: "user", id, atMs, startMs, durationMs: number | null, status: "open" | "completed" | "ended"}
 *     {key, kind: "answer", id, atMs, text, heard, status: "open" | "completed" | "interrupted" | "ended"}
 *     {key, kind: "note", id, atMs, status: "completed"}
 *
 * `key` is unique, `atMs` on the page's clock. `heard` is how many characters of `text` were heard; null for all.
 */

/** @returns {object[]} `log` with one more entry */
export function append(log, entry) {
  const key = (log.at(-1)?.key ?? 0) + 1;
  return [...log, { ...entry, key }].slice(-LIMIT);
}

/** @returns {object[]} `log` with the newest entry of this id changed */
export function amend(log, id, change) {
  // The newest: a server that was started again may count its ids from the start again.
  const index = log.findLastIndex((entry) => entry.id === id);
  return index < 0 ? log : log.with(index, change(log[index]));
}

/** @returns {object[]} `log` when nothing more of its open entries will come */
export function closeOpenEntries(log) {
  return log.map((entry) => (entry.status === "open" ? { ...entry, status: "ended" } : entry));
}

/**
 * An answer was cut off.
 * @param {{text: string, heard: number | null}} entry
 * @param {string | undefined} heardText the words that were heard, where the server tells
 */
export function interrupted(entry, heardText) {
  const heard = heardText === undefined ? entry.heard : commonLength(entry.text, heardText);
  return { ...entry, status: "interrupted", heard };
}

/**
 * @param {{text: string, heard: number | null}} entry
 * @returns {{heard: string, cut: string}} the text before and after the word where it was cut off
 */
export function heardAndCut({ text, heard }) {
  return heard === null ? { heard: text, cut: "" } : { heard: text.slice(0, heard), cut: text.slice(heard) };
}

function commonLength(text, other) {
  let length = 0;
  while (length < text.length && length < other.length && text[length] === other[length]) length += 1;
  return length;
}
