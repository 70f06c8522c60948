// Embeddings on a plane: hover or arrow keys name a point and show its image.

const SHAPES = {
  0: (x, y, r) => ["circle", { cx: x, cy: y, r }],
  1: (x, y, r) => ["path", { d: `M${x} ${y - r * 1.2}L${x + r * 1.15} ${y + r * 0.9}L${x - r * 1.15} ${y + r * 0.9}Z` }],
};
const MODALITIES = ["visible", "infrared"];

function pointColour(spec, i, by) {
  if (by === "modality") return `var(--${MODALITIES[spec.modality[i]]})`;
  const order = spec.people.indexOf(spec.pid[i]);
  // identities: the golden angle keeps neighbours apart; shapes and the readout name them as well
  return `hsl(${((order * 137.508) % 360).toFixed(0)} 62% ${order % 2 ? 42 : 56}%)`;
}

function chooseColour(figure, redraw) {
  let choice = figure.querySelector(".choice");
  if (choice) return choice;
  choice = add("fieldset", { class: "choice" });
  add("legend", {}, choice, "Colour by");
  for (const by of ["modality", "identity"]) {
    const label = add("label", {}, choice);
    const input = add("input", { type: "radio", name: `${figure.id}-by`, value: by }, label);
    input.checked = by === "modality";
    input.addEventListener("change", redraw);
    label.append(by);
  }
  figure.querySelector("figcaption").after(choice);
  return choice;
}

function drawPoints(figure, spec) {
  const choice = chooseColour(figure, () => drawPoints(figure, spec));
  const by = choice.querySelector("input:checked").value;
  figure.querySelector("svg.plot")?.remove();
  figure.querySelector(".tip")?.remove();
  const size = Math.max(240, Math.min(figure.clientWidth, 640));
  const at = (value) => 14 + (value / 1000) * (size - 28);
  const height = Math.ceil(at(spec.height) + 14);
  const plot = put("svg", { class: "plot", viewBox: `0 0 ${size} ${height}`, role: "img", tabindex: "0" });
  plot.setAttribute("aria-label", `${figure.querySelector("figcaption").textContent}. ${figure.dataset.description}`);
  choice.after(plot);
  put("rect", { class: "grid", x: 0.5, y: 0.5, width: size - 1, height: height - 1, fill: "none", rx: 6 }, plot);
  const dots = spec.x.map((x, i) => {
    const [name, attributes] = SHAPES[spec.modality[i]](at(x), at(spec.y[i]), size < 400 ? 3.5 : 4.5);
    const dot = put(name, { class: "dot", ...attributes }, plot);
    dot.style.fill = pointColour(spec, i, by);
    return dot;
  });
  pointLegend(figure, by);
  pointReadout(figure, spec, { plot, dots, at, size });
}

function pointLegend(figure, by) {
  figure.querySelector(".legend-keys")?.remove();
  const list = add("ul", { class: "legend-keys" }, figure);
  MODALITIES.forEach((name, code) => {
    const item = add("li", {}, list);
    const key = put("svg", { class: "key", viewBox: "0 0 18 8", "aria-hidden": "true" }, item);
    const [shape, attributes] = SHAPES[code](9, 4, 3.6);
    const dot = put(shape, attributes, key);
    dot.style.fill = by === "modality" ? `var(--${name})` : "var(--soft)";
    item.append(name);
  });
}

function pointReadout(figure, spec, { plot, dots, at, size }) {
  const tip = add("div", { class: "tip", role: "status", hidden: "" }, figure);
  let here = -1;
  const hide = () => {
    tip.hidden = true;
    dots.forEach((dot) => dot.classList.remove("here", "away"));
  };
  const show = (index) => {
    here = (index + dots.length) % dots.length;
    const person = spec.pid[here];
    dots.forEach((dot, i) => {
      dot.classList.toggle("here", i === here);
      dot.classList.toggle("away", spec.pid[i] !== person);
    });
    tip.replaceChildren();
    if (spec.image[here] >= 0) add("img", { src: pictures(spec.image[here]), alt: "" }, tip);
    add("div", {}, tip, spec.camera ? `pid ${person} · camera ${spec.camera[here]}` : `pid ${person}`);
    add("div", {}, tip, MODALITIES[spec.modality[here]]);
    tip.hidden = false;
    const scale = plot.clientWidth / size;
    place(tip, figure, plot, at(spec.x[here]) * scale, Math.max(4, at(spec.y[here]) * scale - 60));
  };
  plot.addEventListener("pointermove", (event) => {
    const bounds = plot.getBoundingClientRect();
    const x = ((event.clientX - bounds.left) / bounds.width) * size;
    const y = ((event.clientY - bounds.top) / bounds.width) * size;
    let best = -1;
    let reach = 14 * 14;
    spec.x.forEach((px, i) => {
      const far = (at(px) - x) ** 2 + (at(spec.y[i]) - y) ** 2;
      if (far < reach) [best, reach] = [i, far];
    });
    if (best < 0) hide();
    else if (best !== here || tip.hidden) show(best);
  });
  plot.addEventListener("pointerleave", hide);
  plot.addEventListener("blur", hide);
  plot.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
    if (event.key === "Escape") hide();
    if (move === undefined) return;
    event.preventDefault();
    show(here + move);
  });
}
