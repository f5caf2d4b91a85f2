import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { chooseLanguage, LANGUAGES, lookUp, warningWords, wordsFor } from "../../../web/static/words.js";

const page = readFileSync(new URL("../../../web/static/index.html", import.meta.url), "utf8");

function shapeOf(words) {
  if (Array.isArray(words)) return words.map(shapeOf);
  if (typeof words === "object") return Object.fromEntries(Object.entries(words).map(([name, part]) => [name, shapeOf(part)]));
  return typeof words;
}

test("every language says everything", () => {
  for (const words of Object.values(LANGUAGES)) assert.deepEqual(shapeOf(words), shapeOf(LANGUAGES.en));
});

test("every text of the page is there in every language, and the English one is what the page begins with", () => {
  const texts = [...page.matchAll(/<(\w+)[^>]* data-words="([^"]+)"[^>]*>([^<]*)<\/\1>/g)];
  assert.equal(texts.length, page.match(/data-words=/g).length);
  for (const [, , path, text] of texts) {
    assert.equal(text, lookUp(LANGUAGES.en, path));
    for (const words of Object.values(LANGUAGES)) assert.ok(lookUp(words, path));
  }
  const labels = [...page.matchAll(/data-label="([^"]+)" aria-label="([^"]+)"/g)];
  assert.equal(labels.length, page.match(/data-label=/g).length);
  for (const [, path, label] of labels) assert.equal(label, lookUp(LANGUAGES.en, path));
});

test("words that are not there are a mistake", () => {
  for (const path of ["talk.nothing", "nothing.at.all", "talk", "phases.off.0.x"]) assert.throws(() => lookUp(LANGUAGES.en, path), RangeError);
});

test("the chosen language counts first, then the browser's, then English", () => {
  assert.equal(chooseLanguage("zh", ["en-US"]), "zh");
  assert.equal(chooseLanguage(null, ["fr-FR", "zh-CN", "en"]), "zh");
  assert.equal(chooseLanguage(null, ["fr"]), "en");
  assert.equal(chooseLanguage("constructor", []), "en");
  assert.equal(wordsFor("zh").name, "中文");
  assert.equal(wordsFor("xx"), LANGUAGES.en);
});

test("a warning is said in the page's words, or in the server's", () => {
  assert.match(warningWords(LANGUAGES.en, { id: "congested" }), /too slow/);
  assert.match(warningWords(LANGUAGES.zh, { id: "input_dropped", said: "English" }), /引擎/);
  assert.equal(warningWords(LANGUAGES.en, { id: "engine_restarted", said: "The engine restarted." }), "The engine restarted.");
  assert.equal(warningWords(LANGUAGES.en, { id: "toString", said: "" }), "toString");
});

test("a place in the queue reads as a person would say it", () => {
  const { queue, duration } = LANGUAGES.en;
  assert.equal(queue(1, null), "You are next. It begins by itself.");
  assert.equal(queue(3, duration(200)), "Number 3 in line, about 3 min. It begins by itself.");
  assert.equal(duration(0.2), "1 s");
});
