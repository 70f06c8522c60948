"""The verb ``visualize``: gather the arrays of a figure, hand them to its drawing function.

Arrays come from a run folder, from the prepared store or from image files; spectra from the same
``frequency`` functions that the methods use. What is drawn, and how, is the figures' business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vireid_cli.data.decode import read_pixels
from vireid_cli.data.store import Store
from vireid_cli.engine.preparation import ensure_prepared, store_title
from vireid_cli.engine.reporter import Reporter
from vireid_cli.errors import DataError, UsageError
from vireid_cli.figures import curves, ranking, spectra, tsne
from vireid_cli.figures.style import save
from vireid_cli.frequency import fourier
from vireid_cli.recipe.load import load as load_recipe
from vireid_cli.results import schema
from vireid_cli.results.run import Run, read_arrays
from vireid_cli.types import Modality, Size


@dataclass(frozen=True, slots=True)
class Output:
    """Where a figure goes and how.

    Attributes:
        out: File or None for the figure's own place.
        format: ``png`` or ``svg``; None: by ``out``, else PNG.
        dpi: Pixels an inch.
    """

    out: Path | None = None
    format: str | None = None
    dpi: int = 150

    def path(self, default: Path) -> Path:
        """The file to write."""
        return self.out or default


def phase_swap(
    dataset: str,
    size: Size,
    data_dir: Path,
    reporter: Reporter,
    output: Output,
    *,
    pid: int | None = None,
    images: tuple[Path, Path] | None = None,
) -> Path:
    """FDNM's first figure of one person, or of two image files.

    Args:
        dataset: Where the person is taken from.
        size: Prepared size.
        data_dir: Data directory.
        reporter: Listener.
        output: Where to.
        pid: The person; None: the first test identity with both modalities.
        images: A visible and an infrared file instead.

    Raises:
        UsageError: No such person, or one without both modalities.
        DataError: A file that can't be read.
    """
    if images is not None:
        pixels = [read_pixels(path, size) for path in images]
        name, title = "phase-swap", f"{images[0].name} and {images[1].name}"
    else:
        store = ensure_prepared(dataset, size, data_dir, reporter)
        rows, pid = _pair(store, pid)
        pixels = list(store.batch(size, rows))
        name, title = f"phase-swap-{dataset}-{pid}", f"{store_title(store)}, pid {pid}"
    figure = spectra.phase_swap_figure(_phase_swap(pixels[0], pixels[1]), title)
    return save(figure, output.path(Path("figures") / name), output.format, output.dpi)


def tsne_of_run(
    run: Run, protocol: str | None, ids: int, seed: int, by: tsne.By, reporter: Reporter, output: Output
) -> Path:
    """t-SNE of a run's test embeddings, by modality and by identity.

    Args:
        run: An evaluated run.
        protocol: Which evaluation; None: the first there is.
        ids: Identities shown: the first that have both modalities.
        seed: Of t-SNE.
        by: ``modality``, ``identity`` or ``both``.
        reporter: Listener.
        output: Where to.

    Raises:
        UsageError: Not evaluated yet, or too few identities.
        MissingExtra: scikit-learn is not installed.
    """
    name, folder = _evaluation(run, protocol)
    arrays = read_arrays(folder / schema.EMBEDDINGS, schema.EMBEDDING_ARRAYS, f"vireid evaluate {run.folder}")
    pids, modalities = arrays["pids"], arrays["modalities"]
    both = np.intersect1d(pids[modalities == 0], pids[modalities == 1])
    if len(both) < 2:
        raise UsageError(f"{folder} has {len(both)} identities with both modalities: nothing to compare.")
    if ids > len(both):
        reporter.warn(f"only {len(both)} identities have both modalities; all are shown")
    rows = np.flatnonzero(np.isin(pids, both[:ids]))
    reporter.say(f"t-SNE of {len(rows)} embeddings of {min(ids, len(both))} identities")
    points = tsne.tsne_points(arrays["features"][rows], seed)
    figure = tsne.tsne_figure(
        points,
        pids[rows],
        modalities[rows],
        by,
        f"{run.name}",
        f"embeddings, {name}, t-SNE seed {seed}",
    )
    return save(figure, output.path(run.figures / "tsne"), output.format, output.dpi)


def ranking_of_run(
    run: Run,
    protocol: str | None,
    queries: int,
    order: str,
    seed: int,
    data_dir: Path,
    reporter: Reporter,
    output: Output,
) -> Path:
    """Queries of a run with their first ten matches.

    Args:
        run: An evaluated run.
        protocol: Which evaluation; None: the first there is.
        queries: How many.
        order: ``random``, ``best`` or ``worst`` by average precision.
        seed: Of the random choice.
        data_dir: Where the images are prepared.
        reporter: Listener.
        output: Where to.

    Raises:
        UsageError: Not evaluated yet.
    """
    name, folder = _evaluation(run, protocol)
    arrays = read_arrays(folder / schema.RANKING, schema.RANKING_ARRAYS, f"vireid evaluate {run.folder}")
    recipe = load_recipe(str(run.recipe_file))
    size = recipe.data.image_size
    store = ensure_prepared(recipe.data.dataset, size, data_dir, reporter)
    chosen = _queries(arrays["average_precision"], queries, order, seed)
    rows = [_ranking_row(arrays, int(query), store, size) for query in chosen]
    subtitle = f"{name}, trial 0, {order} queries; cosine similarity"
    figure = ranking.ranking_figure(rows, run.name, subtitle)
    return save(figure, output.path(run.figures / "ranking"), output.format, output.dpi)


def curves_of_run(run: Run, output: Output) -> Path:
    """Loss terms and learning rate over a run's steps.

    Raises:
        UsageError: The log is empty.
    """
    rows = list(run.log_rows())
    steps = [row for row in rows if row.get("kind") == "step"]
    epochs = [row for row in rows if row.get("kind") == "epoch"]
    figure = curves.curves_figure(steps, epochs, run.name)
    return save(figure, output.path(run.figures / "curves"), output.format, output.dpi)


def _evaluation(run: Run, protocol: str | None) -> tuple[str, Path]:
    """Name and folder of one finished evaluation of a run."""
    done = run.evaluations()
    if not done:
        raise UsageError(f"{run.folder} has not been evaluated.", f"Do it: vireid evaluate {run.folder}")
    name = protocol or next(iter(done))
    if name not in done:
        raise UsageError(f"{run.folder} has no evaluation '{name}'.", f"There is: {', '.join(done)}")
    return name, run.evaluation(name)


def _pair(store: Store, pid: int | None) -> tuple[np.ndarray, int]:
    """Rows of a visible and an infrared image of one person."""
    table = store.records
    sides = {m: set(table.pids[table.modalities == m.code].tolist()) for m in Modality}
    both = sides[Modality.VISIBLE] & sides[Modality.INFRARED]
    if pid is None:
        test = set(table.pids[table.splits == "test"].tolist()) & both
        pid = min(test or both)
    if pid not in both:
        known = pid in sides[Modality.VISIBLE] | sides[Modality.INFRARED]
        what = "has images of one modality only" if known else "is not in it"
        some = ", ".join(str(p) for p in sorted(both)[:10])
        raise UsageError(f"{store_title(store)}: pid {pid} {what}.", f"With both modalities: {some} …")
    rows = [np.flatnonzero((table.pids == pid) & (table.modalities == m.code))[0] for m in Modality]
    return np.array(rows), pid


def _phase_swap(visible: np.ndarray, infrared: np.ndarray) -> spectra.PhaseSwap:
    """Spectra of two images (H, W, 3) uint8, per colour channel."""
    images = {
        modality: torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 255.0  # (3, H, W)
        for modality, pixels in ((Modality.VISIBLE, visible), (Modality.INFRARED, infrared))
    }
    columns = {m: _column(images[m], images[m.other]) for m in Modality}
    return spectra.PhaseSwap(columns[Modality.VISIBLE], columns[Modality.INFRARED])


def _column(image: Tensor, other: Tensor) -> spectra.SpectrumColumn:
    """One image and what becomes of it; amplitude and phase of its luminance, the rest per channel."""
    luminance = (image * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(0)  # (H, W)
    plane = fourier.spectrum(luminance)
    width = image.shape[-1]
    mean = fourier.amplitude(fourier.spectrum(image)).mean().item()
    return spectra.SpectrumColumn(
        image=_pixels(image),
        amplitude=_full(fourier.amplitude(plane), width, odd=False),
        phase=_full(fourier.phase(plane), width, odd=True),
        swapped=_pixels(fourier.swap_amplitude(image, other)),
        phase_only=_pixels(fourier.phase_only(image, mean)),
        amplitude_only=_pixels(fourier.amplitude_only(image)),
    )


def _pixels(image: Tensor) -> np.ndarray:
    return image.permute(1, 2, 0).numpy()


def _full(half: Tensor, width: int, *, odd: bool) -> np.ndarray:
    """The full plane of a half spectrum's amplitude (even) or phase (odd): F(−u, −v) = conj F(u, v)."""
    height = half.shape[-2]
    rows = (-np.arange(height)) % height
    columns = np.arange(half.shape[-1], width)
    values = half.numpy()
    mirrored = values[rows][:, width - columns]
    return np.concatenate([values, -mirrored if odd else mirrored], axis=1)


def _queries(precision: np.ndarray, count: int, order: str, seed: int) -> np.ndarray:
    """Indices of valid queries, in the order asked for."""
    valid = np.flatnonzero(~np.isnan(precision))
    if order == "random":
        return np.random.default_rng(seed).permutation(valid)[:count]
    ranked = valid[np.argsort(precision[valid], kind="stable")]
    return ranked[:count] if order == "worst" else ranked[::-1][:count]


def _ranking_row(arrays: Mapping[str, Any], query: int, store: Store, size: Size) -> ranking.RankingRow:
    """One query's images and labels."""
    top = arrays["top"][query]
    top = top[top >= 0]
    paths = [str(arrays["query_paths"][query]), *(str(arrays["gallery_paths"][i]) for i in top)]
    pixels = store.batch(size, _rows_of(store, paths)).astype(np.float32) / 255.0
    pid = int(arrays["query_pids"][query])
    matches = arrays["gallery_pids"][top]
    return ranking.RankingRow(
        query_image=pixels[0],
        query_label=f"pid {pid} · cam {arrays['query_camids'][query]}",
        images=pixels[1:],
        correct=matches == pid,
        labels=tuple(
            f"pid {p} · cam {arrays['gallery_camids'][i]}" for p, i in zip(matches, top, strict=True)
        ),
        scores=arrays["scores"][query][: len(top)],
    )


def _rows_of(store: Store, paths: list[str]) -> np.ndarray:
    """Rows of these images in the store, whose records are sorted by path.

    Raises:
        DataError: One is not in the store any more.
    """
    wanted = np.array(paths)
    rows = np.minimum(np.searchsorted(store.records.paths, wanted), len(store.records) - 1)
    gone = wanted[store.records.paths[rows] != wanted]
    if len(gone):
        raise DataError(f"{gone[0]} is not in {store.folder} any more.", "Evaluate the run again.")
    return rows
