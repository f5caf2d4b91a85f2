import { audioAbilities } from "./audio.js";
import { Call, fetchStatus } from "./call.js";
import { environmentProblem } from "./problems.js";
import { initialState, phaseOf, reduce } from "./state.js";
import { View } from "./view.js";

// Long enough to be read; after it the word of the moment is shown again.
const INTERRUPTION_SHOWN_MS = 1500;
const STATUS_EVERY_MS = 2000;
const PHASES_KEPT = 100;

// Behind # it stays in the browser; behind ? it is sent to the server with the page's address.
const key =
  new URLSearchParams(window.location.hash.slice(1)).get("key") ?? new URLSearchParams(window.location.search).get("key");
const phases = [];
// Whoever adds the key to the address of the open page expects it to count.
window.addEventListener("hashchange", () => window.location.reload());
let state = initialState;
let interruptionTimer = null;

function dispatch(event) {
  const before = phaseOf(state);
  state = reduce(state, event, performance.now());
  const phase = phaseOf(state);
  if (phase !== before) {
    phases.push(phase);
    if (phases.length > PHASES_KEPT) phases.shift();
    clearTimeout(interruptionTimer);
    if (phase === "interrupted") {
      interruptionTimer = setTimeout(() => dispatch({ type: "page.interruption_shown" }), INTERRUPTION_SHOWN_MS);
    }
  }
  view.render(state);
}

const view = new View(document, {
  onTalk: () => (state.link === "off" ? call.start(view.conversation) : call.end()),
  onStop: () => call.stopAnswer(),
  onRetry: () => call.start(view.conversation),
  onDismiss: () => dispatch({ type: "page.dismissed" }),
});
const call = new Call({ dispatch, getState: () => state, onLevels: (levels) => view.setLevels(levels), key });

/** Keeps the header true until the engine is ready; a running call tells the rest. */
async function followStatus() {
  const status = await fetchStatus(key);
  view.showStatus(status);
  const ready = status?.engines?.some((engine) => engine.state === "ready");
  if (!ready && status !== null) setTimeout(followStatus, STATUS_EVERY_MS);
}

view.render(state);
const obstacle = environmentProblem(audioAbilities(), window.location);
if (obstacle) dispatch({ type: "page.off", problem: obstacle });
void followStatus();

// For the console and the browser tests: what the page knows, and where its sound comes out.
window.omniDuplex = {
  get state() {
    return state;
  },
  get phases() {
    return [...phases];
  },
  get speaker() {
    return call.speaker;
  },
  get playback() {
    return call.playback;
  },
};
