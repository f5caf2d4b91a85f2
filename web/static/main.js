import { Call } from "./call.js";
import { InsideView } from "./inside-view.js";
import { audioAbilities } from "./microphone.js";
import { preferencesText, readPreferences } from "./preferences.js";
import { environmentProblem } from "./problems.js";
import { SettingsView } from "./settings-view.js";
import { initialState, phaseOf, reduce } from "./state.js";
import { fetchStatus } from "./status.js";
import { View } from "./view.js";
import { chooseLanguage, wordsFor } from "./words.js";

// Long enough to be read; after it the word of the moment is shown again.
const INTERRUPTION_SHOWN_MS = 1500;
const STATUS_EVERY_MS = 2000;
const PHASES_KEPT = 100;
const KEPT_AS = "omni-duplex";

// Behind # it stays in the browser; behind ? it is sent to the server with the page's address.
const key =
  new URLSearchParams(window.location.hash.slice(1)).get("key") ?? new URLSearchParams(window.location.search).get("key");
const phases = [];
let preferences = readPreferences(keptText());
let voice = null;
// Whoever adds the key to the address of the open page expects it to count.
window.addEventListener("hashchange", () => window.location.reload());
let state = initialState;
let interruptionTimer = null;

/** What was kept of the user's choices; null where the browser keeps nothing for pages. */
function keptText() {
  try {
    return window.localStorage.getItem(KEPT_AS);
  } catch {
    return null;
  }
}

function prefer(change) {
  preferences = { ...preferences, ...change };
  try {
    window.localStorage.setItem(KEPT_AS, preferencesText(preferences));
  } catch {
    // Then they hold until the page is closed.
  }
}

function language() {
  return chooseLanguage(preferences.language, navigator.languages ?? []);
}

function dispatch(event) {
  const nowMs = performance.now();
  const before = state;
  state = reduce(state, event, nowMs);
  measure(event, before, nowMs);
  const phase = phaseOf(state);
  if (phase !== phaseOf(before)) {
    phases.push(phase);
    if (phases.length > PHASES_KEPT) phases.shift();
    clearTimeout(interruptionTimer);
    if (phase === "interrupted") {
      interruptionTimer = setTimeout(() => dispatch({ type: "page.interruption_shown" }), INTERRUPTION_SHOWN_MS);
    }
  }
  render();
}

/** What has been measured goes onto the timeline. */
function measure({ type }, { latency: before }, nowMs) {
  const { latency } = state;
  if (latency === before) return;
  if (type === "page.sound_flushed") call.logbook.measured("break", latency.breakMs, nowMs);
  if (type === "page.sound_started") call.logbook.measured("first", latency.firstSoundMs, nowMs);
}

function render() {
  view.render(state);
  view.camera = call.seesYou;
  insideView.render(state);
}

function speak() {
  const words = wordsFor(language());
  view.setWords(words);
  insideView.setWords(words);
  settingsView.setWords(words);
  settingsView.render(preferences, language());
  render();
}

function begin() {
  const { bargeIn, microphoneId, speakerId, echo, route, volume, hd } = preferences;
  const turns = view.turns;
  const pictures = hd ? "high" : "normal";
  const devices = { microphoneId, speakerId, route, volume };
  void call.start({ turns, language: language(), voice, bargeIn, echo, pictures, ...devices });
}

const view = new View(document, {
  onTalk: () => (state.link === "off" ? begin() : call.setMuted(!state.muted)),
  onPress: () => call.press(),
  onRelease: () => call.release(),
  onStop: () => call.stopAnswer(),
  onEnd: () => call.end(),
  onRetry: begin,
  onDismiss: () => dispatch({ type: "page.dismissed" }),
  onCamera: () => (call.seesYou ? call.closeCamera() : void call.openCamera(preferences)),
  onVolume: (volume) => {
    prefer({ volume });
    call.setVolume(volume);
  },
  onTurns: (turns) => prefer({ turns }),
});
const insideView = new InsideView(document, {
  getLogbook: () => call.logbook,
  onToggle: (insideOpen) => {
    prefer({ insideOpen });
    render();
  },
});
const settingsView = new SettingsView(document, {
  getPreferences: () => preferences,
  onChange: (change) => {
    prefer(change);
    if ("language" in change) speak();
  },
  onVoice: (id) => {
    voice = id;
  },
  key,
});
const call = new Call({
  dispatch,
  getState: () => state,
  onLevels: (levels) => view.setLevels(levels),
  onAsleep: (asleep) => {
    if (asleep) dispatch({ type: "page.warning", id: "asleep" });
    else if (state.warning?.id === "asleep") dispatch({ type: "page.dismissed" });
  },
  video: document.getElementById("preview"),
  key,
});

/** Keeps the header true until the engine is ready; a running call tells the rest. */
async function followStatus() {
  const status = await fetchStatus(key);
  view.showStatus(status);
  const ready = status?.engines?.some((engine) => engine.state === "ready");
  if (!ready && status !== null) setTimeout(followStatus, STATUS_EVERY_MS);
}

view.volume = preferences.volume;
view.turns = preferences.turns;
speak();
insideView.isOpen = preferences.insideOpen;
const obstacle = environmentProblem(audioAbilities(), window.location);
if (obstacle) dispatch({ type: "page.off", problem: obstacle });
void followStatus();
// A page that goes away says so; else its engine would be kept for it.
window.addEventListener("pagehide", () => state.link !== "off" && call.end());

// For the console and the browser tests: what the page knows, and where its sound comes out.
window.omniDuplex = {
  get state() {
    return state;
  },
  get phases() {
    return [...phases];
  },
  get logbook() {
    return call.logbook;
  },
  get speaker() {
    return call.speaker;
  },
  get playback() {
    return call.playback;
  },
};
