// The page of demonstration 2: paper to draw on, the network's answer, its feature maps, and its training.

import { addBar, bytes, paint, percent, say, setBar, showLearning } from "./learning.js";
import { NoAnswer, ask, follow, showFailure } from "./live.js";

const SIDE = 1000; // coordinates are thousandths of the paper's width
const STEP = 40; // how far an arrow key moves the pen
const SMALL_STEP = 10;
const PEN = 0.055; // the line's width, as a share of the paper's width
const APART = 4; // points closer than this become one
const MOST_POINTS = 3900; // the program accepts 4,000
const MOST_STROKES = 99;
const QUIET_MS = 900; // an answer is read out once the drawing has been left alone for this long

const $ = (id) => document.getElementById(id);
const paper = $("paper");
const pen = paper.getContext("2d");

let strokes = [];
let drawing = null; // the pointer that is drawing
let key = { x: SIDE / 2, y: SIDE / 2, down: false, used: false };
let asking = false;
let changed = null; // when the drawing first changed after the last question
let training = true;
let framed = 0;

// Drawing

const countPoints = () => strokes.reduce((sum, stroke) => sum + stroke.length, 0);

function clampToPaper(value) {
  return Math.min(SIDE, Math.max(0, Math.round(value)));
}

function toPaperPoint(event) {
  const box = paper.getBoundingClientRect();
  const border = paper.clientLeft;
  return [
    clampToPaper(((event.clientX - box.left - border) / paper.clientWidth) * SIDE),
    clampToPaper(((event.clientY - box.top - border) / paper.clientHeight) * SIDE),
  ];
}

function beginStroke(point) {
  if (strokes.length >= MOST_STROKES || countPoints() >= MOST_POINTS) return;
  strokes.push([point]);
  markChanged();
}

function extendStroke(point) {
  const stroke = strokes.at(-1);
  if (!stroke || countPoints() >= MOST_POINTS) return;
  const [x, y] = stroke.at(-1);
  if (Math.abs(point[0] - x) < APART && Math.abs(point[1] - y) < APART) return;
  stroke.push(point);
  markChanged();
}

function clearDrawing() {
  strokes = [];
  drawing = null;
  key.down = false;
  changed = null;
  scheduleRedraw();
  showNothing();
  say("Cleared.");
}

/** Redraw everything once before the next frame, however often this is called. */
function scheduleRedraw() {
  if (!framed) framed = requestAnimationFrame(drawAll);
}

function drawAll() {
  framed = 0;
  const style = getComputedStyle(paper);
  const scale = paper.width / SIDE;
  pen.setTransform(1, 0, 0, 1, 0, 0);
  pen.clearRect(0, 0, paper.width, paper.height);
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.lineCap = pen.lineJoin = "round";
  pen.strokeStyle = style.getPropertyValue("--guide");
  pen.lineWidth = 3;
  pen.strokeRect(SIDE * 0.15, SIDE * 0.1, SIDE * 0.7, SIDE * 0.8);
  pen.strokeStyle = style.getPropertyValue("--pen");
  pen.lineWidth = PEN * SIDE;
  for (const stroke of strokes) {
    pen.beginPath();
    pen.moveTo(...stroke[0]);
    for (const point of stroke) pen.lineTo(...point);
    pen.stroke();
  }
  if (key.used && document.activeElement === paper) {
    const accent = getComputedStyle(document.body).getPropertyValue("--accent");
    pen.lineWidth = 8;
    pen.strokeStyle = pen.fillStyle = accent;
    pen.beginPath();
    pen.arc(key.x, key.y, PEN * SIDE * 0.75, 0, 2 * Math.PI);
    key.down ? pen.fill() : pen.stroke();
  }
}

function markChanged() {
  changed = performance.now();
  scheduleRedraw();
  askNow();
}

paper.addEventListener("pointerdown", (event) => {
  if (drawing !== null || event.button !== 0) return;
  event.preventDefault();
  paper.focus({ preventScroll: true });
  paper.setPointerCapture(event.pointerId);
  drawing = event.pointerId;
  Object.assign(key, { down: false, used: false });
  beginStroke(toPaperPoint(event));
});
paper.addEventListener("pointermove", (event) => {
  if (event.pointerId !== drawing) return;
  for (const one of event.getCoalescedEvents?.() ?? [event]) extendStroke(toPaperPoint(one));
  extendStroke(toPaperPoint(event));
});
for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
  paper.addEventListener(end, (event) => {
    if (event.pointerId === drawing) drawing = null;
  });
}

const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

paper.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  const move = MOVES[event.key];
  if (move) {
    const step = event.shiftKey ? SMALL_STEP : STEP;
    Object.assign(key, { x: clampToPaper(key.x + step * move[0]), y: clampToPaper(key.y + step * move[1]), used: true });
    if (key.down) extendStroke([key.x, key.y]);
  } else if (event.key === " " || event.key === "Enter") {
    if (event.repeat) return;
    Object.assign(key, { down: !key.down, used: true });
    if (key.down) beginStroke([key.x, key.y]);
    say(key.down ? "Pen down." : "Pen up.");
  } else if (["c", "C", "Delete", "Backspace"].includes(event.key)) {
    clearDrawing();
  } else {
    return;
  }
  event.preventDefault();
  scheduleRedraw();
});
paper.addEventListener("focus", () => {
  if (paper.matches(":focus-visible") && drawing === null) key.used = true;
  scheduleRedraw();
});
paper.addEventListener("blur", () => {
  key.down = false;
  scheduleRedraw();
});
$("clear").addEventListener("click", clearDrawing);

// Asking

function showTrouble(message) {
  $("trouble").textContent = message;
  $("trouble").hidden = false;
}

async function askNow() {
  if (asking || !strokes.length) return;
  asking = true;
  try {
    while (changed !== null && strokes.length) {
      const since = changed;
      changed = null;
      const answer = await ask("answer", { strokes });
      $("trouble").hidden = true;
      if (answer.failure) {
        showFailure($("failure"), answer.failure);
        $("sure").textContent = "No answer.";
      } else if (answer.busy) {
        $("sure").textContent = "The network is busy. The answer will come as soon as it is free.";
        if (!training) changed ??= since;
      } else if (strokes.length) {
        $("failure").hidden = true;
        showAnswer(answer);
        $("took").textContent = `${Math.round(performance.now() - since)} ms from stroke to answer`;
      }
    }
  } catch (error) {
    if (!(error instanceof NoAnswer)) throw error;
    showTrouble(error.message);
  } finally {
    asking = false;
  }
}

// Showing

const rows = Array.from({ length: 10 }, (_, digit) => addBar($("bars").tBodies[0], digit));

function showNothing() {
  for (const { row, fill, number } of rows) {
    row.className = "";
    fill.style.width = "0";
    number.textContent = "–";
  }
  $("digit").textContent = "?";
  $("sure").textContent = "Draw a digit with a mouse, finger or pen.";
  $("took").textContent = "";
  $("picture").getContext("2d").clearRect(0, 0, 28, 28);
  $("maps").replaceChildren();
  $("maps").setAttribute("aria-label", "Feature maps: nothing is drawn yet");
}

function showAnswer({ digit, probabilities, picture, maps }) {
  rows.forEach((bar, i) => setBar(bar, probabilities[i], i === digit));
  const sure = `${percent(probabilities[digit])} sure${training ? ", still learning" : ""}`;
  $("digit").textContent = digit;
  $("sure").textContent = sure;
  const ink = bytes(picture);
  paint($("picture"), (i) => [ink[i], ink[i], ink[i]]);
  showMaps(maps);
  say(`Read as ${digit}, ${sure}.`, QUIET_MS);
}

function showMaps({ count, height, width, values }) {
  const all = bytes(values);
  const box = $("maps");
  if (box.childElementCount !== count) {
    box.replaceChildren(...Array.from({ length: count }, () => document.createElement("canvas")));
  }
  [...box.children].forEach((canvas, i) => {
    canvas.width = width;
    canvas.height = height;
    paint(canvas, (place) => {
      const part = (all[i * height * width + place] - 128) / 127;
      return part >= 0 ? [255 * part, 255 * part, 255 * part] : [-255 * part, -140 * part, 0];
    });
  });
  box.setAttribute("aria-label", `${count} feature maps of your digit, ${height} by ${width} each`);
}

// Learning

function showState(state) {
  const wasTraining = training;
  training = showLearning(state, "digits");
  if (state.phase === "ready" && wasTraining) say("Training is over.");
  if (strokes.length && state.phase !== "failed") {
    changed ??= performance.now(); // the network has learned more, so have it read the drawing again
    askNow();
  }
  return !training;
}

// Fitting

new ResizeObserver(() => {
  paper.width = Math.round(paper.clientWidth * devicePixelRatio);
  paper.height = Math.round(paper.clientHeight * devicePixelRatio);
  scheduleRedraw();
}).observe(paper);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", scheduleRedraw);

showNothing();
follow(showState, showTrouble);
