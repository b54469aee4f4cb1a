// The page of demonstration 5: a function, written token by token and run, with rivals, attention and training.

import { addBar, bytes, describeLoss, element, paint, percent, say, setBar, showProgress } from "./learning.js";
import { NoAnswer, ask, follow, showFailure } from "./live.js";

const PACE_MS = 40; // pause between two tokens
const RETRY_MS = 700; // pause before asking again if the network is busy
const SHOWN = 3; // how many of the attended tokens are named

const $ = (id) => document.getElementById(id);
let training = true;
let built = false; // whether there is a network to ask
let writing = 0; // the number of the function being written; increasing it stops the writing
let active = false;
let beginning = ""; // the text that the network was given
let steps = []; // the tokens written so far: { token, text, probability, candidates }
let attended = null; // { tokens, first, begins, layers, heads, values }
let selected = -1; // an index into all tokens, including the beginning's
let head = [0, 0]; // layer and head

const waitFor = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const showWhitespace = (text) => text.replaceAll("\n", "↵").replaceAll(" ", "␣") || "end";
const formatVerdict = (right) => (right === null ? "" : right ? " ✓" : " ✗");

function showTrouble(message) {
  $("trouble").textContent = message;
  $("trouble").hidden = false;
}

/** Run work that queries the program, and show the message if the program cannot answer. */
async function tryToAsk(work) {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof NoAnswer)) throw error;
    showTrouble(error.message);
    return null;
  }
}

/** Ask until the network is free. Return null if student code failed, or if a different function was begun. */
async function askNetwork(name, question, mine) {
  while (mine === writing) {
    const answer = await ask(name, question);
    if (answer.failure) {
      showFailure($("failure"), answer.failure);
      return null;
    }
    if (!answer.busy) return mine === writing ? answer : null;
    await waitFor(RETRY_MS);
  }
  return null;
}

// Writing

function setActive(now) {
  active = now;
  $("stop").hidden = !now;
  $("write").hidden = now;
}

const readSampling = () => ({ temperature: +$("temperature").value, top_p: +$("top-p").value });

async function writeFunction(typed) {
  writing += 1;
  const mine = writing;
  $("trouble").hidden = true;
  const read = await ask("understand", { typed });
  $("understood").textContent = read.refused ?? read.understood;
  $("understood").classList.toggle("refused", Boolean(read.refused));
  if (read.refused || mine !== writing) return;
  beginning = read.text;
  steps = [];
  attended = null;
  selected = -1;
  clearResults();
  showProgram();
  if (!built) say("It will be written as soon as there is a network.");
  setActive(true);
  try {
    await writeTokens(mine);
  } finally {
    if (mine === writing) setActive(false);
  }
}

async function writeTokens(mine) {
  for (let last = false; !last; ) {
    const written = steps.map((step) => step.token);
    const step = await askNetwork("continue", { text: beginning, written, ...readSampling() }, mine);
    if (!step) return;
    steps.push(step);
    showProgram();
    showCandidates(step);
    last = step.ended || step.full;
    await waitFor(PACE_MS);
  }
  setActive(false);
  const written = steps.map((step) => step.text).join("");
  say(`Written: ${written.trim()}`);
  await showResults(mine, written, steps.at(-1).ended);
}

async function showResults(mine, written, ended) {
  const tried = ended ? await ask("run", { text: beginning, written, arguments: [] }) : null;
  if (mine !== writing) return;
  if (tried) showTrial(tried);
  else $("verdict").textContent = "It does not end.";
  const { rivals } = await ask("rivals", { text: beginning });
  if (mine !== writing) return;
  showRivals(rivals);
  const found = await askNetwork("attend", { text: beginning, written: steps.map((step) => step.token) }, mine);
  if (found) showAttention({ ...found, values: bytes(found.values) });
}

function clearResults() {
  $("verdict").textContent = "A function is run as soon as it is written.";
  $("runs").replaceChildren();
  $("own").hidden = true;
  $("returned").textContent = "";
  $("rivals").replaceChildren();
}

/** Show the tokens, including the beginning's once they are known. */
function showProgram() {
  const before = attended ? attended.tokens.slice(0, attended.begins) : [beginning];
  const spans = [
    ...before.map((text) => ({ text })),
    ...steps.map((step) => ({ text: step.text, probability: step.probability })),
  ].map(({ text, probability }, place) => {
    const span = element("span", text, { class: "token", role: "option", id: `token-${place}`, "aria-selected": "false" });
    span.setAttribute("aria-label", probability === undefined ? showWhitespace(text) : `${showWhitespace(text)}, ${percent(probability)}`);
    if (probability !== undefined) {
      span.classList.add("new");
      span.style.setProperty("--sure", probability);
    }
    span.addEventListener("click", () => selectToken(place));
    return span;
  });
  const program = { role: "listbox", tabindex: "0", "aria-label": "The function, token by token", "aria-describedby": "keys" };
  for (const [name, value] of Object.entries(program)) $("program").setAttribute(name, value);
  $("program").replaceChildren(...spans);
}

const countGivenTokens = () => (attended ? attended.begins : 1);

function selectToken(place) {
  if (!steps.length || active) return;
  selected = Math.max(0, Math.min(place, countGivenTokens() + steps.length - 1));
  [...$("program").children].forEach((span, i) => span.setAttribute("aria-selected", i === selected));
  $("program").setAttribute("aria-activedescendant", `token-${selected}`);
  const step = steps[selected - countGivenTokens()];
  if (step) showCandidates(step);
  showAttendedTokens();
}

$("program").addEventListener("keydown", (event) => {
  const moves = { ArrowLeft: selected - 1, ArrowRight: selected + 1, Home: 0, End: countGivenTokens() + steps.length - 1 };
  if (!(event.key in moves)) return;
  event.preventDefault();
  selectToken(selected < 0 ? countGivenTokens() : moves[event.key]);
});

// The candidates from which a token was chosen

const bars = [];

function showCandidates({ text, ended, candidates }) {
  const body = $("candidates").tBodies[0];
  while (bars.length < candidates.length) {
    const bar = addBar(body, "–");
    bar.own = bar.row.insertCell();
    bar.own.className = "number";
    bars.push(bar);
  }
  bars.forEach((bar, place) => {
    bar.row.hidden = place >= candidates.length;
    if (bar.row.hidden) return;
    const [name, own, chance] = candidates[place];
    bar.name.textContent = name === "␄" ? "end" : showWhitespace(name);
    setBar(bar, chance, name === text || (ended && name.includes("␄")));
    bar.own.textContent = percent(own);
  });
  $("chosen").textContent = `Chosen: ${ended && !text ? "end" : showWhitespace(text)}`;
}

async function redrawCandidates() {
  const place = selected >= countGivenTokens() ? selected - countGivenTokens() : steps.length - 1;
  if (active || !steps.length) return;
  const written = steps.slice(0, place).map((step) => step.token);
  const answer = await askNetwork("continue", { text: beginning, written, ...readSampling() }, writing);
  if (answer && !active) showCandidates({ ...steps[place], candidates: answer.candidates });
}

let redrawing = 0;
for (const [name, digits] of [["temperature", 1], ["top-p", 2]]) {
  $(name).addEventListener("input", () => {
    $(`${name}-value`).textContent = (+$(name).value).toFixed(digits);
    clearTimeout(redrawing);
    redrawing = setTimeout(() => tryToAsk(redrawCandidates), 150);
  });
}

// Running

function showTrial({ runs, verdict, parameters }) {
  $("verdict").textContent = verdict;
  const lines = runs.map(({ call, returned, right }) => element("li", `${call} = ${returned}${formatVerdict(right)}`));
  $("runs").replaceChildren(...lines);
  $("own").hidden = !parameters.length;
  const fields = parameters.map((name) => {
    const label = element("label", name);
    label.append(element("input", "", { type: "text", autocomplete: "off", placeholder: "12 or 3, 5, 8" }));
    return label;
  });
  $("inputs").replaceChildren(...fields);
  say(`${steps.map((step) => step.text).join("").trim()}. ${verdict}`);
}

$("own").addEventListener("submit", (event) => {
  event.preventDefault();
  const values = [...$("inputs").querySelectorAll("input")].map((field) => field.value);
  const written = steps.map((step) => step.text).join("");
  tryToAsk(async () => {
    const { own, refused } = await ask("run", { text: beginning, written, arguments: values });
    $("returned").textContent = refused ?? `${own.call} = ${own.returned}`;
  });
});

function showRivals(rivals) {
  const lines = rivals.flatMap(({ name, written, verdict, right }) => {
    const said = element("dd", written.trim() || "nothing complete");
    said.title = verdict;
    return [element("dt", `${name}${formatVerdict(right)}`), said];
  });
  $("rivals").replaceChildren(...lines);
}

// Attention

const readWeight = (layer, h, row, column) => {
  const size = attended.tokens.length - attended.first;
  return attended.values[((layer * attended.heads + h) * size + row) * size + column] / 255;
};

function drawMap(canvas, layer, h) {
  const size = attended.tokens.length - attended.first;
  canvas.width = canvas.height = size;
  const most = Array.from({ length: size }, (_, row) =>
    Math.max(...Array.from({ length: row + 1 }, (_, column) => readWeight(layer, h, row, column)), 1e-9),
  );
  paint(canvas, (i) => {
    const row = Math.floor(i / size);
    const shade = Math.round((255 * readWeight(layer, h, row, i % size)) / most[row]);
    return [shade, shade, shade];
  });
}

function showAttention(found) {
  attended = found;
  head = [Math.min(head[0], found.layers - 1), Math.min(head[1], found.heads - 1)];
  showProgram();
  const rows = Array.from({ length: found.layers }, (_, layer) => {
    const line = element("div", "", { class: "layer" });
    line.append(element("span", `Layer ${layer + 1}`, { class: "small" }));
    for (let h = 0; h < found.heads; h++) {
      const button = element("button", "", { type: "button", role: "radio", "aria-label": `Layer ${layer + 1}, head ${h + 1}` });
      const canvas = element("canvas", "", { "aria-hidden": "true" });
      button.append(canvas);
      button.addEventListener("click", () => chooseHead(layer, h));
      drawMap(canvas, layer, h);
      line.append(button);
    }
    return line;
  });
  $("heads").setAttribute("role", "radiogroup");
  $("heads").setAttribute("aria-label", "Layer and head");
  $("heads").replaceChildren(...rows);
  chooseHead(...head);
  selectToken(Math.max(countGivenTokens(), found.first + 1));
}

function chooseHead(layer, h, focus = false) {
  head = [layer, h];
  const buttons = [...$("heads").querySelectorAll("button")];
  buttons.forEach((button, i) => {
    const mine = i === layer * attended.heads + h;
    button.setAttribute("aria-checked", mine);
    button.tabIndex = mine ? 0 : -1;
    if (mine && focus) button.focus();
  });
  drawMap($("map"), layer, h);
  $("map").setAttribute("aria-label", `Attention of head ${h + 1} in layer ${layer + 1}`);
  showAttendedTokens();
}

$("heads").addEventListener("keydown", (event) => {
  const { layers, heads } = attended;
  const [layer, h] = head;
  const moves = { ArrowLeft: [layer, h - 1], ArrowRight: [layer, h + 1], ArrowUp: [layer - 1, h], ArrowDown: [layer + 1, h] };
  if (!(event.key in moves)) return;
  event.preventDefault();
  const [to, side] = moves[event.key];
  chooseHead((to + layers) % layers, (side + heads) % heads, true);
});

/** Shade the tokens that the chosen head attended to for the selected token, and list those with the most attention. */
function showAttendedTokens() {
  if (!attended) return;
  const spans = [...$("program").children];
  const row = selected - 1 - attended.first;
  const seen = spans.map((_, i) => (row < 0 || i < attended.first || i >= selected ? 0 : readWeight(...head, row, i - attended.first)));
  const largest = Math.max(...seen, 1e-9);
  spans.forEach((span, i) => span.style.setProperty("--seen", seen[i] / largest));
  const [layer, h] = head;
  const name = showWhitespace(spans[selected]?.textContent ?? "");
  if (row < 0) {
    const shown = attended.tokens.length - attended.first;
    $("looks").textContent = selected ? `Attention is shown among the last ${shown} tokens.` : `Nothing comes before ${name}.`;
    return;
  }
  const order = seen.map((part, i) => [part, i]).sort((a, b) => b[0] - a[0] || a[1] - b[1]);
  const most = order.slice(0, SHOWN).filter(([part]) => part > 0);
  const named = most.map(([part, i]) => `${showWhitespace(spans[i].textContent)} ${percent(part)}`).join(", ");
  $("looks").textContent = `For ${name}, head ${h + 1} of layer ${layer + 1} attended most to: ${named}.`;
}

// Training and its results

function showHistory({ exercise, history }) {
  $("exercise").textContent = exercise;
  const lines = history.map(({ step, written, parses, right }) =>
    element("li", `step ${step}: ${written}  ${right ? "✓ right" : parses ? "✗ wrong" : "✗ no function"}`),
  );
  $("history").replaceChildren(...lines);
}

/** Fill a table with a bar for each row, which has a name, a share and a text. */
function fillBars(table, rows) {
  const body = table.tBodies[0];
  body.replaceChildren();
  rows.forEach(([name, part, said], place) => {
    const bar = addBar(body, name);
    setBar(bar, part, place === 0);
    bar.number.textContent = said;
  });
  table.hidden = false;
}

function showEnd({ right, asked, cache }) {
  const [own, ...others] = Object.entries(right);
  others.sort((a, b) => b[1][0] - a[1][0]);
  const rows = [own, ...others].map(([name, [all, ...kinds]]) => [name, all / asked, `${all} (${kinds.join(" + ")})`]);
  fillBars($("ladder"), rows);
  $("asked").textContent = `Correct functions of ${asked} that are not in the training text. In brackets: those with new pairs of parts, made-up words, and new pairs of names.`;
  $("later").hidden = true;
  if (!cache) {
    $("cached").textContent = "There is no cache to compare: your network is not module 16's, or its context is full.";
    return;
  }
  const [slow, fast] = cache.speeds;
  const most = Math.max(slow, fast, 1e-9);
  fillBars($("cache"), [
    ["with the cache", fast / most, `${Math.round(fast).toLocaleString("en")}/s`],
    ["without it", slow / most, `${Math.round(slow).toLocaleString("en")}/s`],
  ]);
  $("cached").textContent = cache.summary;
}

function showState(state) {
  const { points, phase, summary } = state;
  const was = training;
  if (points.length) {
    const { when, fell } = describeLoss(points);
    const share = points.map(([, , , right, , asked]) => (100 * right) / asked);
    const label = `Correct functions: ${Math.round(share.at(-1))}% ${when}.`;
    training = showProgress(state, `${fell}. Of ${summary}.`, {
      loss: [points.map((point) => point[2]), `The loss during training. ${fell}.`],
      right: [share, label, { top: 100, unit: "%" }],
    });
    showHistory(state);
  } else {
    training = showProgress(state, "", {});
  }
  built = points.length > 0;
  if (phase === "ready") showEnd(state);
  if (phase === "ready" && was) say(`Training is over. ${$("learned").textContent}`);
  return !training;
}

$("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  tryToAsk(() => writeFunction($("typed").value));
});
$("stop").addEventListener("click", () => {
  writing += 1;
  setActive(false);
  $("typed").focus();
});

await tryToAsk(async () => {
  const { examples, language } = await ask("offer", {});
  $("language").textContent = language;
  for (const phrase of examples) {
    const button = element("button", phrase, { type: "button" });
    button.addEventListener("click", () => {
      $("typed").value = phrase;
      tryToAsk(() => writeFunction(phrase));
    });
    $("examples").append(button);
  }
  follow(showState, showTrouble);
});
