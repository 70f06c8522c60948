"""Synthetic report of any size, with distinct, valid images of a chosen file size."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from vireid_cli.figures.report import chart_data
from vireid_cli.figures.report.parts import (
    Cell,
    Gallery,
    Headline,
    ImageTable,
    Ranking,
    Report,
    Section,
    Table,
    TableRow,
)

PEOPLE = 96
TOP = 10


def webp(number: int, weight: int) -> bytes:
    """Create a WebP file of about ``weight`` bytes, unique for each number."""
    random = np.random.default_rng(number)
    file = _picture(number % 24)
    extra = max(16, weight - len(file) - 8) // 2 * 2
    chunk = (
        b"vrid" + extra.to_bytes(4, "little") + random.bytes(extra)
    )  # unknown chunk type, ignored by decoders
    body = file[8:] + chunk
    return b"RIFF" + len(body).to_bytes(4, "little") + body


@lru_cache
def _picture(number: int) -> bytes:
    pixels = np.random.default_rng(number).integers(0, 256, (4, 2, 3), dtype=np.uint8)
    small = cv2.resize(pixels, (64, 128))
    return bytes(cv2.imencode(".webp", small, [cv2.IMWRITE_WEBP_QUALITY, 60])[1])


def made_gallery(queries: int, gallery: int, runs: int, seed: int = 0, cameras: bool = True) -> Gallery:
    """Create queries with more right matches in the first run than in the next."""
    random = np.random.default_rng(seed)
    people = min(PEOPLE, gallery)
    q_pids, g_pids = np.arange(queries) % people, np.arange(gallery) % people
    rankings = []
    for run in range(runs):
        first = random.integers(0, gallery, queries)
        top = (first[:, None] + np.arange(TOP) * max(1, gallery // TOP)) % gallery  # distinct gallery rows
        hit = random.random(queries) < 0.6 / (run + 1)
        top[hit, 0] = q_pids[hit]
        right = g_pids[top] == q_pids[:, None]
        rank = np.where(right.any(axis=1), right.argmax(axis=1) + 1, TOP + 5)
        precision = 1 / rank
        precision[::97], rank[::97] = np.nan, 0
        scores = np.sort(random.random((queries, TOP)), axis=1)[:, ::-1]
        rankings.append(Ranking(precision, rank, top, scores))
    query = ImageTable(
        _names("q", queries), q_pids, np.where(np.arange(queries) % 2, 6, 3), np.arange(queries)
    )
    side = ImageTable(_names("g", gallery), g_pids, np.arange(gallery) % 4 + 1, queries + np.arange(gallery))
    return Gallery(query, side, tuple(rankings), tuple(range(runs)), f"{queries} made-up queries.", cameras)


def _names(side: str, count: int) -> np.ndarray:
    return np.array([f"{side}/{i:05d}.jpg" for i in range(count)])


def step(i: int) -> dict:
    loss = 5 / (i + 1)
    return {"kind": "step", "global_step": 10 * i, "lr": 0.1, "loss": loss, "losses": {"identity": loss}}


def made_report(
    queries: int = 60, gallery: int = 40, runs: int = 1, weight: int = 600, cameras: bool = True
) -> Report:
    """Create a report with all parts of a real one."""
    random = np.random.default_rng(1)
    names = tuple(f"run-{chr(97 + run)}" for run in range(runs))
    cmc = np.minimum(1.0, 0.3 + 0.03 * np.arange(20))
    curve = chart_data.cmc_chart([(n, cmc, cmc - 0.05, cmc) for n in names], cmc / 9)
    counts = np.bincount(random.integers(40, 120, 4000), minlength=200)
    distances = chart_data.distance_charts(
        np.linspace(0, 2, 201), [chart_data.Histogram("", counts, counts[::-1], (0.8, 1.2))]
    )
    training = chart_data.training_charts([(n, [step(i) for i in range(30)]) for n in names])
    points, shown = random.normal(size=(80, 2)), np.arange(80)
    plane = [
        chart_data.tsne_chart(
            name,
            points,
            shown % 8,
            shown % 4 + 1 if cameras else None,
            shown % 2,
            shown % (queries + gallery),
        )
        for name in names
    ]
    rows = tuple(TableRow(Cell(f"row {i}"), (Cell("12.34", "11.1–13.3", 0.5),) * 12) for i in range(4))
    wide = Table("A wide table", ("row", *(f"column {i}" for i in range(12))), rows)
    return Report(
        title=" · ".join(names),
        subtitle="made up",
        runs=names,
        warnings=("Made up.",),
        tiles=(Headline("Rank-1", 61.2, 58.0, 64.1, 1.3, 62.0), Headline("mAP", 55.0)) if runs == 1 else (),
        facts=(("dataset", "made up"), ("trials", "10")),
        results=(wide,),
        sections=(
            Section("cmc", "CMC", "Lead.", (curve,)),
            Section("cameras", "Cameras", tables=(wide,)),
        ),
        gallery=made_gallery(queries, gallery, runs, cameras=cameras),
        more=(
            Section("tsne", "t-SNE", charts=tuple(plane)),
            Section("distances", "Distances", charts=tuple(distances)),
            Section("training", "Training", charts=tuple(training)),
            Section("setup", "Recipe and environment", texts=(("Recipe", "paper: <none>\n" * 5),)),
        ),
        images=tuple(webp(i, weight) for i in range(queries + gallery)),
        image_size=(128, 64),
    )
