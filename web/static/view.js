import { setText } from "./elements.js";
import { keyAction } from "./keyboard.js";
import { LogView } from "./log-view.js";
import { isAnswering, phaseOf } from "./state.js";
import { lookUp, problemWords, warningWords } from "./words.js";

/** The stage: the big button, the state of the call, the conversation. Shows a state, reports what the user does. */
export class View {
  #document;
  #elements;
  #logView;
  #words = null;
  #levels = { microphone: 0, answer: 0 };
  #frame = null;
  #state = null;

  /**
   * @param {Document} document
   * @param {{
   *   onTalk: () => void, onPress: () => void, onRelease: () => void, onStop: () => void, onEnd: () => void,
   *   onRetry: () => void, onDismiss: () => void, onCamera: () => void, onVolume: (volume: number) => void,
   *   onTurns: (turns: string) => void,
   * }} actions `onTalk` is the big button outside push to talk: to begin, to mute, to unmute
   */
  constructor(document, actions) {
    this.#document = document;
    const byId = (id) => document.getElementById(id);
    const ids = [
      "camera", "choice", "controls", "end", "preview", "problem", "problem-advice", "problem-retry", "problem-title",
      "server", "stand-in", "state", "state-hint", "state-word", "stop", "talk", "talk-label", "volume", "warning",
      "warning-text",
    ];
    this.#elements = Object.fromEntries(ids.map((id) => [id, byId(id)]));
    this.#logView = new LogView(byId("log"), byId("log-empty"));
    this.#listen(actions, byId("warning-dismiss"));
  }

  #listen(actions, dismiss) {
    const { talk, stop, end, camera, volume, choice } = this.#elements;
    this.#listenToTalk(talk, actions);
    stop.addEventListener("click", actions.onStop);
    end.addEventListener("click", () => {
      actions.onEnd();
      // The pressed button is about to disappear; the keyboard goes on where a new call begins.
      talk.focus();
    });
    camera.addEventListener("click", actions.onCamera);
    volume.addEventListener("input", () => actions.onVolume(volume.valueAsNumber / 100));
    choice.addEventListener("change", () => actions.onTurns(this.turns));
    this.#elements["problem-retry"].addEventListener("click", () => {
      actions.onRetry();
      talk.focus();
    });
    dismiss.addEventListener("click", actions.onDismiss);
    for (const type of ["keydown", "keyup"]) this.#document.addEventListener(type, (event) => this.#onKey(event, actions));
  }

  /** In push to talk the button is held; screen readers, which only click, press and let go with two clicks. */
  #listenToTalk(talk, actions) {
    const isHold = () => this.#state.turns === "hold" && this.#state.link !== "off";
    talk.addEventListener("pointerdown", (event) => {
      if (!isHold() || event.button !== 0) return;
      talk.setPointerCapture(event.pointerId);
      actions.onPress();
    });
    for (const type of ["pointerup", "pointercancel"]) talk.addEventListener(type, () => isHold() && actions.onRelease());
    talk.addEventListener("contextmenu", (event) => isHold() && event.preventDefault());
    talk.addEventListener("click", (event) => {
      if (!isHold()) actions.onTalk();
      else if (event.detail === 0) this.#state.holding ? actions.onRelease() : actions.onPress();
    });
  }

  #onKey(event, actions) {
    const control = event.target.closest?.("button, input, select, textarea, summary, a, dialog");
    const focus = control === this.#elements.talk ? "talk" : control ? "control" : "page";
    const { action, claimed } = keyAction(event, focus, this.#state);
    if (claimed) event.preventDefault();
    const { onTalk, onPress, onRelease, onStop } = actions;
    ({ talk: onTalk, press: onPress, release: onRelease, stop: onStop })[action]?.();
  }

  /** How turns are to be taken: "duplex", "simplex", "hold", or null as long as nothing is chosen. */
  get turns() {
    return this.#elements.choice.querySelector("input:checked")?.value ?? null;
  }

  set turns(turns) {
    const input = this.#elements.choice.querySelector(`input[value="${CSS.escape(turns ?? "")}"]`);
    if (input) input.checked = true;
  }

  set volume(volume) {
    this.#elements.volume.value = String(Math.round(volume * 100));
  }

  /** @param {boolean} isOn whether the camera is on */
  set camera(isOn) {
    this.#elements.camera.setAttribute("aria-pressed", String(isOn));
    this.#elements.preview.hidden = !isOn;
    this.#document.body.dataset.camera = isOn ? "on" : "off";
    if (this.#words) this.#elements.camera.setAttribute("aria-label", isOn ? this.#words.talk.cameraOff : this.#words.talk.cameraOn);
  }

  /** @param {object} words of one language, from now on */
  setWords(words) {
    this.#words = words;
    this.#document.documentElement.lang = words.tag;
    for (const element of this.#document.querySelectorAll("[data-words]")) setText(element, lookUp(words, element.dataset.words));
    for (const element of this.#document.querySelectorAll("[data-label]")) {
      element.setAttribute("aria-label", lookUp(words, element.dataset.label));
    }
    this.camera = this.#elements.camera.getAttribute("aria-pressed") === "true";
  }

  /** @param {typeof import("./state.js").initialState} state */
  render(state) {
    this.#state = state;
    const { choice, controls, stop } = this.#elements;
    const phase = phaseOf(state);
    this.#document.body.dataset.phase = phase;
    this.#document.body.dataset.muted = String(state.muted);
    const [word, hint] = this.#words.phases[phase];
    setText(this.#elements["state-word"], word);
    setText(this.#elements["state-hint"], this.#hint(phase, state) ?? hint);
    this.#renderTalk(state);
    const inCall = state.link !== "off";
    controls.hidden = !inCall;
    choice.disabled = choice.hidden = inCall;
    stop.disabled = !(state.link === "open" && isAnswering(state));
    if (state.engine) this.showStandIn(state.engine.standIn);
    this.#renderTrouble(state);
    this.#logView.render(state.log, this.#words);
  }

  #hint(phase, state) {
    if (phase === "queued" && state.queue) {
      const { position, estimatedWaitS } = state.queue;
      return this.#words.queue(position, estimatedWaitS === null ? null : this.#words.duration(estimatedWaitS));
    }
    if (phase === "waiting" && state.waitingFor) return state.waitingFor;
    if (phase === "listening" && state.turns === "hold") return this.#words.holdHint;
    return null;
  }

  #renderTalk({ link, turns, muted, holding }) {
    const { talk, "talk-label": label } = this.#elements;
    const { talk: words } = this.#words;
    const [shown, said] =
      link === "off"
        ? [words.talk, words.start]
        : turns === "hold"
          ? [words.hold, words.holdLabel]
          : muted
            ? [words.unmute, words.unmuteLabel]
            : [words.mute, words.muteLabel];
    setText(label, shown);
    if (talk.getAttribute("aria-label") !== said) talk.setAttribute("aria-label", said);
    if (turns === "hold" && link !== "off") talk.setAttribute("aria-pressed", String(holding));
    else talk.removeAttribute("aria-pressed");
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
    if (this.turns === null) this.turns = status.conversation;
  }

  /** @param {boolean} standIn whether the engine is no real model */
  showStandIn(standIn) {
    this.#elements["stand-in"].hidden = !standIn;
  }

  /** @param {{microphone?: number, answer?: number}} levels meter positions, 0 to 1; drawn with the next frame */
  setLevels(levels) {
    Object.assign(this.#levels, levels);
    this.#frame ??= requestAnimationFrame(() => {
      this.#frame = null;
      const { style } = this.#document.body;
      style.setProperty("--microphone-level", this.#levels.microphone.toFixed(3));
      style.setProperty("--answer-level", this.#levels.answer.toFixed(3));
    });
  }

  #renderTrouble({ problem, warning }) {
    const { problem: card, "problem-retry": retry } = this.#elements;
    card.hidden = problem === null;
    this.#elements.state.hidden = problem !== null;
    if (problem) {
      card.dataset.problem = problem.id;
      const { title, advice } = problemWords(this.#words, problem);
      setText(this.#elements["problem-title"], title);
      setText(this.#elements["problem-advice"], advice);
      retry.hidden = !problem.retry;
    }
    this.#elements.warning.hidden = warning === null;
    setText(this.#elements["warning-text"], warning ? warningWords(this.#words, warning) : "");
  }
}
