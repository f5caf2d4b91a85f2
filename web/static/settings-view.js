import { probeEcho } from "./echo-probe.js";
import { make, setText } from "./elements.js";
import { canChooseSpeaker } from "./speaker.js";
import { decodeSound, sendVoice, voiceFrom } from "./voice-file.js";
import { LANGUAGES } from "./words.js";

const FIELDS = { "barge-in": "bargeIn", microphone: "microphoneId", speaker: "speakerId", language: "language" };

/** The settings sheet: shows preferences, reports what changes. */
export class SettingsView {
  #elements;
  #page;
  #words = null;
  #voiceName = null;

  /**
   * @param {Document} document
   * @param {{getPreferences: () => object, onChange: (change: object) => void, onVoice: (id: string | null) => void,
   *   key: string | null}} page
   */
  constructor(document, page) {
    this.#page = page;
    const byId = (id) => document.getElementById(id);
    const ids = [
      "barge-in", "echo-facts", "echo-note", "echo-test", "hd", "language", "microphone", "refresh", "settings",
      "settings-close", "settings-open", "speaker", "speaker-field", "voice", "voice-name", "voice-note", "voice-remove",
    ];
    this.#elements = Object.fromEntries(ids.map((id) => [id, byId(id)]));
    const { settings, language } = this.#elements;
    this.#elements["settings-open"].addEventListener("click", () => this.open());
    this.#elements["settings-close"].addEventListener("click", () => settings.close());
    // A click on what lies behind it closes it as well.
    settings.addEventListener("click", ({ target }) => target === settings && settings.close());
    for (const [tag, { name, tag: full }] of Object.entries(LANGUAGES)) {
      const option = make("option", "", name);
      Object.assign(option, { value: tag, lang: full });
      language.append(option);
    }
    for (const [id, name] of Object.entries(FIELDS)) {
      this.#elements[id].addEventListener("change", ({ target }) => page.onChange({ [name]: target.value || null }));
    }
    for (const id of ["refresh", "hd"]) {
      this.#elements[id].addEventListener("change", ({ target }) => page.onChange({ [id]: target.checked }));
    }
    this.#elements["echo-test"].addEventListener("click", () => this.#testEcho());
    this.#elements.voice.addEventListener("change", () => this.#takeVoice());
    this.#elements["voice-remove"].addEventListener("click", () => this.#dropVoice());
    this.#elements["speaker-field"].hidden = !canChooseSpeaker();
  }

  /** Shows the sheet, with the devices there are now. */
  open() {
    this.#elements.settings.showModal();
    void this.#listDevices();
  }

  /** @param {object} words of one language, from now on */
  setWords(words) {
    this.#words = words;
    if (this.#voiceName) setText(this.#elements["voice-name"], this.#voiceName);
    void this.#listDevices();
  }

  /** @param {object} preferences see preferences.js @param {string} language the one in use */
  render(preferences, language) {
    this.#elements.language.value = language;
    this.#elements["barge-in"].value = preferences.bargeIn ?? "balanced";
    this.#elements.refresh.checked = preferences.refresh;
    this.#elements.hd.checked = preferences.hd;
  }

  async #listDevices() {
    const devices = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
    const { microphoneId, speakerId } = this.#page.getPreferences();
    this.#fill(this.#elements.microphone, devices.filter(({ kind }) => kind === "audioinput"), microphoneId);
    this.#fill(this.#elements.speaker, devices.filter(({ kind }) => kind === "audiooutput"), speakerId);
  }

  #fill(select, devices, chosenId) {
    const usual = make("option", "", this.#words.settings.usual);
    usual.value = "";
    // Without leave to use the microphone, browsers name no devices.
    const named = devices.filter(({ deviceId, label }) => deviceId && label && deviceId !== "default");
    const options = named.map(({ deviceId, label }) => Object.assign(make("option", "", label), { value: deviceId }));
    select.replaceChildren(usual, ...options);
    select.value = named.some(({ deviceId }) => deviceId === chosenId) ? chosenId : "";
  }

  async #testEcho() {
    const { "echo-test": button, "echo-note": note, "echo-facts": facts } = this.#elements;
    button.disabled = true;
    facts.hidden = true;
    setText(note, this.#words.settings.echoRunning);
    try {
      const { verdict, ...found } = await probeEcho(this.#page.getPreferences());
      this.#page.onChange({ echo: verdict.echo, route: verdict.route });
      setText(note, this.#words.settings.echoVerdicts[verdict.id]);
      note.dataset.verdict = verdict.id;
      this.#showEcho(verdict, found);
    } catch (error) {
      setText(note, error?.message ?? String(error));
    } finally {
      button.disabled = false;
    }
  }

  #showEcho({ lossDb }, { delayMs, levelDbfs, cancelsEcho }) {
    const { echoFacts: names, on, off } = this.#words.settings;
    const rows = {
      [names.delay]: delayMs === null ? "–" : `${delayMs} ms`,
      [names.loss]: lossDb === null ? "–" : `${lossDb} dB`,
      [names.level]: `${levelDbfs} dBFS`,
      [names.aec]: cancelsEcho === null ? "?" : cancelsEcho ? on : off,
    };
    const list = this.#elements["echo-facts"];
    list.replaceChildren(...Object.entries(rows).flatMap(([name, value]) => [make("dt", "", name), make("dd", "", value)]));
    list.hidden = false;
  }

  async #takeVoice() {
    const { voice, "voice-note": note } = this.#elements;
    const file = voice.files[0];
    if (!file) return;
    const { voiceFaults, voiceReading, voiceNote } = this.#words.settings;
    setText(note, voiceReading);
    const fault = await this.#leaveVoice(file);
    setText(note, fault ? voiceFaults[fault] : voiceNote);
    note.dataset.fault = fault ?? "";
    voice.value = "";
  }

  /** @returns {Promise<string | null>} what is wrong with it; null when the server has it */
  async #leaveVoice(file) {
    let samples;
    try {
      samples = await decodeSound(file);
    } catch {
      return "unreadable";
    }
    const { wav, seconds, fault } = voiceFrom(samples);
    if (fault) return fault;
    const id = await sendVoice(wav, this.#page.key);
    if (id === null) return "refused";
    this.#voiceName = `${file.name} (${seconds.toFixed(1)} s)`;
    setText(this.#elements["voice-name"], this.#voiceName);
    this.#elements["voice-remove"].hidden = false;
    this.#page.onVoice(id);
    return null;
  }

  #dropVoice() {
    this.#voiceName = null;
    setText(this.#elements["voice-name"], this.#words.settings.voiceUsual);
    this.#elements["voice-remove"].hidden = true;
    this.#elements.voice.focus();
    this.#page.onVoice(null);
  }
}
