"""The report of a run, or of several side by side: one HTML file that holds everything it shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vireid_cli import files
from vireid_cli.data.store import Store
from vireid_cli.engine import cost
from vireid_cli.engine.evaluate.summary import common
from vireid_cli.engine.network import run_recipe
from vireid_cli.engine.prepare import ensure_prepared
from vireid_cli.engine.session import Session
from vireid_cli.engine.subjects.cmc import BAND, cmc_curve
from vireid_cli.engine.subjects.embeddings import Embedded, distances_of, embedded_alike
from vireid_cli.engine.subjects.evaluations import labels_of, refuse_replaced, shared_evaluation
from vireid_cli.engine.subjects.output import Output
from vireid_cli.engine.subjects.report_gallery import gallery_of, image_paths, people_shown, rankings_of
from vireid_cli.engine.subjects.report_images import Album, encoded
from vireid_cli.engine.subjects.report_results import (
    Results,
    differing,
    facts_of,
    flat,
    others_of,
    recipe_of,
    results_of,
)
from vireid_cli.errors import MissingExtra, UsageError
from vireid_cli.figures.cmc import CmcCurve
from vireid_cli.figures.report import charts, page, tables
from vireid_cli.figures.report.parts import Chart, Report, Section
from vireid_cli.figures.tsne import tsne_points
from vireid_cli.results.run import RunFolder
from vireid_cli.results.wording import RENDERED, protocol_words

RUNS = (1, 6)
ENDINGS = (".html", ".htm")


@dataclass(frozen=True, slots=True)
class _Subject:
    """What a report is about.

    Attributes:
        runs: One or several.
        session: Device, listener, folders.
        names: What the runs are called.
        protocol: Under which they are shown.
        results: What they reached.
        cameras: Whether the dataset's cameras say more than modalities.
    """

    runs: Sequence[RunFolder]
    session: Session
    names: tuple[str, ...]
    protocol: str
    results: Results
    cameras: bool = True

    @property
    def single(self) -> bool:
        """Whether it is about one run."""
        return len(self.names) == 1

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What the evaluations say of themselves; where they differ, each value once."""
        return common([content["fingerprint"] for content in self.results.contents])


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
        runs: Several runs: evaluated under one protocol, on the same images.
        session: Device, listener, folders.
        output: File, format, resolution.
        protocol: Whose rankings, curves and differences are shown; None: the first that all runs have.
        ids: People in the t-SNE chart.
        seed: Of t-SNE, and of the queries where not all fit.
        latency: Measure how long an embedding takes, too; times are never the same twice, so the file's
            bytes are not either.

    Raises:
        UsageError: A run is not evaluated, not so, or on other images; or a file name of another ending.
        DataError: A file of a run is damaged, or an image is not in the store any more.
    """
    path = _path(runs, output.out)
    name = shared_evaluation(runs, protocol)
    single = len(runs) == 1
    names = (runs[0].name,) if single else labels_of(runs)
    subject = _Subject(runs, session, names, name, results_of(runs, session, names, name))
    store, size = _store(subject)
    subject = replace(subject, cameras=store.records.has_cameras)
    embedded = embedded_alike(runs, session, name)
    rankings = rankings_of(runs, name, seed)
    shown = embedded[0].embeddings.take(people_shown(embedded[0].embeddings, embedded[0].people, ids))
    album = Album.of([*image_paths(rankings), shown.paths])
    pictures = encoded(album, session, store, size)
    first = subject.results.contents[0]
    shown_as = f"{name}, first trial" if first["trials"] > 1 else name
    gallery = gallery_of(rankings, album, first["queries"], shown_as, subject.cameras)
    report = Report(
        title=names[0] if single else " · ".join(names),
        subtitle=_subtitle(subject),
        runs=names,
        warnings=_warnings(subject),
        tiles=tables.tiles(first) if single else (),
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
        images=pictures.files,
        image_size=pictures.size,
    )
    refuse_replaced(runs, subject.results.contents, name)
    return files.write_text(path, page.page(report))


def _path(runs: Sequence[RunFolder], out: Path | None) -> Path:
    """Where to: an HTML file.

    Raises:
        UsageError: Another ending.
    """
    if out is None:
        stem = "report" if len(runs) == 1 else f"report-{len(runs)}-runs"
        return runs[0].figures / f"{stem}.html"
    if out.suffix.lower() in ENDINGS:
        return out
    if out.suffix.lower() in (".png", ".svg", ".pdf"):
        raise UsageError(f"A report is an HTML page, not {out.name}.", "Name it --out report.html")
    return out.with_name(f"{out.name}.html")


def _store(subject: _Subject) -> tuple[Store, tuple[int, int]]:
    """The images that were evaluated, at the size that the first run saw."""
    recipe = run_recipe(subject.runs[0], checked=False)
    dataset = subject.fingerprint.get("source", recipe.data.dataset)
    size, resize = recipe.data.image_size, recipe.data.resize
    return ensure_prepared(dataset, subject.session, size, resize), size


def _subtitle(subject: _Subject) -> str:
    about = subject.fingerprint
    method = str(about.get("method", "")) if subject.single else ""
    parts = (method, str(about.get("dataset", "")), protocol_words(subject.protocol))
    return " · ".join(part for part in parts if part)


def _warnings(subject: _Subject) -> tuple[str, ...]:
    found = [RENDERED] if subject.fingerprint.get("rendered") else []
    for name, content in zip(subject.names, subject.results.contents, strict=True):
        if overlap := content["fingerprint"].get("overlap"):
            found.append(f"{name}: {overlap}. Its figures say nothing about people it has not seen.")
    return (*found, *subject.results.unpaired)


def _results(subject: _Subject) -> tuple[Any, ...]:
    results = subject.results
    main = tables.headline(results.contents, subject.names, results.against)
    others = others_of(subject.runs, subject.protocol)
    return (main, *(tables.headline(contents, subject.names, ()) for contents in others.values()))


def _curve(subject: _Subject) -> Section:
    curves = [
        cmc_curve(run, subject.session, name, subject.protocol, 20)
        for run, name in zip(subject.runs, subject.names, strict=True)
    ]
    chart = charts.cmc_chart([(c.label, c.cmc, c.low, c.high) for c in curves], _cut(curves[0]))
    counted = "identities" if subject.fingerprint.get("cmc") == "identities" else "images"
    lead = f"How often the query’s person is among the first k {counted}."
    return Section("cmc", "CMC", lead, (chart,), notes=(f"Band: {BAND}.",))


def _cut(curve: CmcCurve) -> np.ndarray | None:
    """The chance level of as many ranks as the curve has."""
    return None if curve.chance is None else curve.chance[: len(curve.cmc)]


def _cameras(subject: _Subject) -> tuple[Section, ...]:
    if not subject.cameras:
        return ()
    table = tables.camera_pairs(subject.results.camera_pairs, subject.names)
    return (Section("cameras", "Cameras", "Where it works, and where it does not.", tables=(table,)),)


def _plane(subject: _Subject, embedded: Sequence[Embedded], album: Album, ids: int, seed: int) -> Section:
    """t-SNE of each run, on the same images."""
    lead = (
        "Embeddings on a plane: do the modalities mix, do people separate? Point at one, or use the arrow "
        "keys, to see whose it is."
    )
    rows = people_shown(embedded[0].embeddings, embedded[0].people, ids)
    found: list[Chart] = []
    try:
        for one, name in zip(embedded, subject.names, strict=True):
            e = one.embeddings.take(rows)
            subject.session.reporter.info(f"t-SNE of {len(rows)} embeddings of {name}")
            points = tsne_points(e.features, seed)
            places = album.places(e.paths)
            camids = e.camids if subject.cameras else None
            found.append(charts.tsne_chart(name, points, e.pids, camids, e.modalities, places))
    except (MissingExtra, UsageError) as error:
        subject.session.reporter.warn(f"the report has no t-SNE: {error.message}")
        return Section("tsne", "t-SNE", notes=(f"Left out: {error.message} {error.hint}",))
    people = min(ids, len(embedded[0].people))
    note = f"{people} people, {len(rows)} images (at most 12 of a person and modality), seed {seed}."
    return Section("tsne", "t-SNE", lead, tuple(found), notes=(note,))


def _distances(subject: _Subject, embedded: Sequence[Embedded]) -> Section:
    found, drawn = [], []
    for one, name in zip(embedded, subject.names, strict=True):
        d = distances_of(one, subject.session)
        shown = "" if subject.single else name
        found.append(charts.Histogram(shown, d.intra, d.inter, (d.intra_mean, d.inter_mean)))
        if d.parts > 1:
            drawn.append(
                f"{name}: means are of all pairs; the histogram of two people is of {d.inter.sum():,}, drawn."
            )
    lead = "Cosine distances between visible and infrared images of one person, and of two people."
    note = f"All {d.pairs:,} pairs of {d.visible:,} visible and {d.infrared:,} infrared images."
    shown_as = tuple(charts.distance_charts(d.edges, found))
    return Section("distances", "Distances", lead, shown_as, notes=(note, *drawn))


def _training(subject: _Subject) -> tuple[Section, ...]:
    logs = [(name, run.rows_to_draw()) for run, name in zip(subject.runs, subject.names, strict=True)]
    found = charts.training_charts(logs)
    if not found:
        return ()
    return (Section("training", "Training", "Loss, its terms and learning rate over steps.", tuple(found)),)


def _cost(subject: _Subject, latency: bool) -> Section:
    found = [
        cost.cost_of(
            run_recipe(run, checked=False),
            subject.session,
            identities=int(run.environment()["num_identities"]),
            timed=latency,
        )
        for run in subject.runs
    ]
    return Section("cost", "Cost", tables=(tables.costs(found, subject.names),))


def _setup(subject: _Subject) -> Section:
    """Recipes and environments; for several runs, first what differs."""
    runs, names = subject.runs, subject.names
    recipes = [recipe_of(run) for run in runs]
    environments = [flat(run.environment()) for run in runs]
    found = []
    if not subject.single:
        caption = "Keys of the recipes that differ"
        rows = differing([keys for _, keys in recipes])
        chosen = {key: texts for key, texts in rows.items() if not key.startswith("reported")}
        found.append(tables.differences(caption, chosen, names))
    keys = dict.fromkeys(key for one in environments for key in one)
    rows = {key: [one.get(key, "–") for one in environments] for key in keys}
    found.append(tables.differences("Environment", rows, names))
    texts = tuple(
        ("Recipe" if subject.single else f"Recipe of {name}", text)
        for name, (text, _) in zip(names, recipes, strict=True)
    )
    return Section("setup", "Recipe and environment", tables=tuple(found), texts=texts)
