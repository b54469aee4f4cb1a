// What pages of demonstrations show alike: how training goes, bars, pictures, sentences that are read out.

import { drawCurve } from "./curve.js";
import { showFailure } from "./live.js";

const $ = (id) => document.getElementById(id);
let speaking = 0;

/** Show how far training has come; `things` is what the network names. Whether more will come. */
export function showLearning(state, things) {
  const { phase, points, accuracy, tested } = state;
  const training = phase === "starting" || phase === "training";
  $("about").textContent = state.about;
  $("stand-in").hidden = !state.stand_in;
  $("working").hidden = !training;
  if (points.length) {
    const [first, [step, steps, loss, right]] = [points[0], points.at(-1)];
    const fresh = points.length === 1;
    const when = fresh ? "before training" : `after ${step} of ${steps} steps`;
    const fell = `The loss ${fresh ? "" : `was ${first[2].toFixed(2)} at first and `}is ${loss.toFixed(2)} ${when}`;
    const verb = things === "digits" ? "reads" : "names";
    const now = `${Math.round(100 * right)}%`;
    const counted = phase === "ready" ? `${(100 * accuracy).toFixed(1)}% of ${tested.toLocaleString("en")}` : now;
    const known =
      phase === "ready"
        ? `The network ${verb} ${counted} ${things} it has never seen.`
        : `It ${verb} ${counted} of ${things} it is not trained on.`;
    $("learned").textContent = `${fell}. ${known}`;
    if (steps) $("progress").value = step / steps;
    const passed = points.map((point) => point[0]);
    drawCurve($("curve"), passed, points.map((point) => point[2]), steps, `The loss during training. ${fell}.`);
    const label = `The accuracy during training: ${Math.round(100 * first[3])}% at first, ${now} ${when}.`;
    const percents = points.map((point) => 100 * point[3]);
    if ($("accuracy-curve")) drawCurve($("accuracy-curve"), passed, percents, steps, label, { top: 100, unit: "%" });
  }
  if (state.failure) showFailure($("failure"), state.failure);
  return training;
}

export const percent = (p) => `${p >= 0.9995 ? 100 : Math.min(100 * p, 99.9).toFixed(1)}%`;

/** Add a row to a table of bars, to be filled by `setBar`. */
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

/** Show a probability in such a row. */
export function setBar({ row, fill, number }, p, best) {
  row.className = best ? "best" : "";
  fill.style.width = `${100 * p}%`;
  number.textContent = percent(p);
}

/** The bytes of a text in base64. */
export function bytes(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

/** Fill a canvas, pixel by pixel: `colour(i)` is red, green and blue of the i-th. */
export function paint(canvas, colour) {
  const image = new ImageData(canvas.width, canvas.height);
  for (let i = 0; i < canvas.width * canvas.height; i++) image.data.set([...colour(i), 255], 4 * i);
  canvas.getContext("2d").putImageData(image, 0, 0);
}

/** Have a sentence read out, after `wait` milliseconds without another one. */
export function say(text, wait = 0) {
  clearTimeout(speaking);
  speaking = setTimeout(() => {
    if ($("spoken").textContent !== text) $("spoken").textContent = text;
  }, wait);
}
