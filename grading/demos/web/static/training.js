// The page of demonstration 3: a network's curves, samples and confusions, shown live as the network learns.

import { addBar, bytes, element, paint, say, setBar, showLearning } from "./learning.js";
import { NoAnswer, ask, follow } from "./live.js";

const LIKELIEST = 3;

const $ = (id) => document.getElementById(id);
let training = true;

// Samples

/** Add an image with empty bars. */
function addSample(image, label, { classes, height, width }) {
  const canvas = element("canvas", "", { width, height, role: "img", "aria-label": `Image: ${classes[label]}` });
  const pixels = bytes(image);
  paint(canvas, (i) => pixels.subarray(3 * i, 3 * i + 3));
  const heading = element("p");
  const verdict = element("span", "", { class: "small" });
  heading.append(element("strong", classes[label]), " ", verdict);
  const table = element("table", "", { class: "bars" });
  table.append(element("caption", `The likeliest classes of this image: ${classes[label]}`, { class: "unseen" }));
  const body = table.createTBody();
  const bars = Array.from({ length: LIKELIEST }, () => addBar(body, "–"));
  const beside = element("div");
  beside.append(heading, table);
  const item = element("li");
  item.append(canvas, beside);
  $("samples").append(item);
  return { label, verdict, bars };
}

function showSample({ label, verdict, bars }, answer, classes) {
  const order = answer.map((p, i) => [p, i]).sort((a, b) => b[0] - a[0] || a[1] - b[1]);
  bars.forEach((bar, place) => {
    const [p, i] = order[place];
    bar.name.textContent = classes[i];
    setBar(bar, p, place === 0);
  });
  verdict.textContent = order[0][1] === label ? "✓ right" : "✗ wrong";
}

// Confusions

/** Add an empty table: rows are what images show, columns are the network's answers. */
function addTable(classes) {
  const head = $("confusion").tHead.insertRow();
  head.append(element("td"));
  for (const name of classes) {
    const cell = element("th", "", { scope: "col" });
    cell.append(element("span", name));
    head.append(cell);
  }
  return classes.map((name, row) => {
    const line = $("confusion").tBodies[0].insertRow();
    line.append(element("th", name, { scope: "row" }));
    return classes.map((_, column) => {
      const cell = line.insertCell();
      cell.className = row === column ? "right" : "wrong";
      return cell;
    });
  });
}

function showConfusion(cells, { confusion, worst }, classes) {
  const totals = confusion.map((counts) => counts.reduce((sum, n) => sum + n, 0));
  confusion.forEach((counts, row) => {
    counts.forEach((count, column) => {
      const part = count / Math.max(totals[row], 1);
      cells[row][column].textContent = count;
      cells[row][column].style.setProperty("--part", row === column ? Math.sqrt(part) : Math.min(1, 2 * part));
    });
  });
  const all = totals.reduce((sum, n) => sum + n, 0).toLocaleString("en");
  $("counted").textContent = `${all} images: rows are what they show, columns are what the network calls them.`;
  const words = worst.map(([row, column]) =>
    element("li", `${classes[row]} called ${classes[column]}: ${confusion[row][column]} of ${totals[row]}`),
  );
  $("worst").replaceChildren(...(words.length ? words : [element("li", "nothing")]));
}

// The feed

function showTrouble(message) {
  $("trouble").textContent = message;
  $("trouble").hidden = false;
}

try {
  const shown = await ask("samples", {});
  const { classes } = shown;
  const samples = shown.images.map((image, i) => addSample(image, shown.labels[i], shown));
  const cells = addTable(classes);
  follow((state) => {
    const wasTraining = training;
    training = showLearning(state, "images");
    if (state.answers) {
      samples.forEach((sample, i) => showSample(sample, state.answers[i], classes));
      showConfusion(cells, state, classes);
    }
    if (state.phase === "ready" && wasTraining) say(`Training is over. ${$("learned").textContent}`);
    return !training;
  }, showTrouble);
} catch (error) {
  if (!(error instanceof NoAnswer)) throw error;
  showTrouble(error.message);
}
