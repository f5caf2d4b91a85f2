/**
 * Draws a timeline onto a canvas. Everything is a function of what it is given, so a picture of a frozen timeline never
 * changes.
 */

const GUTTER = 8;
const LABEL = 18;
const LANES = [
  { name: "microphone", kind: "level", height: 34, colour: "user" },
  { name: "speech", kind: "span", height: 9, colour: "user" },
  { name: "sent", kind: "span", height: 9, colour: "quiet" },
  { name: "played", kind: "level", height: 34, colour: "answer" },
];
const MARK_ROWS = 2;
const MARK_ROW = 16;

/** How high the picture must be to show everything, in CSS pixels. */
export const PICTURE_HEIGHT = LANES.reduce((sum, { height }) => sum + LABEL + height, 0) + MARK_ROWS * MARK_ROW + 22;

/**
 * @param {CanvasRenderingContext2D} canvas its transform says how many pixels a CSS pixel is
 * @param {{nowMs: number, levels: object, spans: object, marks: object[]}} view see timeline.js
 * @param {{width: number, spanMs: number, colours: Record<"ground" | "line" | "ink" | "quiet" | "user" | "answer" | "cut",
 *   string>, font: string, words: {lanes: object, marks: object}}} look `spanMs` is how much time the width shows
 */
export function drawTimeline(canvas, view, { width, spanMs, colours, font, words }) {
  const fromMs = view.nowMs - spanMs;
  const x = (atMs) => ((atMs - fromMs) / spanMs) * width;
  canvas.fillStyle = colours.ground;
  canvas.fillRect(0, 0, width, PICTURE_HEIGHT);
  canvas.font = `12px ${font}`;
  canvas.textBaseline = "middle";
  drawSeconds(canvas, view.nowMs, spanMs, x, colours);
  let top = MARK_ROWS * MARK_ROW;
  for (const lane of LANES) {
    canvas.fillStyle = colours.quiet;
    canvas.fillText(words.lanes[lane.name], GUTTER, top + LABEL / 2 + 1);
    top += LABEL;
    canvas.fillStyle = colours[lane.colour];
    if (lane.kind === "level") drawLevels(canvas, view.levels[lane.name], x, fromMs, top, lane.height);
    else drawSpans(canvas, view.spans[lane.name], view.nowMs, x, fromMs, top, lane.height);
    if (lane.name === "played") drawHolds(canvas, view, x, fromMs, top, lane.height, colours);
    top += lane.height;
  }
  drawMarks(canvas, view.marks, x, fromMs, top, colours, words.marks, width);
}

function drawSeconds(canvas, nowMs, spanMs, x, colours) {
  canvas.fillStyle = colours.quiet;
  const stepS = spanMs > 15000 ? 5 : 1;
  for (let ago = 0; ago * 1000 <= spanMs; ago += stepS) {
    const at = Math.round(x(nowMs - ago * 1000)) - 0.5;
    canvas.strokeStyle = colours.line;
    canvas.lineWidth = 1;
    canvas.beginPath();
    canvas.moveTo(at, 0);
    canvas.lineTo(at, PICTURE_HEIGHT - 20);
    canvas.stroke();
    if (ago > 0 && at > 12) {
      canvas.textAlign = "center";
      canvas.fillText(`-${ago} s`, at, PICTURE_HEIGHT - 9);
    }
  }
  canvas.textAlign = "left";
}

function drawLevels(canvas, levels, x, fromMs, top, height) {
  for (const { atMs, value, lastsMs } of levels) {
    if (atMs + lastsMs < fromMs || value <= 0) continue;
    const left = x(atMs);
    const tall = Math.max(1, value * height);
    canvas.fillRect(left, top + height - tall, Math.max(1, x(atMs + lastsMs) - left), tall);
  }
}

function drawSpans(canvas, spans, nowMs, x, fromMs, top, height) {
  for (const span of spans) {
    const toMs = span.toMs ?? nowMs;
    if (toMs < fromMs) continue;
    const left = x(Math.max(span.fromMs, fromMs));
    canvas.beginPath();
    canvas.roundRect(left, top, Math.max(2, x(toMs) - left), height, 3);
    canvas.fill();
  }
}

function drawHolds(canvas, { spans, nowMs }, x, fromMs, top, height, colours) {
  canvas.save();
  canvas.globalAlpha = 0.22;
  canvas.fillStyle = colours.cut;
  drawSpans(canvas, spans.held, nowMs, x, fromMs, top, height);
  canvas.restore();
}

function drawMarks(canvas, marks, x, fromMs, bottom, colours, words, width) {
  const ends = Array(MARK_ROWS).fill(-Infinity);
  for (const { kind, atMs, ms } of marks) {
    if (atMs < fromMs) continue;
    const at = x(atMs);
    canvas.strokeStyle = canvas.fillStyle = kind === "first" ? colours.answer : colours.cut;
    canvas.lineWidth = 1.5;
    canvas.beginPath();
    canvas.moveTo(at, 4);
    canvas.lineTo(at, bottom);
    canvas.stroke();
    const text = ms === null ? words[kind] : `${words[kind]} ${Math.round(ms)} ms`;
    const long = canvas.measureText(text).width;
    const left = at + 5 + long > width ? at - 5 - long : at + 5;
    const row = ends.findIndex((end) => end < left);
    if (row < 0) continue;
    ends[row] = left + long + 6;
    canvas.fillText(text, left, row * MARK_ROW + MARK_ROW / 2 + 2);
  }
}
