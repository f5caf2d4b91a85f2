import { en } from "./words-en.js";
import { zh } from "./words-zh.js";

/** Everything the page says, by language. */
export const LANGUAGES = Object.freeze({ en, zh });

/** @param {string} language such as "en"; English for one that is not there */
export function wordsFor(language) {
  return Object.hasOwn(LANGUAGES, language) ? LANGUAGES[language] : en;
}

/**
 * @param {string | null} wanted what the user chose before
 * @param {readonly string[]} spoken the browser's languages, such as "zh-CN", most wanted first
 * @returns {keyof typeof LANGUAGES}
 */
export function chooseLanguage(wanted, spoken) {
  const known = [wanted, ...spoken].map((tag) => String(tag).split("-", 1)[0].toLowerCase());
  return known.find((tag) => Object.hasOwn(LANGUAGES, tag)) ?? "en";
}

/**
 * @param {object} words of one language
 * @param {string} path such as "talk.start"
 * @returns {string} throws `RangeError` for a path that names no text
 */
export function lookUp(words, path) {
  const found = path.split(".").reduce((branch, name) => branch?.[name], words);
  if (typeof found !== "string") throw new RangeError(`there are no words for '${path}'`);
  return found;
}

/**
 * @param {object} words
 * @param {import("./problems.js").Problem} problem
 * @returns {{title: string, advice: string}}
 */
export function problemWords(words, { id, said }) {
  const { title, advice } = words.problems[id];
  return { title, advice: advice(said) };
}

/**
 * A warning in the page's words where it has some, else in the server's.
 * @param {object} words
 * @param {{id: string, said?: string}} warning
 */
export function warningWords(words, { id, said }) {
  const known = Object.hasOwn(words.warnings, id) ? words.warnings[id] : null;
  return known ? known(said ?? "") : said || id;
}
