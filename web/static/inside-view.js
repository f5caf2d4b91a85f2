import { make, save, setText } from "./elements.js";
import { answerStages, breakStages } from "./latency-stages.js";
import { fileName, milliseconds } from "./text.js";
import { drawTimeline, PICTURE_HEIGHT } from "./timeline-picture.js";

const DRAW_EVERY_MS = 66;
const DRAW_EVERY_CALMLY_MS = 500;
const PIXELS_PER_SECOND = 90;
const COLOURS = { ground: "--card", line: "--line", ink: "--ink", quiet: "--quiet", user: "--user", answer: "--answer", cut: "--cut" };

/** The drawer "Look inside": the timeline, where the time went, how the network is, and the downloads. */
export class InsideView {
  #elements;
  #canvas;
  #getLogbook;
  #words = null;
  #frozen = null;
  #drawnAtMs = 0;
  #calm = window.matchMedia("(prefers-reduced-motion: reduce)");

  /**
   * @param {Document} document
   * @param {{getLogbook: () => import("./logbook.js").Logbook, onToggle: (isOpen: boolean) => void}} page
   */
  constructor(document, { getLogbook, onToggle }) {
    const byId = (id) => document.getElementById(id);
    const ids = [
      "answer-stages", "break", "break-stages", "first-sound", "inside", "inside-toggle", "network-facts", "save-events",
      "save-sound", "timeline", "timeline-json", "timeline-pause", "timeline-png",
    ];
    this.#elements = Object.fromEntries(ids.map((id) => [id, byId(id)]));
    this.#canvas = this.#elements.timeline.getContext("2d");
    this.#getLogbook = getLogbook;
    const { "inside-toggle": toggle, "timeline-pause": pause } = this.#elements;
    toggle.addEventListener("click", () => {
      this.isOpen = !this.isOpen;
      onToggle(this.isOpen);
    });
    pause.addEventListener("click", () => this.#pause());
    this.#elements["timeline-json"].addEventListener("click", () => this.#saveJson());
    this.#elements["timeline-png"].addEventListener("click", () => this.#savePicture());
    this.#elements["save-sound"].addEventListener("click", () => this.#saveSound());
    this.#elements["save-events"].addEventListener("click", () => this.#saveEvents());
  }

  get isOpen() {
    return !this.#elements.inside.hidden;
  }

  set isOpen(isOpen) {
    this.#elements.inside.hidden = !isOpen;
    this.#elements["inside-toggle"].setAttribute("aria-expanded", String(isOpen));
    if (isOpen) requestAnimationFrame((atMs) => this.#draw(atMs));
  }

  /** @param {object} words of one language, from now on */
  setWords(words) {
    this.#words = words;
    this.#showPaused();
  }

  /** @param {typeof import("./state.js").initialState} state */
  render({ latency, link, log }) {
    setText(this.#elements["first-sound"], milliseconds(latency.firstSoundMs));
    setText(this.#elements.break, milliseconds(latency.breakMs));
    this.#elements["save-sound"].disabled = link === "off" && log.length === 0;
    this.#elements["save-events"].disabled = link === "off" && log.length === 0;
    if (!this.isOpen) return;
    const { stageNames, breakNames } = this.#words.inside;
    this.#showStages(this.#elements["answer-stages"], answerStages(latency), stageNames);
    this.#showStages(this.#elements["break-stages"], breakStages(latency), breakNames);
  }

  #showStages(list, stages, names) {
    const shown = JSON.stringify([this.#words.tag, stages]);
    if (list.dataset.shown === shown) return;
    list.dataset.shown = shown;
    const longest = Math.max(1, ...stages.map(({ ms }) => ms));
    const rows = stages.map(({ name, ms }) => {
      const row = make("li");
      const bar = make("span", "bar");
      bar.style.setProperty("--part", (Math.max(0, ms) / longest).toFixed(3));
      row.append(make("span", "name", names[name] ?? name), make("span", "ms", milliseconds(ms)), bar);
      return row;
    });
    list.replaceChildren(...(rows.length > 0 ? rows : [make("li", "note", this.#words.inside.nothingYet)]));
  }

  #showFacts() {
    const { network, sound, framesSent, framesDropped } = this.#getLogbook();
    const { facts } = this.#words.inside;
    const values = {
      jitter: milliseconds(network.jitterMs),
      waiting: milliseconds(sound.queuedMs),
      cushion: milliseconds(sound.cushionMs),
      underruns: String(sound.underruns),
      skipped: milliseconds(sound.skippedMs),
      sent: `${(framesSent / 50).toFixed(0)} s`,
      dropped: milliseconds(framesDropped * 20),
    };
    const list = this.#elements["network-facts"];
    if (list.childElementCount === 0 || list.dataset.language !== this.#words.tag) {
      list.dataset.language = this.#words.tag;
      list.replaceChildren(...Object.keys(values).flatMap((name) => [make("dt", "", facts[name]), make("dd")]));
    }
    const cells = list.querySelectorAll("dd");
    Object.values(values).forEach((value, i) => setText(cells[i], value));
  }

  #draw(atMs) {
    if (!this.isOpen) return;
    requestAnimationFrame((nextMs) => this.#draw(nextMs));
    if (atMs - this.#drawnAtMs < (this.#calm.matches ? DRAW_EVERY_CALMLY_MS : DRAW_EVERY_MS)) return;
    this.#drawnAtMs = atMs;
    this.#showFacts();
    const { timeline: element } = this.#elements;
    const width = element.clientWidth;
    const scale = window.devicePixelRatio || 1;
    const pixels = { width: Math.round(width * scale), height: Math.round(PICTURE_HEIGHT * scale) };
    if (element.width !== pixels.width || element.height !== pixels.height) Object.assign(element, pixels);
    this.#canvas.setTransform(scale, 0, 0, scale, 0, 0);
    drawTimeline(this.#canvas, this.#frozen ?? this.#getLogbook().timeline.view(performance.now()), this.#look(width));
  }

  #look(width) {
    const style = getComputedStyle(this.#elements.timeline);
    const colours = Object.entries(COLOURS).map(([name, variable]) => [name, style.getPropertyValue(variable)]);
    const { lanes, marks } = this.#words.inside;
    const spanMs = (Math.max(width, 1) / PIXELS_PER_SECOND) * 1000;
    return { width, spanMs, colours: Object.fromEntries(colours), font: style.fontFamily, words: { lanes, marks } };
  }

  #pause() {
    this.#frozen = this.#frozen ? null : this.#getLogbook().timeline.snapshot(performance.now());
    this.#showPaused();
  }

  #showPaused() {
    const { "timeline-pause": pause } = this.#elements;
    pause.setAttribute("aria-pressed", String(this.#frozen !== null));
    setText(pause, this.#frozen ? this.#words.inside.goOn : this.#words.inside.pause);
  }

  #saveJson() {
    const snapshot = this.#frozen ?? this.#getLogbook().timeline.snapshot(performance.now());
    const content = { clock: new Date(performance.timeOrigin).toISOString(), ...snapshot };
    save(new Blob([JSON.stringify(content)], { type: "application/json" }), fileName(new Date(), "timeline.json"));
  }

  #savePicture() {
    this.#elements.timeline.toBlob((picture) => {
      if (picture) save(picture, fileName(new Date(), "timeline.png"));
    });
  }

  #saveSound() {
    save(new Blob([this.#getLogbook().recording.toWav()], { type: "audio/wav" }), fileName(new Date(), "wav"));
  }

  #saveEvents() {
    const events = this.#getLogbook().eventsAsJson(performance.timeOrigin);
    save(new Blob([events], { type: "application/json" }), fileName(new Date(), "events.json"));
  }
}
