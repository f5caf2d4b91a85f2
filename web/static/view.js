import { isAnswering, phaseOf } from "./state.js";

const WORDS = {
  off: ["Ready", "Press the button and speak. You may interrupt at any time."],
  opening: ["One moment", "Your browser asks for the microphone."],
  connecting: ["Connecting", "Looking for a free engine."],
  waiting: ["Waiting", "Connects by itself as soon as the engine is ready."],
  listening: ["Listening", "Say something."],
  "user-speaking": ["You speak", "I hear you."],
  answering: ["Answering", "Just speak to interrupt."],
  interrupted: ["Interrupted", "The answer was cut off. Go on."],
};

const ANSWER_MARKS = { open: "speaking", interrupted: "interrupted", ended: "cut off by the end of the call" };

/** All of the page's DOM: shows a state, reports what the user does. */
export class View {
  #elements;
  #entries = new Map();
  #levels = { microphone: 0, answer: 0 };
  #frame = null;

  /**
   * @param {Document} document
   * @param {{
   *   onTalk: () => void, onStop: () => void, onRetry: () => void, onDismiss: () => void,
   * }} actions
   */
  constructor(document, { onTalk, onStop, onRetry, onDismiss }) {
    const byId = (id) => document.getElementById(id);
    this.#elements = {
      body: document.body,
      choice: byId("choice"),
      empty: byId("log-empty"),
      firstSound: byId("first-sound"),
      firstSoundNote: byId("first-sound-note"),
      breakTime: byId("break"),
      hint: byId("state-hint"),
      ledger: byId("ledger"),
      ledgerRows: byId("ledger-rows"),
      log: byId("log"),
      problem: byId("problem"),
      problemAdvice: byId("problem-advice"),
      problemRetry: byId("problem-retry"),
      problemTitle: byId("problem-title"),
      server: byId("server"),
      standIn: byId("stand-in"),
      state: byId("state"),
      stop: byId("stop"),
      talk: byId("talk"),
      talkLabel: byId("talk-label"),
      warning: byId("warning"),
      warningText: byId("warning-text"),
      word: byId("state-word"),
    };
    this.#elements.talk.addEventListener("click", onTalk);
    this.#elements.stop.addEventListener("click", onStop);
    this.#elements.problemRetry.addEventListener("click", () => {
      onRetry();
      // The pressed button is about to disappear; the keyboard goes on where it would go next.
      this.#elements.talk.focus();
    });
    byId("warning-dismiss").addEventListener("click", onDismiss);
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape") onStop();
    });
  }

  /** The user's choice: "duplex", "simplex", or null as long as nothing is chosen. */
  get conversation() {
    return this.#elements.choice.querySelector("input:checked")?.value ?? null;
  }

  /** @param {typeof import("./state.js").initialState} state */
  render(state) {
    const { body, choice, stop, talk, talkLabel, word, hint } = this.#elements;
    const phase = phaseOf(state);
    const inCall = state.link !== "off";
    body.dataset.phase = phase;
    const [stateWord, usualHint] = WORDS[phase];
    setText(word, stateWord);
    setText(hint, phase === "waiting" && state.waitingFor ? state.waitingFor : usualHint);
    setText(talkLabel, inCall ? "End" : "Talk");
    talk.setAttribute("aria-label", inCall ? "End the conversation" : "Start talking");
    choice.disabled = inCall;
    stop.disabled = !(state.link === "open" && isAnswering(state));
    if (state.engine) this.showStandIn(state.engine.standIn);
    if (state.conversation) this.#check(state.conversation);
    this.#renderTrouble(state);
    this.#renderFigures(state.latency);
    this.#renderLog(state.log);
  }

  /**
   * What `GET /status` told before any call. Null says that it did not answer.
   * @param {{version?: string, conversation?: string, engines?: {kind: string, stand_in?: boolean, state: string}[]} | null} status
   */
  showStatus(status) {
    const engine = status?.engines?.[0];
    const parts = [engine?.kind, engine?.state === "ready" ? null : engine?.state, status?.version];
    setText(this.#elements.server, parts.filter(Boolean).join(" · "));
    if (!status) return;
    this.showStandIn(Boolean(status.engines?.some((each) => each.stand_in)));
    if (this.conversation === null) this.#check(status.conversation);
  }

  /** @param {boolean} standIn whether the engine is no real model */
  showStandIn(standIn) {
    this.#elements.standIn.hidden = !standIn;
  }

  /** @param {{microphone?: number, answer?: number}} levels meter positions, 0 to 1; drawn with the next frame */
  setLevels(levels) {
    Object.assign(this.#levels, levels);
    this.#frame ??= requestAnimationFrame(() => {
      this.#frame = null;
      const { style } = this.#elements.body;
      style.setProperty("--microphone-level", this.#levels.microphone.toFixed(3));
      style.setProperty("--answer-level", this.#levels.answer.toFixed(3));
    });
  }

  #check(conversation) {
    const input = this.#elements.choice.querySelector(`input[value="${CSS.escape(conversation ?? "")}"]`);
    if (input) input.checked = true;
  }

  #renderTrouble({ problem, warning }) {
    const { problem: card, problemTitle, problemAdvice, problemRetry } = this.#elements;
    card.hidden = problem === null;
    this.#elements.state.hidden = problem !== null;
    if (problem) {
      card.dataset.problem = problem.id;
      setText(problemTitle, problem.title);
      setText(problemAdvice, problem.advice);
      problemRetry.hidden = !problem.retry;
    }
    this.#elements.warning.hidden = warning === null;
    setText(this.#elements.warningText, warning ?? "");
  }

  #renderFigures({ firstSoundMs, firstSoundBy, breakMs, ledger }) {
    const { firstSound, firstSoundNote, breakTime, ledger: details, ledgerRows } = this.#elements;
    setText(firstSound, milliseconds(firstSoundMs));
    setText(firstSoundNote, firstSoundBy === "page" ? "after the end of your turn" : "after your last word");
    setText(breakTime, milliseconds(breakMs));
    const rows = Object.entries(ledger);
    details.hidden = rows.length === 0;
    const shown = rows.map(([name, value]) => `${name}=${value}`).join();
    if (ledgerRows.dataset.shown === shown) return;
    ledgerRows.dataset.shown = shown;
    ledgerRows.replaceChildren(
      ...rows.flatMap(([name, value]) => [
        make("dt", "", name.replace(/_ms$/, "").replaceAll("_", " ")),
        make("dd", "", milliseconds(value)),
      ]),
    );
  }

  #renderLog(log) {
    const { log: list, empty } = this.#elements;
    const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
    const keep = new Map();
    for (const entry of log) {
      const known = this.#entries.get(entry.key);
      const item = known?.item ?? list.appendChild(make("li"));
      if (known?.entry !== entry) fill(item, entry);
      keep.set(entry.key, { item, entry });
    }
    for (const [key, { item }] of this.#entries) if (!keep.has(key)) item.remove();
    this.#entries = keep;
    empty.hidden = log.length > 0;
    if (atEnd) list.scrollTop = list.scrollHeight;
  }
}

function fill(item, { kind, text, status, durationMs }) {
  item.className = kind;
  item.dataset.status = status;
  if (kind === "user") {
    const length = durationMs === null ? "" : ` for ${(durationMs / 1000).toFixed(1)} s`;
    item.replaceChildren(make("span", "text", status === "open" ? "You are speaking" : `You spoke${length}`));
    return;
  }
  const mark = ANSWER_MARKS[status];
  item.replaceChildren(make("span", "text", text || (status === "open" ? "…" : "(no words)")));
  if (mark) item.append(make("span", "mark", mark));
}

function milliseconds(value) {
  if (value === null) return "–";
  return value < 9999.5 ? `${Math.round(value)} ms` : `${(value / 1000).toFixed(1)} s`;
}

function make(tag, className, text = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.textContent = text;
  return element;
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
