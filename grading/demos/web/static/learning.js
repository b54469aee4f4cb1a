// The parts that all demonstrations' pages share: training progress, bars, pictures, and sentences to be read out.

import { drawCurve } from "./curve.js";
import { showFailure } from "./live.js";

const CURVES = { loss: "Loss", accuracy: "Accuracy", right: "Correct functions" };

const $ = (id) => document.getElementById(id);
let speaking = 0;

/** Make an element with a text and attributes. */
export function element(name, text = "", attributes = {}) {
  const made = document.createElement(name);
  made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

/** Fill the card "How it learns". Its text is shown until training starts, and `data-curves` names the curves. */
function fillCard(card) {
  const title = element("h2", "How it learns", { id: "learned-title" });
  const working = element("div", "", { id: "working" });
  working.append(element("label", "Training", { for: "progress" }), element("progress", "", { id: "progress", max: 1 }));
  const curves = element("div", "", { class: "curves" });
  for (const name of card.dataset.curves.split(" ")) {
    const figure = element("figure");
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const label = `${CURVES[name]} during training: nothing measured yet`;
    for (const [key, value] of Object.entries({ id: `${name}-curve`, class: "curve", role: "img", "aria-label": label })) {
      svg.setAttribute(key, value);
    }
    figure.append(svg, element("figcaption", CURVES[name]));
    curves.append(figure);
  }
  const about = element("p", "", { class: "small" });
  about.append(element("span", "", { id: "about" }), " This program measures the curves on data that the network is not trained on.");
  const learned = element("p", card.textContent.trim(), { id: "learned" });
  card.setAttribute("aria-labelledby", "learned-title");
  card.replaceChildren(title, working, curves, learned, about);
}

fillCard($("learning"));

/** Show training progress: a sentence, and curves (values, label, options) by name. Return true while training. */
export function showProgress({ phase, about, points, failure }, learned, curves) {
  const training = phase === "starting" || phase === "training";
  $("about").textContent = about;
  $("working").hidden = !training;
  if (points.length) {
    const steps = points.at(-1)[1];
    $("learned").textContent = learned;
    if (steps) $("progress").value = points.at(-1)[0] / steps;
    const passed = points.map((point) => point[0]);
    for (const [name, [values, label, options]] of Object.entries(curves)) {
      if ($(`${name}-curve`)) drawCurve($(`${name}-curve`), passed, values, steps, label, options);
    }
  }
  if (failure) showFailure($("failure"), failure);
  return training;
}

/** Describe the first and the current loss, and when it was measured. */
export function describeLoss(points) {
  const [first, [step, steps, loss]] = [points[0], points.at(-1)];
  const fresh = points.length === 1;
  const when = fresh ? "before training" : `after ${step} of ${steps} steps`;
  return { when, fell: `The loss ${fresh ? "" : `was ${first[2].toFixed(2)} at first and `}is ${loss.toFixed(2)} ${when}` };
}

/** Show how a network learns to recognise `things`, "images" or "digits". Return true while training. */
export function showLearning(state, things) {
  const { phase, points, accuracy, tested } = state;
  $("stand-in").hidden = !state.stand_in;
  if (!points.length) return showProgress(state, "", {});
  const { when, fell } = describeLoss(points);
  const now = `${Math.round(100 * points.at(-1)[3])}%`;
  const verb = things === "digits" ? "reads" : "recognises";
  const counted = phase === "ready" ? `${(100 * accuracy).toFixed(1)}% of ${tested.toLocaleString("en")}` : now;
  const known =
    phase === "ready"
      ? `The network ${verb} ${counted} ${things} it has never seen.`
      : `It ${verb} ${counted} of ${things} it is not trained on.`;
  const label = `The accuracy during training: ${Math.round(100 * points[0][3])}% at first, ${now} ${when}.`;
  return showProgress(state, `${fell}. ${known}`, {
    loss: [points.map((point) => point[2]), `The loss during training. ${fell}.`],
    accuracy: [points.map((point) => 100 * point[3]), label, { top: 100, unit: "%" }],
  });
}

export const percent = (p) => `${p >= 0.9995 ? 100 : Math.min(100 * p, 99.9).toFixed(1)}%`;

/** Add a row to a table of bars, for `setBar` to fill. */
export function addBar(body, label) {
  const row = body.insertRow();
  const name = document.createElement("th");
  name.scope = "row";
  name.textContent = label;
  const [track, fill] = [document.createElement("div"), document.createElement("div")];
  track.className = "track";
  fill.className = "fill";
  track.append(fill);
  row.append(name);
  row.insertCell().append(track);
  const number = row.insertCell();
  number.className = "number";
  return { row, name, fill, number };
}

/** Show a probability in a row that `addBar` made. */
export function setBar({ row, fill, number }, p, best) {
  row.className = best ? "best" : "";
  fill.style.width = `${100 * p}%`;
  number.textContent = percent(p);
}

/** Decode base64 to bytes. */
export function bytes(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

/** Fill a canvas pixel by pixel, where `colour(i)` returns the i-th pixel's red, green and blue values. */
export function paint(canvas, colour) {
  const image = new ImageData(canvas.width, canvas.height);
  for (let i = 0; i < canvas.width * canvas.height; i++) image.data.set([...colour(i), 255], 4 * i);
  canvas.getContext("2d").putImageData(image, 0, 0);
}

/** Have a screen reader read out a sentence, after `wait` milliseconds without a new one. */
export function say(text, wait = 0) {
  clearTimeout(speaking);
  speaking = setTimeout(() => {
    if ($("spoken").textContent !== text) $("spoken").textContent = text;
  }, wait);
}
