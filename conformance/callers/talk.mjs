// What every client is put through, as talk.py has it: speak, hear an answer, speak over it, hear the answer to that.
// All sound is 24 kHz, 16-bit little-endian, mono.

import { readFileSync } from "node:fs";

const PIECE_MS = 20;
const PIECE_BYTES = 2 * 24 * PIECE_MS;
const AUDIBLE = 300;
const ENOUGH_MS = 500;
const TIME_MS = 40_000;

export class Talk {
  #first;
  #second;
  #toSay = Buffer.alloc(0);
  #answers = new Map();
  #interrupted;
  #end;

  passed = [];
  error = null;
  over = new Promise((resolve) => (this.#end = resolve));
  isOver = false;

  constructor([first, second]) {
    this.#first = first;
    this.#second = second;
  }

  connected() {
    if (this.passed.length === 0) {
      this.passed.push("connect");
      this.#toSay = this.#first;
    }
  }

  /** `pcm` is an ArrayBuffer; `answer` tells one answer from the next. */
  heard(pcm, answer) {
    if (answer === this.#interrupted) {
      this.fail("Sound of the interrupted answer came after the interruption.");
      return;
    }
    const heardMs = (this.#answers.get(answer) ?? 0) + audibleMs(pcm);
    this.#answers.set(answer, heardMs);
    if (heardMs < ENOUGH_MS) return;
    if (this.passed.at(-1) === "connect") {
      this.passed.push("answer");
      this.#toSay = this.#second;
    } else if (this.passed.at(-1) === "interrupt") {
      this.passed.push("second turn");
      this.#finish();
    }
  }

  interrupted() {
    if (this.passed.at(-1) === "answer") {
      this.#interrupted = [...this.#answers.keys()].at(-1);
      this.passed.push("interrupt");
    }
  }

  fail(reason) {
    this.error ??= reason;
    this.#finish();
  }

  /** Calls `send` with an ArrayBuffer of 20 ms in real time, silence too, until it is over. */
  async speak(send) {
    const beganMs = performance.now();
    for (let pieces = 1; !this.isOver; pieces++) {
      const piece = new Uint8Array(PIECE_BYTES);
      piece.set(this.#toSay.subarray(0, PIECE_BYTES));
      this.#toSay = this.#toSay.subarray(PIECE_BYTES);
      send(piece.buffer);
      const dueMs = beganMs + pieces * PIECE_MS;
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, dueMs - performance.now())));
    }
  }

  #finish() {
    this.isOver = true;
    this.#end();
  }
}

/** Runs a script: `converse` gets the talk and the server's host and port. Reports one line of JSON, then exits. */
export async function run(converse) {
  const [host, ...paths] = process.argv.slice(2);
  const talk = new Talk(paths.map((path) => readFileSync(path)));
  const timer = setTimeout(() => talk.fail(`Nothing further happened within ${TIME_MS / 1000} s.`), TIME_MS);
  try {
    await Promise.race([converse(talk, host), talk.over]);
  } catch (error) {
    talk.fail(String(error));
  }
  clearTimeout(timer);
  process.stdout.write(`\n${JSON.stringify({ passed: talk.passed, error: talk.error })}\n`, () => process.exit());
}

/** An ArrayBuffer of its own: what Buffer makes may lie inside another one, at any place. */
export function fromBase64(text) {
  return new Uint8Array(Buffer.from(text, "base64")).buffer;
}

export function toBase64(pcm) {
  return Buffer.from(pcm).toString("base64");
}

function audibleMs(pcm) {
  const samples = new Int16Array(pcm, 0, Math.floor(pcm.byteLength / 2));
  return samples.some((sample) => Math.abs(sample) > AUDIBLE) ? samples.length / 24 : 0;
}
