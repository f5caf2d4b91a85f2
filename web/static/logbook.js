import { NetworkMeter } from "./network-meter.js";
import { INPUT_RATE_HZ, OUTPUT_RATE_HZ } from "./protocol.js";
import { Recording } from "./recording.js";
import { Timeline } from "./timeline.js";

// About an hour of lively conversation; the oldest leave.
const EVENTS_KEPT = 10000;
// Twice a second and of no use to a reader.
const UNLOGGED = new Set(["playback.ack", "session.event_ack"]);

/** Everything seen and heard in a call, on one clock in ms: for the timeline, the panel and the two downloads. */
export class Logbook {
  timeline = new Timeline();
  network = new NetworkMeter();
  recording = new Recording({ userHz: INPUT_RATE_HZ, answerHz: OUTPUT_RATE_HZ });
  sound = { queuedMs: 0, cushionMs: 0, underruns: 0, skippedMs: 0 };
  framesSent = 0;
  framesDropped = 0;
  #events = [];
  #frames = new Beat();
  #pieces = new Beat();

  /** @returns {{atMs: number, from: "server" | "page", event: object}[]} the newest events, oldest first */
  get events() {
    return this.#events;
  }

  /** A frame of the microphone: `pcm` int16, `level` 0 to 1, and what became of it. */
  frame(pcm, level, sent, atMs) {
    const lastsMs = (pcm.length * 1000) / INPUT_RATE_HZ;
    this.timeline.level("microphone", this.#frames.began(lastsMs, atMs), level, lastsMs);
    this.recording.user(pcm, atMs);
    if (sent) this.framesSent += 1;
    else this.framesDropped += 1;
  }

  /** A piece of an answer's sound arrived. */
  arrived(bytes, atMs) {
    const lastsMs = (bytes * 1000) / 2 / OUTPUT_RATE_HZ;
    this.network.arrived(bytes, lastsMs, atMs);
    this.timeline.span("sent", atMs, atMs + Math.min(lastsMs, 100), 150);
  }

  /** So many samples left for the loudspeaker until `atMs`; `samples` is null when they are silence. */
  rendered({ samples, count, level }, atMs) {
    const lastsMs = (count * 1000) / OUTPUT_RATE_HZ;
    const beganMs = this.#pieces.began(lastsMs, atMs);
    this.recording.answer(samples, count, atMs);
    if (samples) this.timeline.level("played", beganMs, level, lastsMs);
  }

  /** How the loudspeaker's queue is. */
  position({ queuedMs, cushionMs, underruns, skippedMs }) {
    this.sound = { queuedMs, cushionMs, underruns, skippedMs };
  }

  /** An event of the server, or one the page has sent. */
  event(event, from, atMs) {
    if (UNLOGGED.has(event.type)) return;
    this.#events.push({ atMs, from, event });
    if (this.#events.length > EVENTS_KEPT) this.#events.shift();
  }

  /** What an event means on the timeline; events as `reduce` of state.js takes them. What it measures, `measured` says. */
  mark(event, atMs) {
    if (Object.hasOwn(MARKS, event.type)) MARKS[event.type](this.timeline, event, atMs);
  }

  /** @param {"break" | "first"} kind how long an interruption or an answer took was measured: `ms` until `atMs` */
  measured(kind, ms, atMs) {
    this.timeline.mark(kind, atMs, ms);
  }

  /**
   * @param {number} epochMs when the clock of the events began, in ms since 1970
   * @returns {string} JSON, one event a line
   */
  eventsAsJson(epochMs) {
    const lines = this.#events.map(({ atMs, from, event }) =>
      JSON.stringify({ at: new Date(epochMs + atMs).toISOString(), from, event }),
    );
    return `[\n${lines.join(",\n")}\n]\n`;
  }
}

// Pieces of a steady stream arrive now early, now late; what is further off than this is a gap.
const STEADY_MS = 120;

/** When the pieces of a steady stream began, from when they arrived. */
class Beat {
  #endMs = null;

  began(lastsMs, atMs) {
    const expected = (this.#endMs ?? atMs - lastsMs) + lastsMs;
    const off = atMs - expected;
    this.#endMs = Math.abs(off) < STEADY_MS ? expected + off / 16 : atMs;
    return this.#endMs - lastsMs;
  }
}

const MARKS = {
  "input_audio_buffer.speech_started": (timeline, { spokenAtMs }, atMs) => timeline.begin("speech", spokenAtMs ?? atMs),
  "input_audio_buffer.speech_stopped": (timeline, { spokenAtMs }, atMs) => timeline.end("speech", spokenAtMs ?? atMs),
  "page.talk_pressed": (timeline, _event, atMs) => timeline.begin("speech", atMs),
  "page.talk_released": (timeline, _event, atMs) => timeline.end("speech", atMs),
  "output_audio_buffer.ducked": (timeline, _event, atMs) => timeline.begin("held", atMs),
  "output_audio_buffer.resumed": (timeline, _event, atMs) => timeline.end("held", atMs),
  "output_audio_buffer.cleared": (timeline, _event, atMs) => timeline.end("held", atMs),
  "page.sound_dry": (timeline, _event, atMs) => timeline.mark("underrun", atMs),
  "page.resuming": (timeline, _event, atMs) => {
    timeline.end("speech", atMs);
    timeline.end("held", atMs);
    timeline.mark("lost", atMs);
  },
  "page.off": (timeline, _event, atMs) => {
    timeline.end("speech", atMs);
    timeline.end("held", atMs);
  },
};
