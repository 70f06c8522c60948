"""Test images on a plane by their embeddings, amplitudes and phases: FDNM's figures 2 and 6, SEPG's 4."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vireid_cli.engine.session import Session
from vireid_cli.engine.subjects.components import COMPONENTS, components_of
from vireid_cli.engine.subjects.embeddings import Embedded, embedded_alike
from vireid_cli.engine.subjects.evaluations import labels_of
from vireid_cli.engine.subjects.output import Output
from vireid_cli.errors import UsageError
from vireid_cli.figures import planes, tsne
from vireid_cli.results.run import RunFolder
from vireid_cli.types import Embeddings

RUNS = (1, 6)

SPATIAL = "spatial"
WORDS = {
    SPATIAL: "spatial features",
    "amplitude": "amplitude component",
    "phase": "phase component",
}


def draw(
    runs: Sequence[RunFolder],
    session: Session,
    output: Output,
    *,
    protocol: str | None = None,
    ids: int = 24,
    images: int = 20,
    seed: int = 0,
    by: planes.By = "both",
    component: str = "spatial",
) -> Path:
    """t-SNE of test images of one or several runs, always of the same images of the same people.

    The spatial features are the embeddings that the evaluation left. Amplitude and phase are those of the
    backbone's last feature map, through the run's network; see ``frequency.components`` for how a spectrum
    becomes a vector, on which the papers are silent.

    Args:
        runs: One to six evaluated runs.
        session: Device, listener, folders.
        output: File, format, resolution.
        protocol: Which evaluation of each; None: the first that each has.
        ids: Identities shown: the first that have both modalities.
        images: Images of each in each modality at most, spread evenly over its paths.
        seed: Of t-SNE.
        by: ``modality``, ``identity`` or ``both``.
        component: ``spatial``, ``amplitude``, ``phase``, or ``all``.

    Raises:
        UsageError: Not evaluated yet, a modality missing, too few identities or images, nothing in common,
            and for amplitude and phase no data or no checkpoint.
        DataError: A damaged file, or images other than those evaluated.
        MissingExtra: scikit-learn is not installed.
    """
    reporter = session.reporter
    compared = embedded_alike(runs, session, protocol)
    people = compared[0].people
    if ids > len(people):
        reporter.warn(f"only {len(people)} identities have both modalities; all are shown")
    rows = chosen(compared[0].embeddings, people[:ids], images)
    _refuse_few(compared[0].embeddings, people, ids, images, len(rows))
    compared = [one.take(rows) for one in compared]
    names = tuple(WORDS) if component == "all" else (component,)
    features = [_features(one, session, names) for one in compared]
    labels = labels_of(runs)
    laid_out = []
    for i, (run, of_run) in enumerate(zip(labels, features, strict=True)):
        for j, name in enumerate(names):
            reporter.advance("t-SNE", i * len(names) + j, len(names) * len(compared))
            laid_out.append(planes.Plane(run, WORDS[name], tsne.tsne_points(of_run[name], seed)))
    reporter.advance("t-SNE", len(laid_out), len(laid_out))
    shown = compared[0].embeddings
    figure = planes.planes_figure(
        laid_out,
        shown.pids,
        shown.modalities,
        by,
        compared[0].run.name if len(compared) == 1 else f"{len(compared)} runs on the same images",
        _subtitle(compared, names, seed),
    )
    stem = "tsne" if component == SPATIAL else f"tsne-{component}"
    return output.save(figure, runs[0].figures / stem)


def chosen(images: Embeddings, people: np.ndarray, most: int) -> np.ndarray:
    """Rows of these people, at most ``most`` of each in each modality, evenly spread over their paths.

    Args:
        images: Of all.
        people: (P,) person numbers.
        most: Images a person and modality.

    Returns:
        Rows, ascending.
    """
    rows = np.flatnonzero(np.isin(images.pids, people))
    rows = rows[np.lexsort((images.paths[rows], images.modalities[rows], images.pids[rows]))]
    groups = np.stack([images.pids[rows], images.modalities[rows].astype(np.int64)])
    starts = np.flatnonzero(np.any(np.diff(groups, axis=1, prepend=groups[:, :1] - 1), axis=0))
    sizes = np.diff(starts, append=len(rows))
    place = np.arange(len(rows)) - np.repeat(starts, sizes)  # within its group
    size = np.repeat(sizes, sizes)
    kept = np.minimum(most, size)
    return np.sort(rows[(place + 1) * kept // size > place * kept // size])


def _refuse_few(shown: Embeddings, people: np.ndarray, ids: int, images: int, count: int) -> None:
    """Refuse fewer images than t-SNE needs, before any work, and say what would give enough.

    Args:
        shown: All images.
        people: (P,) identities that can be shown.
        ids, images: As chosen.
        count: Images that they give.
    """
    if count >= tsne.FEWEST_POINTS:
        return
    more = [(number, images) for number in range(ids + 1, min(ids + tsne.FEWEST_POINTS, len(people)) + 1)]
    more += [(len(people), most) for most in range(images + 1, tsne.FEWEST_POINTS + 1)]
    hint = f"Evaluate it on more images: the people seen in both modalities are {len(people)}."
    for number, most in more:
        if len(chosen(shown, people[:number], most)) >= tsne.FEWEST_POINTS:
            hint = "Show more:" + f" --ids {number}" * (number > ids) + f" --images {most}" * (most > images)
            break
    raise UsageError(f"{count} images are too few for t-SNE; it needs {tsne.FEWEST_POINTS} or more.", hint)


def _features(one: Embedded, session: Session, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Each component of a run's images, (N, D)."""
    of_maps = [name for name in names if name in COMPONENTS]
    found = {SPATIAL: one.embeddings.features}
    if of_maps:
        found |= components_of(one, session, of_maps)
    return found


def _subtitle(compared: Sequence[Embedded], names: Sequence[str], seed: int) -> str:
    """What was laid out, of how many images of how many people."""
    of_maps = [name for name in names if name in COMPONENTS]
    parts = ["embeddings"] if SPATIAL in names else []
    parts += [f"{' and '.join(of_maps)} of the backbone's last map"] if of_maps else []
    shown = compared[0].embeddings
    protocols = " / ".join(dict.fromkeys(one.protocol for one in compared))
    return (
        f"t-SNE of {' and of '.join(parts)}, {len(shown)} images of {len(compared[0].people)} people, "
        f"{protocols}, seed {seed}"
    )
