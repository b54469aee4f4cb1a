// A curve in SVG: values over steps, with both axes from 0, few labels, and the same font size at any width.

const NAMESPACE = "http://www.w3.org/2000/svg";
const [NARROWEST, HEIGHT] = [220, 180];
const [LEFT, RIGHT, TOP, BOTTOM] = [40, 8, 10, 24];

function addElement(parent, name, attributes, text) {
  const element = document.createElementNS(NAMESPACE, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  parent.append(element);
}

/** Draw `values` at `steps` (of `total`) in `svg`. `label` is the alt text, and `top` the value at the upper edge. */
export function drawCurve(svg, steps, values, total, label, { top = Math.max(...values, 1e-9), unit = "" } = {}) {
  const width = Math.max(NARROWEST, Math.round(svg.parentElement.clientWidth));
  svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
  svg.setAttribute("aria-label", label);
  svg.replaceChildren();
  const x = (step) => LEFT + (step / Math.max(total, 1)) * (width - LEFT - RIGHT);
  const y = (value) => TOP + (1 - value / (1.05 * top)) * (HEIGHT - TOP - BOTTOM);
  const apart = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 25, 100].find((d) => top / d <= 5) ?? top;
  for (let value = 0; value <= top; value += apart) {
    addElement(svg, "line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value) });
    addElement(svg, "text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, `${+value.toFixed(2)}${unit}`);
  }
  addElement(svg, "text", { x: LEFT, y: HEIGHT - 6 }, "0");
  addElement(svg, "text", { x: width - RIGHT, y: HEIGHT - 6, "text-anchor": "end" }, total ? `${total} steps` : "steps");
  const line = values.map((value, i) => `${x(steps[i]).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
  addElement(svg, "polyline", { class: "value", points: line });
  if (values.length) addElement(svg, "circle", { class: "now", cx: x(steps.at(-1)), cy: y(values.at(-1)), r: 4 });
}
