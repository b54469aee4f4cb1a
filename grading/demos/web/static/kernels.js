// The page of demonstration 4: the race, the profiles before and after, and photographs in float32 and int8.

import { addBar, bytes, element, paint, percent, say, setBar, showLearning } from "./learning.js";
import { NoAnswer, ask, follow, showFailure } from "./live.js";
import { Unreadable, readPhoto } from "./photo.js";

const SIDE = 32;
const LIKELIEST = 3;
const FORMATS = ["float32", "int8"];

const $ = (id) => document.getElementById(id);
let training = true;
let built = false; // whether there is a network to ask
let photo = null; // { pixels, name } of the image to recognise
let asking = false;
let changed = false; // whether the network or the image has changed since the last question
let chosen = 0; // the number of photographs chosen so far: if two are being read at the same time, the later one counts
let classes = [];

/** Make a bar that is `part` full, hidden from screen readers because the number is next to it. */
function makeTrack(part = 0) {
  const [bar, fill] = [element("div", "", { class: "track", "aria-hidden": "true" }), element("div", "", { class: "fill" })];
  fill.style.width = `${100 * part}%`;
  bar.append(fill);
  return bar;
}

// The race

function showRace({ lanes, stage, summary, over }) {
  if (!$("lanes").childElementCount) {
    for (const { name, job } of lanes) {
      const item = element("li");
      const heading = element("p", "", { class: "lane" });
      heading.append(element("strong", name), element("span"));
      item.append(heading, makeTrack(), element("p", job, { class: "small" }));
      $("lanes").append(item);
    }
  }
  lanes.forEach(({ part, speed }, i) => {
    const item = $("lanes").children[i];
    item.querySelector("span").textContent = speed;
    item.querySelector(".fill").style.width = `${100 * part}%`;
  });
  $("stage").textContent = over ? `The race is over. ${summary}` : summary || stage;
}

function showProfile(rows) {
  const longest = Math.max(...rows.flatMap(([, before, after]) => [before, after]));
  const total = [1, 2].map((i) => rows.reduce((sum, row) => sum + row[i], 0));
  const lines = [...rows, ["together", ...total]].map(([name, ...times], place) => {
    const line = element("tr");
    line.append(element("th", name, { scope: "row" }));
    for (const seconds of times) {
      const cell = line.insertCell();
      cell.append(element("span", seconds ? (1000 * seconds).toFixed(1) : "–"));
      if (place < rows.length) cell.append(makeTrack(seconds / longest));
    }
    return line;
  });
  $("profile").tBodies[0].replaceChildren(...lines);
  $("profile").hidden = false;
  $("later").hidden = true;
}

// The photograph

const answers = {};
for (const format of FORMATS) {
  const table = element("table", "", { class: "bars" });
  table.append(element("caption", format));
  const body = table.createTBody();
  $("answers").append(table);
  answers[format] = { table, bars: Array.from({ length: LIKELIEST }, () => addBar(body, "–")) };
}
$("answers").hidden = true;

function choosePhoto(pixels, name) {
  photo = { pixels, name };
  paint($("picture"), (i) => pixels.subarray(3 * i, 3 * i + 3));
  $("picture").setAttribute("aria-label", `${name} in 32 by 32 pixels`);
  $("unread").hidden = true;
  $("answers").hidden = true;
  $("answer").textContent = built ? "…" : "The answer will come as soon as there is a network. The race comes first.";
  changed = true;
  askNow();
}

async function readFile(file) {
  chosen += 1;
  const mine = chosen;
  clearPhoto("Reading the file.");
  try {
    const pixels = await readPhoto(file, SIDE);
    if (mine === chosen) choosePhoto(pixels, "Your photograph");
  } catch (error) {
    if (!(error instanceof Unreadable)) throw error;
    if (mine === chosen) refuseFile(error.message);
  }
}

/** Remove the photograph and its answer. */
function clearPhoto(message) {
  photo = null;
  changed = false;
  $("picture").getContext("2d").clearRect(0, 0, SIDE, SIDE);
  $("picture").setAttribute("aria-label", "No photograph yet");
  $("unread").hidden = true;
  $("answers").hidden = true;
  $("answer").textContent = message;
}

function refuseFile(message) {
  clearPhoto("Nothing to recognise.");
  $("unread").textContent = message;
  $("unread").hidden = false;
}

function readFirstFile(files) {
  if (files.length) readFile(files[0]);
  else refuseFile("That was not a file. Save the photograph on your machine first, then drop the file here.");
}

$("file").addEventListener("click", () => {
  $("file").value = ""; // so that the same file can be chosen again
});
$("file").addEventListener("change", () => {
  if ($("file").files.length) readFile($("file").files[0]);
});
for (const kind of ["dragenter", "dragover"]) {
  addEventListener(kind, (event) => {
    event.preventDefault();
    document.body.classList.add("dragging");
  });
}
addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("dragging");
});
addEventListener("drop", (event) => {
  event.preventDefault(); // otherwise the browser would leave this page to show the photograph
  document.body.classList.remove("dragging");
  readFirstFile(event.dataTransfer.files);
});

async function askNow() {
  if (asking || !built) return;
  asking = true;
  try {
    while (changed) {
      changed = false;
      const asked = photo;
      const answer = await ask("answer", { pixels: btoa(String.fromCharCode(...asked.pixels)) });
      if (asked !== photo) continue;
      if (answer.failure) {
        showFailure($("failure"), answer.failure);
        $("answer").textContent = "No answer.";
      } else if (answer.busy) {
        $("answer").textContent = "The network is busy. The answer will come as soon as it is free.";
        changed = !training;
      } else {
        $("failure").hidden = true;
        showAnswer(answer);
      }
    }
  } catch (error) {
    if (!(error instanceof NoAnswer)) throw error;
    showTrouble(error.message);
  } finally {
    asking = false;
  }
}

function showAnswer(answer) {
  const said = FORMATS.filter((format) => answer[format]).map((format) => {
    const order = answer[format].map((p, place) => [p, place]).sort((a, b) => b[0] - a[0] || a[1] - b[1]);
    answers[format].bars.forEach((bar, place) => {
      bar.name.textContent = classes[order[place][1]];
      setBar(bar, order[place][0], place === 0);
    });
    return { format, name: classes[order[0][1]], sure: percent(order[0][0]) };
  });
  for (const format of FORMATS) answers[format].table.hidden = !answer[format];
  $("answers").hidden = false;
  const names = new Set(said.map(({ name }) => name));
  const both = said.length > 1 && names.size === 1;
  const each = said.map(({ format, name }) => `${format} says ${name}`).join(", ");
  $("answer").textContent = `${both ? `Both say ${said[0].name}` : each}.${training ? " It is still learning." : ""}`;
  const sure = said.map((one) => `${one.format}: ${one.name}, ${one.sure} sure`).join("; ");
  say(`${photo.name}. ${sure}.`, training ? 900 : 0);
}

// Samples, and the feed

function addSample(image, label, { height, width }) {
  const pixels = bytes(image);
  const name = `Sample: ${classes[label]}`;
  const button = element("button", "", { type: "button", "aria-label": name, title: classes[label] });
  const canvas = element("canvas", "", { width, height, "aria-hidden": "true" });
  paint(canvas, (i) => pixels.subarray(3 * i, 3 * i + 3));
  button.append(canvas);
  button.addEventListener("click", () => {
    chosen += 1;
    choosePhoto(pixels, name);
  });
  $("samples").append(button);
}

function showComparison({ nbytes, accuracies, summary }) {
  const lines = FORMATS.map((format, i) => {
    const line = element("tr");
    line.append(element("th", format, { scope: "row" }));
    line.append(element("td", nbytes[i].toLocaleString("en")), element("td", `${(100 * accuracies[i]).toFixed(1)}%`));
    return line;
  });
  $("compared").tBodies[0].replaceChildren(...lines);
  $("compared").hidden = false;
  $("summary").textContent = summary;
}

function showTrouble(message) {
  $("trouble").textContent = message;
  $("trouble").hidden = false;
}

let profiled = false;

function showState(state) {
  const was = training;
  showRace(state.race);
  if (state.profile && !profiled) {
    profiled = true;
    showProfile(state.profile);
    say($("stage").textContent);
  }
  if (!state.points.length && state.race.over) $("learned").textContent = "The network is built.";
  training = showLearning(state, "images");
  if (state.compared) showComparison(state.compared);
  if (state.phase === "ready" && was) say(`Training is over. ${$("learned").textContent}`);
  built = state.points.length > 0;
  if (photo && built && state.phase !== "failed") {
    changed = true; // the network has learned more and may answer differently
    askNow();
  }
  return !training;
}

try {
  const offered = await ask("samples", {});
  classes = offered.classes;
  offered.images.forEach((image, i) => addSample(image, offered.labels[i], offered));
  follow(showState, showTrouble);
} catch (error) {
  if (!(error instanceof NoAnswer)) throw error;
  showTrouble(error.message);
}
