// Draws what the page holds, again when its width changes, and opens everything for paper.

const DRAWERS = { lines: drawLines, points: drawPoints };

function drawCharts() {
  for (const figure of document.querySelectorAll(".chart")) {
    if (Number(figure.dataset.width) === figure.clientWidth) continue;
    figure.dataset.width = figure.clientWidth;
    const spec = report.charts[figure.id];
    DRAWERS[spec.kind](figure, spec);
  }
}

function followSections() {
  const links = new Map([...document.querySelectorAll("nav a")].map((link) => [link.hash.slice(1), link]));
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      for (const link of links.values()) link.removeAttribute("aria-current");
      links.get(entry.target.id)?.setAttribute("aria-current", "true");
    }
  }, { rootMargin: "-20% 0px -75% 0px" });
  for (const section of document.querySelectorAll("main > section")) watcher.observe(section);
}

function openForPaper() {
  const closed = new Set();
  window.addEventListener("beforeprint", () => {
    document.activeElement?.blur(); // no readout on paper
    for (const one of document.querySelectorAll("details:not([open])")) {
      closed.add(one);
      one.open = true;
    }
  });
  window.addEventListener("afterprint", () => {
    for (const one of closed) one.open = false;
    closed.clear();
  });
}

drawCharts();
followSections();
openForPaper();
// the images stand last in the file, so that numbers and charts are there before they have been read
document.addEventListener("DOMContentLoaded", () => {
  if (report.gallery) new GalleryView(report.gallery);
  document.documentElement.dataset.ready = "true";
});
let waiting = 0;
window.addEventListener("resize", () => {
  cancelAnimationFrame(waiting);
  waiting = requestAnimationFrame(drawCharts);
});
