"""The report of one run or several: one self-contained HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vireid_cli import files
from vireid_cli.counts import counted
from vireid_cli.data.store import Store
from vireid_cli.engine import cost
from vireid_cli.engine.evaluate.summary import merge_fingerprints
from vireid_cli.engine.network import run_recipe
from vireid_cli.engine.prepare import ensure_prepared
from vireid_cli.engine.session import Session
from vireid_cli.engine.subjects.cmc import BAND, cmc_curve
from vireid_cli.engine.subjects.embeddings import RunEmbeddings, common_embeddings, distances_of
from vireid_cli.engine.subjects.evaluations import check_unchanged, labels_of, shared_evaluation
from vireid_cli.engine.subjects.output import Output
from vireid_cli.engine.subjects.report_gallery import gallery_of, image_paths, people_shown, rankings_of
from vireid_cli.engine.subjects.report_images import Album, encode
from vireid_cli.engine.subjects.report_results import (
    Results,
    differences,
    facts_of,
    flatten,
    other_results,
    recipe_of,
    results_of,
)
from vireid_cli.errors import MissingExtra, UsageError
from vireid_cli.figures.report import chart_data, page, tables
from vireid_cli.figures.report.parts import Chart, Report, Section
from vireid_cli.figures.tsne import tsne_points
from vireid_cli.results.formatting import RENDERED, protocol_label
from vireid_cli.results.run import RunFolder
from vireid_cli.results.unlike import marked, warning

RUNS = (1, 6)
ENDINGS = (".html", ".htm")


@dataclass(frozen=True, slots=True)
class _Subject:
    """The subject of a report.

    Attributes:
        runs: One run or several.
        session: Device, reporter and folders.
        names: Name of each run.
        protocol: Protocol of the report.
        results: Results of the runs under this protocol.
        cameras: Whether the dataset has several cameras per modality.
    """

    runs: Sequence[RunFolder]
    session: Session
    names: tuple[str, ...]
    protocol: str
    results: Results
    cameras: bool = True

    @property
    def single(self) -> bool:
        """Whether the report is about one run."""
        return len(self.names) == 1

    @property
    def marked_names(self) -> list[str]:
        """The names, marked if the results were measured under unlike conditions."""
        return _marked(self.names, self.results.contents)

    @property
    def fingerprint(self) -> dict[str, Any]:
        """Merged fingerprint of the evaluations; see ``merge_fingerprints``."""
        return merge_fingerprints([content["fingerprint"] for content in self.results.contents])


def draw(
    runs: Sequence[RunFolder],
    session: Session,
    output: Output,
    *,
    protocol: str | None = None,
    ids: int = 24,
    seed: int = 0,
    latency: bool = False,
) -> Path:
    """Write the report of evaluated runs.

    Args:
        runs: One run, or several that were evaluated under one protocol on the same images.
        session: Device, reporter and folders.
        output: The file.
        protocol: Protocol of rankings, curves and differences; None: the first that all runs have.
        ids: Number of people in the t-SNE chart.
        seed: Seed of t-SNE, and of the subset of queries if not all fit.
        latency: Also measure the latency of an embedding; the file's bytes then differ between calls.

    Raises:
        UsageError: A run has no such evaluation, the runs were evaluated on different images, or the file
            name has another ending.
        DataError: A file of a run is damaged, or the store no longer contains an image.
    """
    path = _path(runs, output.path(Path("report")) if output.out else None)
    subject = _subject(runs, session, protocol)
    name, names = subject.protocol, subject.names
    store, size = _store(subject)
    subject = replace(subject, cameras=store.records.has_cameras)
    embedded = common_embeddings(runs, session, name)
    rankings = rankings_of(runs, name, seed)
    shown = embedded[0].embeddings.take(people_shown(embedded[0].embeddings, embedded[0].people, ids))
    album = Album.of([*image_paths(rankings), shown.paths])
    images, first = encode(album, session, store, size), subject.results.contents[0]
    title = f"{name}, first trial" if first["trials"] > 1 else name
    gallery = gallery_of(rankings, album, first["queries"], title, subject.cameras)
    report = Report(
        title=" · ".join(names),
        subtitle=_subtitle(subject),
        runs=names,
        warnings=_warnings(subject),
        tiles=tables.tiles(first) if subject.single else (),
        facts=facts_of([c["fingerprint"] for c in subject.results.contents], names),
        results=_results(subject),
        sections=(_curve(subject), *_cameras(subject)),
        gallery=gallery,
        more=(
            _plane(subject, embedded, album, ids, seed),
            _distances(subject, embedded),
            *_training(subject),
            _cost(subject, latency),
            _setup(subject),
        ),
        images=images.files,
        image_size=images.size,
    )
    check_unchanged(runs, subject.results.contents, name)
    return files.write_text(path, page.page(report))


def _subject(runs: Sequence[RunFolder], session: Session, protocol: str | None) -> _Subject:
    """Choose the protocol and the runs' names, and read the results."""
    name = shared_evaluation(runs, protocol)
    names = (runs[0].name,) if len(runs) == 1 else labels_of(runs)
    return _Subject(runs, session, names, name, results_of(runs, session, names, name))


def _path(runs: Sequence[RunFolder], out: Path | None) -> Path:
    """Return the path of the HTML file.

    Raises:
        UsageError: ``out`` has the ending of an image or a PDF.
    """
    if out is None:
        stem = "report" if len(runs) == 1 else f"report-{len(runs)}-runs"
        return runs[0].figures / f"{stem}.html"
    if out.suffix.lower() in ENDINGS:
        return out
    if out.suffix.lower() in (".png", ".svg", ".pdf"):
        raise UsageError(f"A report is an HTML page, not {out.name}.", "For example: --out report.html")
    return out.with_name(f"{out.name}.html")


def _store(subject: _Subject) -> tuple[Store, tuple[int, int]]:
    """Open the evaluated dataset, and return it with the image size of the first run."""
    recipe = run_recipe(subject.runs[0], checked=False)
    dataset = subject.fingerprint.get("source", recipe.data.dataset)
    size, resize = recipe.data.image_size, recipe.data.resize
    return ensure_prepared(dataset, subject.session, size, resize), size


def _subtitle(subject: _Subject) -> str:
    about = subject.fingerprint
    method = str(about.get("method", "")) if subject.single else ""
    parts = (method, str(about.get("dataset", "")), protocol_label(subject.protocol))
    return " · ".join(part for part in parts if part)


def _warnings(subject: _Subject) -> tuple[str, ...]:
    warnings = [RENDERED] if subject.fingerprint.get("rendered") else []
    for name, content in zip(subject.names, subject.results.contents, strict=True):
        if overlap := content["fingerprint"].get("overlap"):
            warnings.append(f"{name}: {overlap}. Its metrics do not generalise to other people.")
    if unlike := warning(subject.names, [c["fingerprint"] for c in subject.results.contents]):
        warnings.append(unlike)
    return (*warnings, *subject.results.unpaired)


def _results(subject: _Subject) -> tuple[Any, ...]:
    results = subject.results
    main = tables.headline(results.contents, subject.marked_names, results.against)
    others = other_results(subject.runs, subject.protocol)
    return (
        main,
        *(tables.headline(contents, _marked(subject.names, contents), ()) for contents in others.values()),
    )


def _marked(names: Sequence[str], contents: Sequence[Any]) -> list[str]:
    """Mark the names of runs that were measured under unlike conditions."""
    return marked(names, [content["fingerprint"] for content in contents])


def _curve(subject: _Subject) -> Section:
    curves = [
        cmc_curve(run, subject.session, name, subject.protocol, 20)
        for run, name in zip(subject.runs, subject.marked_names, strict=True)
    ]
    chart = chart_data.cmc_chart([(c.label, c.cmc, c.low, c.high) for c in curves], curves[0].chance)
    counted = "identities" if subject.fingerprint.get("cmc") == "identities" else "images"
    lead = f"Share of queries with their person among the first k {counted}."
    return Section("cmc", "CMC", lead, (chart,), notes=(f"Band: {BAND}.",))


def _cameras(subject: _Subject) -> tuple[Section, ...]:
    if not subject.cameras:
        return ()
    table = tables.camera_pairs(subject.results.camera_pairs, subject.marked_names)
    return (Section("cameras", "Cameras", "Results per pair of cameras.", tables=(table,)),)


def _plane(
    subject: _Subject, embedded: Sequence[RunEmbeddings], album: Album, ids: int, seed: int
) -> Section:
    """Compute the t-SNE chart of each run, for the same images."""
    lead = (
        "Embeddings on a plane: do the modalities mix, do people separate? Point at a mark, or use the arrow "
        "keys, to see its image."
    )
    rows = people_shown(embedded[0].embeddings, embedded[0].people, ids)
    plots: list[Chart] = []
    try:
        for one, name in zip(embedded, subject.marked_names, strict=True):
            e = one.embeddings.take(rows)
            subject.session.reporter.info(f"t-SNE of {len(rows)} embeddings of {name}")
            points = tsne_points(e.features, seed)
            indices = album.indices(e.paths)
            camids = e.camids if subject.cameras else None
            plots.append(chart_data.tsne_chart(name, points, e.pids, camids, e.modalities, indices))
    except (MissingExtra, UsageError) as error:
        subject.session.reporter.warn(f"the report has no t-SNE: {error.message}")
        return Section("tsne", "t-SNE", notes=(f"Skipped: {error.message} {error.hint}",))
    people = min(ids, len(embedded[0].people))
    shown = f"{counted(people, 'person')}, {counted(len(rows), 'image')}"
    note = f"{shown} (at most 12 of a person and modality), seed {seed}."
    return Section("tsne", "t-SNE", lead, tuple(plots), notes=(note,))


def _distances(subject: _Subject, embedded: Sequence[RunEmbeddings]) -> Section:
    histograms, notes = [], []
    for one, name in zip(embedded, subject.marked_names, strict=True):
        d = distances_of(one, subject.session)
        label = "" if subject.single else name
        histograms.append(chart_data.Histogram(label, d.intra, d.inter, (d.intra_mean, d.inter_mean)))
        if d.parts > 1:
            notes.append(
                f"{name}: means are over all pairs; the histogram of two people is over a sample of "
                f"{d.inter.sum():,} pairs."
            )
    lead = "Cosine distances between visible and infrared images of one person, and of two people."
    note = f"All {d.pairs:,} pairs of {d.visible:,} visible and {d.infrared:,} infrared images."
    plots = tuple(chart_data.distance_charts(d.edges, histograms))
    return Section("distances", "Distances", lead, plots, notes=(note, *notes))


def _training(subject: _Subject) -> tuple[Section, ...]:
    logs = [(name, run.checked_log_rows()) for run, name in zip(subject.runs, subject.names, strict=True)]
    plots = chart_data.training_charts(logs)
    if not plots:
        return ()
    return (Section("training", "Training", "Loss, its terms and learning rate over steps.", tuple(plots)),)


def _cost(subject: _Subject, latency: bool) -> Section:
    costs = [cost.cost_of_run(run, subject.session, timed=latency, checked=False) for run in subject.runs]
    return Section("cost", "Cost", tables=(tables.costs(costs, subject.names),))


def _setup(subject: _Subject) -> Section:
    """Return recipes and environments; for several runs the differences between recipes come first."""
    runs, names = subject.runs, subject.names
    recipes = [recipe_of(run) for run in runs]
    environments = [flatten(run.environment()) for run in runs]
    content = []
    if not subject.single:
        caption = "Keys of the recipes that differ"
        rows = differences([keys for _, keys in recipes])
        settings = {key: texts for key, texts in rows.items() if not key.startswith("reported")}
        content.append(tables.differences(caption, settings, names))
    keys = dict.fromkeys(key for one in environments for key in one)
    rows = {key: [one.get(key, "–") for one in environments] for key in keys}
    content.append(tables.differences("Environment", rows, names))
    texts = tuple(
        ("Recipe" if subject.single else f"Recipe of {name}", text)
        for name, (text, _) in zip(names, recipes, strict=True)
    )
    return Section("setup", "Recipe and environment", tables=tuple(content), texts=texts)
