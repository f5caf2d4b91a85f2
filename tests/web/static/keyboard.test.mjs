import assert from "node:assert/strict";
import { test } from "node:test";

import { keyAction } from "../../../web/static/keyboard.js";

const off = { link: "off", turns: "hold", holding: false };
const free = { link: "open", turns: "duplex", holding: false };
const hold = { link: "open", turns: "hold", holding: false };
const holding = { ...hold, holding: true };
const down = { type: "keydown", key: " ", repeat: false };
const up = { type: "keyup", key: " ", repeat: false };

for (const [name, event, focus, state, action, claimed] of [
  ["space begins a call", down, "page", off, "talk", true],
  ["space mutes in free flow", down, "page", free, "talk", true],
  ["space on the button is the browser's click", down, "talk", free, null, false],
  ["and to begin with as well", down, "talk", off, null, false],
  ["space held talks", down, "page", hold, "press", true],
  ["on the button too", down, "talk", hold, "press", true],
  ["a held key repeats, and does nothing more", { ...down, repeat: true }, "page", hold, null, true],
  ["nor does the page scroll", { ...down, repeat: true }, "page", free, null, true],
  ["let go, it is over", up, "page", holding, "release", true],
  ["let go elsewhere, it is over too", up, "control", holding, "release", false],
  ["let go of what was not held", up, "page", hold, null, false],
  ["space belongs to other controls", down, "control", hold, null, false],
  ["escape stops the answer from anywhere", { ...down, key: "Escape" }, "control", free, "stop", false],
  ["once", { ...up, key: "Escape" }, "page", free, null, false],
  ["letters are nothing", { ...down, key: "m" }, "page", free, null, false],
]) {
  test(name, () => assert.deepEqual(keyAction(event, focus, state), { action, claimed }));
}
