// Queries with their first matches: filtered, a page at a time, enlarged in a dialog.

const FIRST = 12;
const PAGE = 24;

/** Which queries a choice leaves, in order. Plain data in, indices out. */
function chosenQueries(gallery, { outcome, camera, pid, order }) {
  const { query, rankings } = gallery;
  const [what, of] = outcome.split(":");
  const right = (r, i) => rankings[r].first[i] === 1;
  const legal = (i) => rankings.every((ranking) => ranking.first[i] > 0);
  const runs = of === undefined ? rankings.map((_, r) => r) : [Number(of)];
  const passes = {
    all: () => true,
    none: (i) => !legal(i),
    right: (i) => legal(i) && runs.every((r) => right(r, i)),
    wrong: (i) => legal(i) && runs.every((r) => !right(r, i)),
    disagree: (i) => legal(i) && runs.some((r) => right(r, i)) && runs.some((r) => !right(r, i)),
  }[what];
  const found = query.pid.map((_, i) => i).filter(
    (i) => passes(i) && (camera === "" || query.camera[i] === Number(camera)) && (pid === "" || query.pid[i] === Number(pid)),
  );
  const precision = (i) => rankings[0].precision[i] ?? 2;
  const spread = (i) => {
    const values = rankings.map((ranking) => ranking.precision[i] ?? 0);
    return Math.max(...values) - Math.min(...values);
  };
  // the same for everybody, and neither by name nor by success
  const mixed = (i) => Math.imul(i + 1, 2654435761) >>> 0;
  const before = {
    mixed: (a, b) => mixed(a) - mixed(b),
    worst: (a, b) => precision(a) - precision(b),
    best: (a, b) => (precision(b) > 1 ? -1 : precision(b)) - (precision(a) > 1 ? -1 : precision(a)),
    difference: (a, b) => spread(b) - spread(a),
  }[order];
  return before ? found.sort((a, b) => before(a, b) || a - b) : found;
}

function percent(value) {
  return value === null ? "–" : `${(100 * value).toFixed(1)} %`;
}

class GalleryView {
  constructor(gallery) {
    this.gallery = gallery;
    this.cards = document.getElementById("cards");
    this.status = document.getElementById("gallery-status");
    this.more = document.getElementById("more");
    this.form = document.getElementById("filters");
    this.viewer = new Viewer(this);
    this.form.addEventListener("input", () => this.filter());
    this.form.addEventListener("submit", (event) => event.preventDefault());
    this.form.addEventListener("reset", () => setTimeout(() => this.filter()));
    this.more.addEventListener("click", () => this.showMore());
    this.cards.addEventListener("click", (event) => this.open(event.target.closest(".shot")));
    this.filter();
  }

  /** The camera of an image in words; nothing where the dataset has none. */
  seen(side, index) {
    return this.gallery.cameras ? `, camera ${side.camera[index]}` : "";
  }

  filter() {
    const value = (name) => document.getElementById(`filter-${name}`)?.value.trim() ?? "";
    this.found = chosenQueries(this.gallery, {
      outcome: value("outcome"), camera: value("camera"), pid: value("pid"), order: value("order"),
    });
    this.count = 0;
    this.cards.replaceChildren();
    this.showMore();
  }

  showMore() {
    const next = this.found.slice(this.count, this.count + (this.count ? PAGE : FIRST));
    const first = this.count;
    this.cards.append(...next.map((query) => this.card(query)));
    this.count += next.length;
    this.more.hidden = this.count >= this.found.length;
    const all = this.gallery.query.pid.length.toLocaleString("en");
    const found = this.found.length.toLocaleString("en");
    this.status.textContent = this.found.length
      ? `${found} of ${all} queries; ${this.count.toLocaleString("en")} shown`
      : `None of ${all} queries is like that. Reset the filters to see all.`;
    if (first > 0) this.cards.children[first]?.querySelector("button").focus();
  }

  card(query) {
    const { query: side, rankings, runs } = this.gallery;
    const card = add("li", { class: "card" });
    card.dataset.query = query;
    const label = add("div", { class: "query" }, card);
    this.shot(label, side.image[query], `Query, pid ${side.pid[query]}${this.seen(side, query)}`, query, 0, -1);
    const text = add("p", {}, label);
    add("strong", {}, text, `pid ${side.pid[query]}`);
    if (this.gallery.cameras) {
      add("br", {}, text);
      text.append(`camera ${side.camera[query]}`);
    }
    if (rankings.length === 1) {
      add("br", {}, text);
      text.append(`AP ${percent(rankings[0].precision[query])}`);
    }
    const answers = add("div", { class: "answers" }, card);
    rankings.forEach((ranking, r) => {
      if (rankings.length > 1) {
        const name = add("p", { class: "strip-name" }, answers);
        keyLine(`run${runs[r]}`, name);
        name.append(`${report.runs[runs[r]]}, AP ${percent(ranking.precision[query])}`);
      }
      this.strip(answers, query, r);
    });
    return card;
  }

  strip(parent, query, r) {
    const { query: side, gallery, rankings } = this.gallery;
    const strip = add("div", { class: "strip" }, parent);
    rankings[r].top[query].forEach((match, rank) => {
      if (match < 0) return;
      const right = gallery.pid[match] === side.pid[query];
      const said = `Rank ${rank + 1}: pid ${gallery.pid[match]}${this.seen(gallery, match)}, ${right ? "right" : "wrong"}`;
      const shot = this.shot(strip, gallery.image[match], said, query, r, rank);
      shot.classList.add(right ? "ok" : "no");
      const text = add("span", {}, shot);
      add("b", {}, text, right ? "✓" : "✗");
      text.append(` ${(rankings[r].scores[query][rank] / 1000).toFixed(2)}`);
    });
  }

  shot(parent, image, said, query, r, rank) {
    const shot = add("button", { type: "button", class: "shot", "aria-label": `${said}. Enlarge`, title: said }, parent);
    Object.assign(shot.dataset, { query, run: r, rank });
    const [height, width] = report.size;
    add("img", { src: pictures(image), alt: "", decoding: "async", width, height }, shot);
    return shot;
  }

  open(shot) {
    if (!shot) return;
    const { query, run, rank } = shot.dataset;
    this.viewer.open(Number(query), Number(run), Math.max(0, Number(rank)), shot);
  }
}

class Viewer {
  constructor(view) {
    this.view = view;
    this.dialog = document.getElementById("viewer");
    const on = (id, act) => document.getElementById(id).addEventListener("click", act);
    on("viewer-close", () => this.dialog.close());
    on("viewer-previous", () => this.step(-1));
    on("viewer-next", () => this.step(1));
    this.dialog.addEventListener("click", (event) => event.target === this.dialog && this.dialog.close());
    this.dialog.addEventListener("close", () => this.from?.focus());
    this.dialog.addEventListener("keydown", (event) => {
      const act = {
        ArrowLeft: () => this.step(-1), ArrowRight: () => this.step(1),
        ArrowUp: () => this.turn(-1), ArrowDown: () => this.turn(1),
      }[event.key];
      if (!act) return;
      event.preventDefault();
      act();
    });
  }

  open(query, run, rank, from) {
    Object.assign(this, { query, run, rank, from });
    this.show();
    if (!this.dialog.open) this.dialog.showModal();
  }

  /** Another match of the same query; past the last one comes the first again. */
  step(by) {
    const { top } = this.view.gallery.rankings[this.run];
    const count = top[this.query].filter((match) => match >= 0).length;
    this.rank = count ? (this.rank + by + count) % count : 0;
    this.show();
  }

  /** Another query of those found. */
  turn(by) {
    const { found } = this.view;
    const at = found.indexOf(this.query);
    this.query = found[Math.min(found.length - 1, Math.max(0, at + by))];
    this.rank = 0;
    this.show();
  }

  show() {
    const { gallery } = this.view;
    const ranking = gallery.rankings[this.run];
    const { query, run, rank } = this;
    const match = ranking.top[query][rank] ?? -1;
    const one = (id) => document.getElementById(id);
    const name = gallery.rankings.length > 1 ? `${report.runs[gallery.runs[run]]}: ` : "";
    one("viewer-title").textContent = `${name}match ${rank + 1} of pid ${gallery.query.pid[query]}`;
    one("viewer-query").src = pictures(gallery.query.image[query]);
    one("viewer-query").alt = `Query, pid ${gallery.query.pid[query]}`;
    one("viewer-query-text").textContent =
      `query: pid ${gallery.query.pid[query]}${this.view.seen(gallery.query, query)}, AP ${percent(ranking.precision[query])}, ` +
      `first match at rank ${ranking.first[query] || "–"}. ${gallery.query.path[query]}`;
    const image = one("viewer-match");
    image.className = "";
    image.hidden = match < 0;
    if (match < 0) {
      one("viewer-match-text").textContent = "no gallery image is left for this query";
      return;
    }
    const right = gallery.gallery.pid[match] === gallery.query.pid[query];
    image.src = pictures(gallery.gallery.image[match]);
    image.alt = `Match ${rank + 1}, pid ${gallery.gallery.pid[match]}`;
    image.className = right ? "ok" : "no";
    one("viewer-match-text").textContent =
      `${right ? "✓ the query’s person" : "✗ another person"}: pid ${gallery.gallery.pid[match]}` +
      `${this.view.seen(gallery.gallery, match)}, similarity ${(ranking.scores[query][rank] / 1000).toFixed(3)}. ${gallery.gallery.path[match]}`;
  }
}
