import { Awake } from "./awake.js";
import { Camera } from "./camera.js";
import { Line } from "./line.js";
import { Logbook } from "./logbook.js";
import { audioAbilities, Microphone } from "./microphone.js";
import { MicrophoneClock } from "./microphone-clock.js";
import { audioProblem, environmentProblem, microphoneLost } from "./problems.js";
import {
  playbackAck,
  pushToTalk,
  responseCancel,
  showPictures,
  talkPressed,
  talkReleased,
} from "./protocol.js";
import { Speaker } from "./speaker.js";
import { admitsAudio, isAnswering, isHeard } from "./state.js";

const ACK_EVERY_MS = 200;
const FRAME_MS = 20;
const FRAME_BYTES = 640;
// What is held for less was a slip of the finger.
const SHORTEST_TALK_MS = 250;
// The server lets speech begin so much before it hears it, unless its session says otherwise.
const USUAL_PADDING_MS = 300;

/** One conversation: microphone, loudspeaker and line, opened together and closed together. */
export class Call {
  #dispatch;
  #getState;
  #onLevels;
  #key;
  #wishes = {};
  #microphone = null;
  #speaker = null;
  #playback = null;
  #line = null;
  #logbook = new Logbook();
  #clock = new MicrophoneClock();
  #awake;
  #camera;
  #attempt = 0;
  #lastAckAtMs = 0;
  #pressedAtMs = 0;
  #paddingMs = USUAL_PADDING_MS;

  /**
   * @param {{
   *   dispatch: (event: {type: string}) => void,
   *   getState: () => typeof import("./state.js").initialState,
   *   onLevels: (levels: {microphone?: number, answer?: number}) => void,
   *   onAsleep: (asleep: boolean) => void,
   *   video: HTMLVideoElement,
   *   key: string | null,
   * }} page `onLevels` gets meter positions from 0 to 1
   */
  constructor({ dispatch, getState, onLevels, onAsleep, video, key }) {
    this.#dispatch = dispatch;
    this.#getState = getState;
    this.#onLevels = onLevels;
    this.#key = key;
    this.#awake = new Awake(onAsleep);
    this.#camera = new Camera(video);
  }

  /** The loudspeaker of the running call, for taps; null between calls. */
  get speaker() {
    return this.#speaker;
  }

  /** The loudspeaker's last report of a response (see playback-worklet.js), for taps; null before the first. */
  get playback() {
    return this.#playback;
  }

  /** Everything seen and heard in this call, or in the last one. */
  get logbook() {
    return this.#logbook;
  }

  /** Whether the camera is on. */
  get seesYou() {
    return this.#camera.isOn;
  }

  /**
   * @param {object} wishes those of `realtimeUrl`, and `{microphoneId, speakerId, route, volume}` of the devices; see
   *   preferences.js
   */
  async start(wishes) {
    this.#close();
    const attempt = this.#attempt;
    const obstacle = environmentProblem(audioAbilities(), window.location);
    if (obstacle) {
      this.end(obstacle);
      return;
    }
    this.#wishes = wishes;
    this.#logbook = new Logbook();
    this.#clock = new MicrophoneClock();
    this.#tell({ type: "page.opening", turns: wishes.turns });
    try {
      await this.#openAudio(attempt);
    } catch (error) {
      if (attempt === this.#attempt) this.end(audioProblem(error));
      return;
    }
    if (attempt !== this.#attempt) return;
    this.#awake.begin([this.#speaker.context, this.#microphone.context]);
    this.#line = this.#newLine();
    this.#line.open(wishes);
  }

  /** Silences the running answer at once and asks the server to end it. */
  stopAnswer() {
    const state = this.#getState();
    if (state.link !== "open" || !isAnswering(state)) return;
    this.#tell({ type: "page.stop" });
    this.#silence(state);
    this.#line?.sendEvent(responseCancel());
  }

  /** Whether the server hears the user, outside push to talk. */
  setMuted(muted) {
    this.#tell({ type: "page.muted", muted });
  }

  /** Push to talk: from now on the user is heard, and no answer is. */
  press() {
    const state = this.#getState();
    if (state.link !== "open" || state.holding) return;
    this.stopAnswer();
    this.#pressedAtMs = performance.now();
    this.#tell({ type: "page.talk_pressed" });
    for (const event of talkPressed()) this.#line?.sendEvent(event);
  }

  /** Push to talk: the user has finished and is to be answered. */
  release() {
    if (!this.#getState().holding) return;
    const isSlip = performance.now() - this.#pressedAtMs < SHORTEST_TALK_MS;
    this.#tell({ type: "page.talk_released" });
    if (isSlip) this.#tell({ type: "page.warning", id: "short" });
    else for (const event of talkReleased()) this.#line?.sendEvent(event);
  }

  /** @param {number} volume 0 to 1 */
  setVolume(volume) {
    this.#wishes = { ...this.#wishes, volume };
    this.#speaker?.setVolume(volume);
  }

  /**
   * Lets the model see, from now on. The camera stays with the page until it is switched off or the call ends.
   * @param {{refresh: boolean, hd: boolean}} wishes
   */
  async openCamera(wishes) {
    try {
      await this.#camera.open(wishes, {
        onPicture: (jpeg) => {
          if (this.#getState().link === "open") this.#line?.sendEvent(showPictures([jpeg]));
        },
        onLost: () => this.closeCamera(),
      });
    } catch (error) {
      this.#camera.close();
      this.#tell({ type: "page.warning", id: "camera", said: error?.message ?? "" });
    }
    this.#tell({ type: "page.camera" });
  }

  closeCamera() {
    this.#camera.close();
    this.#tell({ type: "page.camera" });
  }

  /** @param {import("./problems.js").Problem | null} problem why, unless somebody wanted it */
  end(problem = null) {
    this.#close();
    this.#tell({ type: "page.off", problem });
  }

  #tell(event) {
    this.#logbook.mark(event, performance.now());
    this.#dispatch(event);
  }

  async #openAudio(attempt) {
    const speaker = new Speaker();
    this.#speaker = speaker;
    const microphone = new Microphone();
    this.#microphone = microphone;
    const { microphoneId, speakerId, route, volume } = this.#wishes;
    try {
      // What a closed one still had on its way must not reach the next call.
      const onReport = (report) => {
        if (speaker === this.#speaker) this.#onPlayback(report);
      };
      await speaker.open(onReport, { deviceId: speakerId, route });
      speaker.setVolume(volume ?? 1);
      const onFrame = (pcm, level) => {
        if (microphone === this.#microphone) this.#onFrame(pcm, level);
      };
      await microphone.open({ onFrame, onLost: () => this.end(microphoneLost()) }, { deviceId: microphoneId });
    } finally {
      // Ended while the browser was asking: what was opened since has no owner any more.
      if (attempt !== this.#attempt) await Promise.all([speaker.close(), microphone.close()]);
    }
  }

  #newLine() {
    return new Line({
      key: this.#key,
      onEvent: (event) => this.#onEvent(event),
      onAudio: (bytes) => this.#onAudio(bytes),
      onSent: (event) => this.#logbook.event(withoutPictures(event), "page", performance.now()),
      dispatch: (event) => this.#tell(event),
      onEnd: (problem) => this.end(problem),
    });
  }

  #onEvent(received) {
    this.#logbook.event(received, "server", performance.now());
    const event = this.#timed(received);
    if (event.type === "session.created") this.#begin(event);
    else if (event.type === "session.resumed") this.#clock.lose();
    this.#tell(event);
    if (event.type === "response.created") this.#speaker?.begin(event.response.id);
    else if (event.type === "response.output_audio.done") this.#speaker?.end(event.response_id);
    else if (event.type === "response.done") this.#speaker?.end(event.response.id);
    else if (event.type === "output_audio_buffer.ducked") this.#speaker?.hold();
    else if (event.type === "output_audio_buffer.resumed") this.#speaker?.release();
    else if (event.type === "output_audio_buffer.cleared") this.#speaker?.flush(event.response_id);
  }

  /** A session begins: what still sounds belongs to one before it, and so do the times of its microphone. */
  #begin({ session }) {
    this.#silence(this.#getState());
    this.#clock = new MicrophoneClock();
    this.#paddingMs = session?.audio?.input?.turn_detection?.prefix_padding_ms ?? USUAL_PADDING_MS;
    if (this.#wishes.turns === "hold") this.#line?.sendEvent(pushToTalk());
  }

  /** Events about speech name moments of the microphone's stream; what the page shows is on its own clock. */
  #timed(event) {
    const { audio_start_ms: startMs, audio_end_ms: endMs } = event;
    if (event.type === "input_audio_buffer.speech_started" && Number.isFinite(startMs)) {
      return { ...event, spokenAtMs: this.#spokenAt(startMs + (startMs > 0 ? this.#paddingMs : 0)) };
    }
    if (event.type === "input_audio_buffer.speech_stopped" && Number.isFinite(endMs)) {
      return { ...event, spokenAtMs: this.#spokenAt(endMs) };
    }
    return event;
  }

  #spokenAt(streamMs) {
    const nowMs = performance.now();
    return Math.min(nowMs, this.#clock.at(streamMs) ?? nowMs);
  }

  #onAudio(bytes) {
    this.#logbook.arrived(bytes.byteLength, performance.now());
    if (admitsAudio(this.#getState())) this.#speaker?.play(bytes);
  }

  #onFrame(pcm, level) {
    const nowMs = performance.now();
    const state = this.#getState();
    const heard = isHeard(state);
    const sent = heard ? pcm : new ArrayBuffer(FRAME_BYTES);
    const shown = heard ? level : 0;
    this.#onLevels({ microphone: shown });
    const arrives = state.link === "open" && (this.#line?.sendAudio(sent) ?? false);
    if (arrives) this.#clock.sent(FRAME_MS, nowMs);
    this.#logbook.frame(new Int16Array(sent), shown, arrives, nowMs);
  }

  #onPlayback(report) {
    const { type, responseId, playedMs, level } = report;
    const nowMs = performance.now();
    if (type === "rendered") {
      this.#logbook.rendered(report, nowMs);
      return;
    }
    this.#playback = report;
    if (type === "position") {
      this.#onLevels({ answer: level });
      this.#logbook.position(report);
      if (nowMs - this.#lastAckAtMs < ACK_EVERY_MS) return;
      this.#lastAckAtMs = nowMs;
      this.#line?.sendEvent(playbackAck(responseId, playedMs - (this.#speaker?.latencyMs ?? 0)));
      return;
    }
    if (type !== "started") this.#onLevels({ answer: 0 });
    if (type === "ended") this.#line?.sendEvent(playbackAck(responseId, playedMs));
    this.#tell({ type: `page.sound_${type}`, responseId });
  }

  #silence({ response, soundingId }) {
    const responseIds = new Set([soundingId, response?.id ?? null]);
    responseIds.delete(null);
    for (const responseId of responseIds) this.#speaker?.flush(responseId);
  }

  #close() {
    this.#attempt += 1;
    this.#line?.close();
    this.#line = null;
    this.#awake.end();
    this.#camera.close();
    void this.#microphone?.close();
    void this.#speaker?.close();
    this.#microphone = null;
    this.#speaker = null;
    this.#onLevels({ microphone: 0, answer: 0 });
  }
}

/** An event for the log: a picture a second would be most of it. */
function withoutPictures(event) {
  const { video_frames: frames } = event;
  return frames ? { ...event, video_frames: frames.map(({ length }) => `${length} characters`) } : event;
}
