// A curve as SVG: values over steps, both axes from 0, few labels.

const NAMESPACE = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT] = [400, 180];
const [LEFT, RIGHT, TOP, BOTTOM] = [34, 8, 10, 24];

function add(parent, name, attributes, text) {
  const element = document.createElementNS(NAMESPACE, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  parent.append(element);
}

/** Draw `values` at `steps` (of `total`) into `svg`; `label` is its text alternative. */
export function drawCurve(svg, steps, values, total, label) {
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  svg.setAttribute("aria-label", label);
  svg.replaceChildren();
  const top = Math.max(...values, 1e-9) * 1.05;
  const x = (step) => LEFT + (step / Math.max(total, 1)) * (WIDTH - LEFT - RIGHT);
  const y = (value) => TOP + (1 - value / top) * (HEIGHT - TOP - BOTTOM);
  const apart = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 100].find((d) => top / d <= 5) ?? top;
  for (let value = 0; value <= top; value += apart) {
    add(svg, "line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value) });
    add(svg, "text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, String(+value.toFixed(2)));
  }
  add(svg, "text", { x: LEFT, y: HEIGHT - 6 }, "0");
  add(svg, "text", { x: WIDTH - RIGHT, y: HEIGHT - 6, "text-anchor": "end" }, `${total} steps`);
  const line = values.map((value, i) => `${x(steps[i]).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
  add(svg, "polyline", { class: "value", points: line });
}
