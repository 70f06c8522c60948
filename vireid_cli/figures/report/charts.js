"use strict";
// Lines with bands, filled areas and marks, drawn as SVG from plain columns.

const SVG = "http://www.w3.org/2000/svg";
const report = JSON.parse(document.getElementById("data").textContent);

/** Every image of the page as an address; read when the first one is shown. */
const pictures = (() => {
  let all = null;
  return (index) => {
    all ??= JSON.parse(document.getElementById("images").textContent);
    return all[index];
  };
})();

function put(name, attributes, parent, text) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  parent?.append(element);
  return element;
}

function add(name, attributes, parent, text) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  parent?.append(element);
  return element;
}

function keyLine(css, parent) {
  const key = put("svg", { class: "key", viewBox: "0 0 18 8", "aria-hidden": "true" }, parent);
  put("line", { class: `line ${css}`, x1: 0, x2: 18, y1: 4, y2: 4 }, key);
}

/** Round steps of 1, 2 or 5 between two values, about `count` of them. */
function niceTicks(low, high, count) {
  const rough = (high - low) / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough * 0.999);
  const ticks = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i += 1) ticks.push(i * step);
  return { ticks, step };
}

function shown(value, step) {
  if (value === 0) return "0";
  if (Math.abs(step) < 0.001 || Math.abs(value) >= 1e6) return value.toExponential(1).replace("e-", "e−").replace("e+", "e");
  return value.toLocaleString("en", { maximumFractionDigits: Math.max(0, Math.ceil(-Math.log10(step) - 1e-9)) });
}

function precise(value) {
  if (Math.abs(value) < 0.001 && value !== 0) return value.toExponential(2);
  return value.toLocaleString("en", { maximumSignificantDigits: 4 });
}

/** The frame of a chart: scales, grid, axes and their names. */
function frame(figure, spec) {
  figure.querySelector("svg.plot")?.remove();
  const width = Math.max(240, Math.floor(figure.clientWidth));
  const height = Math.round(Math.min(width * 0.62, 400));
  const box = { left: 46, right: width - 12, top: 10, bottom: height - 40 };
  const plot = put("svg", { class: "plot", viewBox: `0 0 ${width} ${height}`, role: "img", tabindex: "0" });
  plot.setAttribute("aria-label", `${figure.querySelector("figcaption").textContent}. ${figure.dataset.description}`);
  figure.querySelector("figcaption").after(plot);
  const { x, y } = spec;
  const toX = (value) => box.left + ((value - x.min) / (x.max - x.min || 1)) * (box.right - box.left);
  const toY = (value) => box.bottom - ((value - y.min) / (y.max - y.min || 1)) * (box.bottom - box.top);
  const rows = niceTicks(y.min, y.max, height / 45);
  for (const tick of rows.ticks) {
    const at = Math.round(toY(tick)) + 0.5;
    put("line", { class: "grid", x1: box.left, x2: box.right, y1: at, y2: at }, plot);
    put("text", { x: box.left - 7, y: at + 4, "text-anchor": "end" }, plot, shown(tick, rows.step));
  }
  put("line", { class: "axis", x1: box.left, x2: box.right, y1: box.bottom + 0.5, y2: box.bottom + 0.5 }, plot);
  const found = niceTicks(x.min, x.max, width / 80);
  const columns = x.ticks ?? found.ticks;
  for (const tick of columns) {
    put("line", { class: "axis", x1: toX(tick), x2: toX(tick), y1: box.bottom, y2: box.bottom + 4 }, plot);
    put("text", { x: toX(tick), y: box.bottom + 17, "text-anchor": "middle" }, plot, shown(tick, x.ticks ? 1 : found.step));
  }
  put("text", { class: "label", x: box.right, y: height - 5, "text-anchor": "end" }, plot, x.label);
  return { plot, box, toX, toY, width, height };
}

/** A path through columns; null leaves a gap. `step` draws each value as a plateau up to the next x. */
function path(xs, ys, toX, toY, step) {
  let text = "";
  let open = false;
  ys.forEach((y, i) => {
    if (y === null) {
      open = false;
      return;
    }
    text += `${open ? "L" : "M"}${toX(xs[i]).toFixed(1)} ${toY(y).toFixed(1)}`;
    if (step && i + 1 < xs.length) text += `L${toX(xs[i + 1]).toFixed(1)} ${toY(y).toFixed(1)}`;
    open = true;
  });
  return text;
}

function drawSeries(one, { plot, toX, toY }, base) {
  if (one.low) {
    const back = one.x.map((_, i) => one.x.length - 1 - i);
    const down = back.map((i) => `L${toX(one.x[i]).toFixed(1)} ${toY(one.low[i]).toFixed(1)}`).join("");
    put("path", { class: `band ${one.css}`, d: `${path(one.x, one.high, toX, toY)}${down}Z` }, plot);
  }
  const d = path(one.x, one.y, toX, toY, one.step);
  if (one.area) {
    const last = one.x[one.x.length - 1];
    put("path", { class: `area ${one.css}`, d: `${d}L${toX(last).toFixed(1)} ${base}L${toX(one.x[0]).toFixed(1)} ${base}Z` }, plot);
  }
  put("path", { class: `line ${one.css}${one.pale ? " pale" : ""}`, d }, plot);
  if (one.x.length === 1 || one.dots) {
    one.y.forEach((y, i) => y !== null && put("circle", { class: one.css, cx: toX(one.x[i]), cy: toY(y), r: 3 }, plot));
  }
}

function drawMarks(spec, { plot, box, toX }) {
  for (const mark of spec.marks ?? []) {
    const at = toX(mark.x);
    put("line", { class: `mark ${mark.css}`, x1: at, x2: at, y1: box.top, y2: box.bottom }, plot);
  }
}

function legend(figure, spec) {
  figure.querySelector(".legend-keys")?.remove();
  const named = spec.series.filter((one) => !one.pale);
  if (named.length < 2 && report.runs.length < 2 && !spec.legend) return;
  const list = add("ul", { class: "legend-keys" }, figure);
  for (const one of named) {
    const item = add("li", {}, list);
    keyLine(one.css, item);
    item.append(one.name);
  }
  for (const text of spec.legend ?? []) add("li", {}, list, text);
}

/** Values at the x nearest to a place, in a box that follows pointer and arrow keys. */
function readout(figure, spec, drawn) {
  const { plot, box, toX, width } = drawn;
  const series = spec.series.filter((one) => !one.pale);
  const xs = series[0].x;
  const cross = put("line", { class: "cross", y1: box.top, y2: box.bottom, visibility: "hidden" }, plot);
  figure.querySelector(".tip")?.remove();
  const tip = add("div", { class: "tip", role: "status", hidden: "" }, figure);
  let at = 0;
  const hide = () => {
    tip.hidden = true;
    cross.setAttribute("visibility", "hidden");
  };
  const show = (index) => {
    at = Math.min(xs.length - 1, Math.max(0, index));
    tip.replaceChildren(add("strong", {}, null, `${spec.x.label} ${precise(xs[at])}`));
    for (const one of series) {
      const own = one.x === xs ? at : nearest(one.x, xs[at]);
      if (one.y[own] === null || one.y[own] === undefined) continue;
      const line = add("div", {}, tip);
      keyLine(one.css, line);
      const range = one.low ? ` (${precise(one.low[own])}–${precise(one.high[own])})` : "";
      line.append(`${one.name} ${precise(one.y[own])}${spec.y.unit ?? ""}${range}`);
    }
    tip.hidden = false;
    cross.setAttribute("visibility", "visible");
    cross.setAttribute("x1", toX(xs[at]));
    cross.setAttribute("x2", toX(xs[at]));
    place(tip, figure, plot, (toX(xs[at]) / width) * plot.clientWidth, 12);
  };
  plot.addEventListener("pointermove", (event) => {
    const bounds = plot.getBoundingClientRect();
    const ratio = ((event.clientX - bounds.left) / bounds.width) * width;
    show(nearest(xs.map(toX), ratio));
  });
  plot.addEventListener("pointerleave", hide);
  plot.addEventListener("focus", () => plot.matches(":focus-visible") && show(at));
  plot.addEventListener("blur", hide);
  plot.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.key === "Escape") hide();
    if (move === undefined) return;
    event.preventDefault();
    show(at + move);
  });
}

function nearest(values, wanted) {
  let best = 0;
  values.forEach((value, i) => {
    if (Math.abs(value - wanted) < Math.abs(values[best] - wanted)) best = i;
  });
  return best;
}

/** Put a tip beside a place in a plot, on the side that has room. */
function place(tip, figure, plot, left, top) {
  const room = figure.clientWidth;
  const above = plot.getBoundingClientRect().top - figure.getBoundingClientRect().top;
  const size = tip.offsetWidth;
  const side = left + 14 + size <= room ? left + 14 : left - 14 - size;
  tip.style.left = `${Math.max(0, Math.min(side, room - size))}px`;
  tip.style.top = `${above + top}px`;
}

function drawLines(figure, spec) {
  const drawn = frame(figure, spec);
  for (const one of spec.series) drawSeries(one, drawn, drawn.box.bottom);
  drawMarks(spec, drawn);
  legend(figure, spec);
  readout(figure, spec, drawn);
}
