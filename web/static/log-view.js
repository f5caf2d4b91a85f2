import { make } from "./elements.js";
import { heardAndCut } from "./log.js";

/** The conversation in writing: keeps the list's items in step with the log. */
export class LogView {
  #list;
  #empty;
  #entries = new Map();
  #words = null;

  /** @param {HTMLElement} list @param {HTMLElement} empty what stands there as long as there is nothing */
  constructor(list, empty) {
    this.#list = list;
    this.#empty = empty;
  }

  /** @param {object[]} log see log.js @param {object} words of one language */
  render(log, words) {
    const list = this.#list;
    if (this.#words !== words) {
      list.replaceChildren();
      this.#entries.clear();
      this.#words = words;
    }
    const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
    const keep = new Map();
    for (const entry of log) {
      const known = this.#entries.get(entry.key);
      const item = known?.item ?? list.appendChild(make("li"));
      if (known?.entry !== entry) fill(item, entry, words);
      keep.set(entry.key, { item, entry });
    }
    for (const [key, { item }] of this.#entries) if (!keep.has(key)) item.remove();
    this.#entries = keep;
    this.#empty.hidden = log.length > 0;
    if (atEnd) list.scrollTop = list.scrollHeight;
  }
}

function fill(item, entry, words) {
  item.className = entry.kind;
  item.dataset.status = entry.status;
  item.replaceChildren(time(entry.atMs, words.tag), FILLERS[entry.kind](entry, words.log));
  const mark = entry.kind === "answer" ? words.log.marks[entry.status] : null;
  if (mark) item.append(make("span", "mark", mark));
}

const FILLERS = {
  user({ status, durationMs }, words) {
    const seconds = durationMs === null ? null : (durationMs / 1000).toFixed(1);
    return make("span", "text", status === "open" ? words.speaking : words.spoke(seconds));
  },
  note: ({ id }, words) => make("span", "text", words.notes[id]),
  answer(entry, words) {
    const { heard, cut } = heardAndCut(entry);
    const text = make("span", "text", heard || (cut ? "" : entry.status === "open" ? "…" : words.noWords));
    if (cut.trim()) {
      // Not every screen reader says that a text is struck through.
      const unheard = make("del", "", cut);
      unheard.prepend(make("span", "only-read", `${words.cut} `));
      text.append(unheard);
    }
    return text;
  },
};

function time(atMs, tag) {
  const at = new Date(performance.timeOrigin + atMs);
  const element = make("time", "", at.toLocaleTimeString(tag, { hour12: false }));
  element.dateTime = at.toISOString();
  return element;
}
