// Curves of running trainings as small line charts.

const SVG = "http://www.w3.org/2000/svg";
const [WIDE, HIGH, EDGE] = [240, 84, 4];

function svg(tag, attributes, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

// One value over the steps; its lowest and highest are written beside it, its last one above.
function drawCurve(name, [steps, values]) {
  const known = values.filter((v) => v !== null);
  const [low, high] = [Math.min(...known), Math.max(...known)];
  const [first, last] = [steps[0], steps[steps.length - 1]];
  const x = (step) => EDGE + (WIDE - 2 * EDGE) * (last > first ? (step - first) / (last - first) : 0.5);
  const y = (value) => HIGH - EDGE - (HIGH - 2 * EDGE) * (high > low ? (value - low) / (high - low) : 0.5);
  let path = "";
  let gap = true; // a value that is no number breaks the line
  values.forEach((value, n) => {
    if (value !== null) path += (gap ? "M" : "L") + x(steps[n]).toFixed(1) + " " + y(value).toFixed(1);
    gap = value === null;
  });
  const end = known.length ? known[known.length - 1] : null;
  const told = `${name}: ${brief(end)} at step ${last}, between ${brief(low)} and ${brief(high)}`;
  const chart = svg("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img", "aria-label": told, class: "curve" },
    svg("path", { d: path, fill: "none", stroke: "currentColor", "stroke-width": 1.75, "stroke-linejoin": "round" }));
  if (values[values.length - 1] !== null) chart.append(svg("circle", { cx: x(last), cy: y(end), r: 3, fill: "currentColor" }));
  return el("figure", { class: "small" },
    el("figcaption", {}, el("span", {}, name), el("strong", {}, brief(end))),
    chart,
    el("div", { class: "range" }, el("span", {}, `step ${brief(last)}`), el("span", {}, `${brief(low)} – ${brief(high)}`)));
}

function brief(value) {
  if (value === null || value === undefined) return "–";
  if (Number.isInteger(value) && Math.abs(value) < 1e7) return value.toLocaleString("en");
  const size = Math.abs(value);
  return size >= 1e-3 && size < 1e6 ? String(Number(value.toPrecision(4))) : value.toExponential(2);
}
