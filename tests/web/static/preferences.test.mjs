import assert from "node:assert/strict";
import { test } from "node:test";

import { preferencesText, readPreferences, usualPreferences } from "../../../web/static/preferences.js";

test("what was written is read again", () => {
  const chosen = { ...usualPreferences, language: "zh", turns: "hold", volume: 0.4, microphoneId: "abc", hd: true, route: "loopback" };
  assert.deepEqual(readPreferences(preferencesText(chosen)), chosen);
});

test("anything else gives the usual", () => {
  for (const text of [null, "", "{", "null", "3", "[]", '"x"', '{"stranger":1}']) assert.deepEqual(readPreferences(text), usualPreferences);
});

test("what cannot be used is replaced alone", () => {
  const wrong = { language: "fr", turns: "toString", volume: 7, bargeIn: 3, microphoneId: 5, echo: null, refresh: "yes", hd: true };
  assert.deepEqual(readPreferences(JSON.stringify(wrong)), { ...usualPreferences, hd: true });
});
